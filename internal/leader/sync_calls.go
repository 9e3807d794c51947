package leader

import (
	"maps"
	"slices"

	"heddle.dev/heddle/internal/rpc"
	"heddle.dev/heddle/internal/value"
	"heddle.dev/heddle/sync/client"
)

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
