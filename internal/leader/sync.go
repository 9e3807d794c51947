package leader

import (
	"context"
	"encoding/hex"
	"errors"
	"maps"
	"slices"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/rpc"
	"heddle.dev/heddle/internal/value"
	"heddle.dev/heddle/sync/client"
)

// syncConfig is the client's configuration for the space.
func (l *Leader) syncConfig(c *rpc.SyncConfig) client.Config {
	config := client.Config{
		URL: c.URL, Space: c.Space, IntegerKey: c.IntegerKey,
		HTTP: l.env.HTTP, Stream: l.env.Stream, Rand: l.env.Rand,
		Bounds: l.env.Bounds.Sync, Tables: map[string]client.Merge{},
	}
	for _, t := range c.Tables {
		merge := client.Merge{}
		for _, m := range t.Merges {
			merge[m.Column] = m.Merge
		}
		config.Tables[t.Name] = merge
	}
	if c.Token {
		config.Token = func(ctx context.Context) (string, error) { return l.tokens.ask(ctx, l) }
	}
	return config
}

// openSync makes the client of the space. It runs later.
func (l *Leader) openSync(ctx context.Context, config client.Config) (err error) {
	if l.sync, err = client.Open(ctx, l.db, config); err != nil {
		return errcode.Wrap(err, errcode.Internal, "leader: open")
	}
	l.sync.OnStatus(func(client.Status) {
		status := l.status()
		l.each(func(s *Session) { s.coalesce(&s.status, rpc.StatusEvent(status)) })
	})
	l.sync.OnProgress(func(p client.Progress) {
		l.each(func(s *Session) {
			s.coalesce(&s.progress, rpc.ProgressEvent(rpc.Progress{Phase: p.Phase, Done: p.Done, Total: p.Total}))
		})
	})
	l.sync.OnRejected(func(r client.Rejected) {
		message := rpc.RejectedEvent(refused(r))
		l.each(func(s *Session) { s.tell(message) })
	})
	l.sync.OnConflict(func(c client.Conflict) {
		if len(c.Keys) == 0 { // of transactions, not of rows
			c.Keys = make([]client.Key, 1)
		}
		for _, key := range c.Keys {
			message := rpc.ConflictEvent(rpc.Conflict{
				Counter: c.Counter, Kind: c.Reason, Key: key, Code: c.Code, Constraint: c.Constraint,
			})
			l.each(func(s *Session) { s.tell(message) })
		}
	})
	l.sync.OnSnapshotFailed(func(f client.SnapshotFailed) {
		message := rpc.SnapshotFailedEvent(f.Err)
		l.each(func(s *Session) { s.tell(message) })
	})
	return nil
}

// tell sends an event that is for pages that have said hello.
func (s *Session) tell(message []byte) {
	s.mu.Lock()
	greeted := s.greeted
	s.mu.Unlock()
	if greeted {
		s.send(message)
	}
}

// status is the state of sync, "off" without it.
func (l *Leader) status() rpc.Status {
	if l.sync == nil {
		return rpc.Status{State: string(client.Off)}
	}
	now := l.sync.Status()
	status := rpc.Status{
		State: string(now.State), Seq: now.Seq, Pending: uint64(max(0, now.Pending)),
		Repairs: uint64(now.Repairs), Incomplete: now.Incomplete, Polling: string(now.Polling),
	}
	var tampered *client.Tampered
	if now.LastError != nil {
		status.Err = now.LastError
		if errors.As(now.LastError, &tampered) {
			status.Findings = append(status.Findings, rpc.Finding{What: "tampered", Kind: tampered.Kind,
				Device: tampered.Device, Seq: tampered.Seq})
		}
	}
	for what, w := range map[string]client.Withheld{"withheld": now.Withheld, "differs": now.Differs} {
		if w.Device != "" {
			status.Findings = append(status.Findings, rpc.Finding{What: what, Device: w.Device, Seq: w.Seq})
		}
	}
	if s := now.Snapshot; s.Seq > 0 {
		status.Snapshot = &rpc.SnapshotStatus{Seq: s.Seq, Proved: s.Proved, Confirmed: uint32(s.Confirmed),
			Devices: uint32(s.Devices)}
	}
	return status
}

var errNoSync = errcode.New(errcode.NoSync, "leader: sync", "the database was opened without sync")

// withSync makes a method of f that fails where the database does not sync.
func withSync(f func(*client.Client, *call) error) func(*Session, *call) error {
	return func(s *Session, c *call) error {
		if s.l.sync == nil {
			return errNoSync
		}
		return f(s.l.sync, c)
	}
}

// ended replies without content, unless err is one.
func (c *call) ended(err error) error {
	if err == nil {
		c.done()
	}
	return err
}

func syncNow(sync *client.Client, c *call) error    { return c.ended(sync.Now(c.ctx)) }
func syncPause(sync *client.Client, c *call) error  { return c.ended(sync.Pause(c.ctx, c.Persist)) }
func syncResume(sync *client.Client, c *call) error { return c.ended(sync.Resume(c.ctx)) }
func syncAccept(sync *client.Client, c *call) error { return c.ended(sync.Accept(c.ctx, c.Upload)) }

func syncDigest(sync *client.Client, c *call) error {
	seq, digest, err := sync.Digest(c.ctx)
	if err == nil {
		c.reply(rpc.ReplyDigest(c.ID, rpc.Digest{Seq: seq, Hash: hex.EncodeToString(digest[:])}))
	}
	return err
}

// transactionsBytes is about the size of a chunk of transactions; a transaction may
// be larger.
const transactionsBytes = 256 << 10

func syncPending(sync *client.Client, c *call) error {
	all, err := sync.Pending(c.ctx)
	if err != nil {
		return err
	}
	list := make([]rpc.Transaction, 0, len(all))
	for _, p := range all {
		list = append(list, rpc.Transaction{ID: uint64(p.ID), Created: uint64(p.Created), Ops: operations(p.Ops)})
	}
	c.transactions(list)
	return nil
}

func syncRejected(sync *client.Client, c *call) error {
	all, err := sync.Rejected(c.ctx)
	if err != nil {
		return err
	}
	list := make([]rpc.Transaction, 0, len(all))
	for _, r := range all {
		list = append(list, refused(r))
	}
	c.transactions(list)
	return nil
}

func syncRetry(sync *client.Client, c *call) error {
	found, err := sync.Retry(c.ctx, int64(c.Tx))
	if err == nil {
		c.reply(rpc.ReplyBool(c.ID, found))
	}
	return err
}

func syncDiscard(sync *client.Client, c *call) error {
	found, err := sync.Discard(c.ctx, int64(c.Tx))
	if err == nil {
		c.reply(rpc.ReplyBool(c.ID, found))
	}
	return err
}

func syncDangling(sync *client.Client, c *call) error {
	keys, err := sync.Dangling(c.ctx, int(c.Limit))
	if err != nil {
		return err
	}
	c.reply(rpc.ReplyKeys(c.ID, keys))
	return nil
}

func syncExport(sync *client.Client, c *call) error {
	text, err := sync.Export(c.ctx)
	if err == nil {
		c.reply(rpc.ReplyString(c.ID, string(text)))
	}
	return err
}

// transactions replies with a list, in chunks.
func (c *call) transactions(list []rpc.Transaction) {
	for {
		n, size := 0, 0
		for n < len(list) && (n == 0 || size < transactionsBytes) {
			for _, op := range list[n].Ops {
				size += 64 + value.Size(op.Key...) + value.Size(op.Cells...)
			}
			n++
		}
		if n == len(list) {
			c.reply(rpc.ReplyTransactions(c.ID, list))
			return
		}
		c.s.send(rpc.ChunkTransactions(c.ID, list[:n]))
		list = list[n:]
	}
}

// syncQuarantined replies with rows, in chunks.
func syncQuarantined(sync *client.Client, c *call) error {
	rows, err := sync.Quarantined(c.ctx, int(c.Limit))
	if err != nil {
		return err
	}
	var list []rpc.QuarantinedRow
	size := 0
	for _, row := range rows {
		q := rpc.QuarantinedRow{Key: row.Key, Code: row.Code, Constraint: row.Constraint}
		for _, name := range slices.Sorted(maps.Keys(row.Cells)) {
			q.Columns, q.Cells = append(q.Columns, name), append(q.Cells, row.Cells[name])
		}
		if size += 64 + value.Size(q.Key.Key...) + value.Size(q.Cells...); size > transactionsBytes && len(list) > 0 {
			c.s.send(rpc.ChunkQuarantinedRows(c.ID, list))
			list, size = nil, 0
		}
		list = append(list, q)
	}
	c.reply(rpc.ReplyQuarantinedRows(c.ID, list))
	return nil
}

func refused(r client.Rejected) rpc.Transaction {
	return rpc.Transaction{ID: uint64(r.ID), Counter: r.Counter, Created: uint64(r.Created), Code: r.Code,
		Message: "the server refused the transaction", Ops: operations(r.Ops)}
}

func operations(list []client.Op) []rpc.Op {
	ops := make([]rpc.Op, 0, len(list))
	for i := range list {
		op := &list[i]
		o := rpc.Op{Kind: op.Shape.Kind.String(), Table: op.Shape.Table, Key: op.Key, Columns: op.Shape.Columns,
			Cells: op.Cells}
		for _, j := range op.Shape.Joins {
			if j != 0 {
				o.Joins = make([]string, len(op.Shape.Joins))
				for i, j := range op.Shape.Joins {
					o.Joins[i] = j.String()
				}
				break
			}
		}
		ops = append(ops, o)
	}
	return ops
}
