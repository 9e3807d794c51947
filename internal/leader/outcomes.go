package leader

import (
	"maps"
	"slices"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/rpc"
	"heddle.dev/heddle/internal/value"
	"heddle.dev/heddle/sync/client"
)

// transactionsBytes is about how much a chunk of transactions has; one may be
// larger.
const transactionsBytes = 256 << 10

// outcomes serves what pages ask about their transactions.
func (s *Session) outcomes(c *call) error {
	sync := s.l.sync
	switch c.Method {
	case rpc.MethodSyncPending:
		all, err := sync.Pending(c.ctx)
		if err != nil {
			return err
		}
		list := make([]rpc.Transaction, 0, len(all))
		for _, p := range all {
			list = append(list, rpc.Transaction{ID: uint64(p.ID), Created: uint64(p.Created), Ops: operations(p.Ops)})
		}
		s.transactions(c, list)
	case rpc.MethodSyncRejected:
		all, err := sync.Rejected(c.ctx)
		if err != nil {
			return err
		}
		list := make([]rpc.Transaction, 0, len(all))
		for _, r := range all {
			list = append(list, refused(r))
		}
		s.transactions(c, list)
	case rpc.MethodSyncRetry:
		found, err := sync.Retry(c.ctx, int64(c.Tx))
		if err != nil {
			return err
		}
		c.reply(rpc.ReplyFlag(c.ID, found))
	case rpc.MethodSyncDiscard:
		found, err := sync.Discard(c.ctx, int64(c.Tx))
		if err != nil {
			return err
		}
		c.reply(rpc.ReplyFlag(c.ID, found))
	case rpc.MethodSyncDangling:
		keys, err := sync.Dangling(c.ctx, int(c.Limit))
		if err != nil {
			return err
		}
		c.reply(rpc.ReplyKeys(c.ID, keys))
	case rpc.MethodSyncQuarantined:
		rows, err := sync.Quarantined(c.ctx, int(c.Limit))
		if err != nil {
			return err
		}
		s.quarantined(c, rows)
	case rpc.MethodSyncExport:
		text, err := sync.Export(c.ctx)
		if err != nil {
			return err
		}
		c.reply(rpc.ReplyText(c.ID, string(text)))
	default:
		return errcode.New(errcode.Protocol, "leader: handle", "no such call")
	}
	return nil
}

// transactions replies with a list, in chunks.
func (s *Session) transactions(c *call, list []rpc.Transaction) {
	for {
		n, size := 0, 0
		for n < len(list) && (n == 0 || size < transactionsBytes) {
			for _, op := range list[n].Ops {
				size += 64 + value.Size(op.Key...) + value.Size(op.Cells...)
			}
			n++
		}
		if n == len(list) {
			c.reply(rpc.ReplyTransactions(c.ID, rpc.KindResult, list))
			return
		}
		s.send(rpc.ReplyTransactions(c.ID, rpc.KindChunk, list[:n]))
		list = list[n:]
	}
}

// quarantined replies with rows, in chunks.
func (s *Session) quarantined(c *call, rows []client.Quarantined) {
	var list []rpc.Quarantined
	size := 0
	for _, row := range rows {
		q := rpc.Quarantined{Key: row.Key, Code: row.Code, Constraint: row.Constraint}
		for _, name := range slices.Sorted(maps.Keys(row.Cells)) {
			q.Columns, q.Cells = append(q.Columns, name), append(q.Cells, row.Cells[name])
		}
		if size += 64 + value.Size(q.Key.Key...) + value.Size(q.Cells...); size > transactionsBytes && len(list) > 0 {
			s.send(rpc.ReplyQuarantined(c.ID, rpc.KindChunk, list))
			list, size = nil, 0
		}
		list = append(list, q)
	}
	c.reply(rpc.ReplyQuarantined(c.ID, rpc.KindResult, list))
}

func refused(r client.Rejected) rpc.Transaction {
	return rpc.Transaction{ID: uint64(r.ID), Counter: r.Counter, Created: uint64(r.Created), Code: r.Code,
		Message: "the server refused the transaction", Ops: operations(r.Ops)}
}

func operations(list []client.Op) []rpc.Op {
	ops := make([]rpc.Op, 0, len(list))
	for i := range list {
		op := &list[i]
		o := rpc.Op{Kind: op.Shape.Kind.String(), Table: op.Shape.Table, Key: op.Key, Columns: op.Shape.Columns, Cells: op.Cells}
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
