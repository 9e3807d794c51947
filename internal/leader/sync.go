package leader

import (
	"context"
	"encoding/hex"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/rpc"
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
	if now.LastError != nil {
		status.Err = now.LastError
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
