package replica

import (
	"context"
	"slices"
	"strings"

	"heddle.dev/heddle/internal/value"
	"heddle.dev/heddle/sync/fold"
	"heddle.dev/heddle/sync/replica/internal/synced"
	"heddle.dev/heddle/sync/wire"
)

// Accept leaves the log of before for that of epoch, unless the replica follows
// that already: what the tables hold is replaced by a snapshot that has still to
// come. With upload, the rows that the snapshot does not have become pending
// inserts when it has ended; else they go. It is false where nothing was done.
func (rep *Replica) Accept(ctx context.Context, epoch wire.Epoch, upload bool) (accepted bool, err error) {
	var next *state
	var invalidation int64
	err = rep.inside(ctx, func(r *rows) error {
		s, err := rep.current(r)
		if err != nil || s.pos.Epoch == epoch || s.pos.Epoch == (wire.Epoch{}) {
			return err
		}
		if err := rep.recount(r, s); err != nil {
			return err
		}
		invalidation = rep.invalidate()
		copied := *s
		next, rep.state = &copied, &copied
		return next.accept(r.Conn, epoch, upload)
	})
	if err != nil || next == nil {
		return false, err
	}
	rep.committed(invalidation, next, nil)
	return true, nil
}

// accept leaves the log of before: what the tables hold is replaced by a snapshot
// that has still to come, as it is where a snapshot breaks off before its first row.
func (s *state) accept(c *synced.Conn, epoch wire.Epoch, upload bool) error {
	if s.former != nil { // whose entries were in the log that is gone
		if err := s.settle(c); err != nil {
			return err
		}
	}
	s.pos = wire.Position{}
	s.bootstrap = &bootstrap{at: wire.Resume{Epoch: epoch}}
	if upload {
		s.bootstrap.upload = s.schema
		if err := setMeta(c, metaUpload, s.schema.Marshal()); err != nil {
			return err
		}
	}
	if err := s.bootstrap.save(c); err != nil {
		return err
	}
	return s.savePosition(c)
}

// rowSchema is the schema of the rows in the tables: while rows of a log that was
// left wait to be uploaded, they have the columns of that log too.
func (s *state) rowSchema() *fold.Schema {
	if s.bootstrap == nil || s.bootstrap.upload == nil {
		return s.schema
	}
	both := s.schema.Clone()
	both.Apply(s.bootstrap.upload.Tables())
	return both
}

// differs notes a row that differs between the accepted log and this replica.
func (a *applier) differs(k rowKey, had, has *fold.Row) {
	if a.bootstrap.upload == nil || had == nil || len(a.replaced) >= maxConflictKeys {
		return
	}
	value := func(row *fold.Row, name string) wire.Value {
		if v, ok := row.Cells[name]; ok {
			return v
		}
		return a.defaultOf(k.table, name)
	}
	same := has != nil
	for _, row := range []*fold.Row{had, has} {
		for name := range rowCells(row) {
			same = same && fold.Same(value(had, name), value(has, name))
		}
	}
	if !same {
		a.replaced = append(a.replaced, Key{Table: k.table, Key: k.key})
	}
}

func rowCells(row *fold.Row) map[string]wire.Value {
	if row == nil {
		return nil
	}
	return row.Cells
}

// defaultOf is what a row has, or will have, in the accepted log without a cell of
// a column: what that log tells, else what the log of before has, else this app.
func (a *applier) defaultOf(table, column string) wire.Value {
	for _, s := range []*fold.Schema{a.schema, a.bootstrap.upload, a.merged} {
		if c, ok := s.Column(table, column); ok {
			return c.Default
		}
	}
	return nil
}

// Bounds of a transaction that uploads rows.
const (
	uploadOps    = 50_000
	uploadShapes = 1000
	uploadBytes  = wire.MaxBody / 8
)

// uploader makes transactions of rows that an accepted log does not have. The rows
// stay in the tables as they are: they are pending inserts from now on.
type uploader struct {
	a      *applier
	next   int64 // id of the transaction that is being made
	body   wire.Body
	keys   []rowKey
	shapes map[string]*wire.Shape
	size   int
	all    map[string]bool // table, a zero byte, and key of all rows
}

// upload makes transactions of rows, from a number on; the rows do
// not change.
func (a *applier) upload(rows []rowKey, id, created int64) (*uploader, error) {
	u := &uploader{a: a, next: id, all: map[string]bool{}}
	u.begin()
	err := a.inBatches(len(rows), func(i int) error {
		k := rows[i]
		if u.all[k.table+"\x00"+string(k.bytes)] { // pending operations touch it as well
			return nil
		}
		row, err := a.visible(k)
		if err != nil || row == nil {
			return err
		}
		u.add(k, row)
		if u.size >= uploadBytes || len(u.keys) >= uploadOps || len(u.shapes) >= uploadShapes {
			return u.flush(created)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return u, a.inside(func() error { return u.flush(created) })
}

func (u *uploader) begin() {
	u.body, u.keys, u.shapes, u.size = wire.Body{}, nil, map[string]*wire.Shape{}, 0
}

func (u *uploader) add(k rowKey, row *fold.Row) {
	var names []string
	for name, v := range row.Cells {
		if !synced.Identical(v, u.a.defaultOf(k.table, name)) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	id := k.table + "\x00" + strings.Join(names, "\x00")
	shape := u.shapes[id]
	if shape == nil {
		shape = &wire.Shape{Kind: wire.Insert, Table: k.table, Columns: names, Joins: make([]wire.Join, len(names))}
		u.shapes[id] = shape
		u.body.Shapes = append(u.body.Shapes, shape)
	}
	op := wire.Op{Shape: shape, Key: k.key}
	for _, name := range names {
		op.Cells = append(op.Cells, row.Cells[name])
	}
	u.body.Ops = append(u.body.Ops, op)
	u.keys = append(u.keys, k)
	u.all[k.table+"\x00"+string(k.bytes)] = true
	u.size += value.Size(op.Key...) + value.Size(op.Cells...)
}

// flush keeps what was added as one pending transaction.
func (u *uploader) flush(created int64) error {
	if len(u.keys) == 0 {
		return nil
	}
	for _, t := range u.a.bootstrap.upload.Tables() {
		if slices.ContainsFunc(u.body.Shapes, func(s *wire.Shape) bool { return s.Table == t.Table }) {
			u.body.Schema = append(u.body.Schema, t)
		}
	}
	u.a.describe(&u.body)
	if err := u.a.addPending(u.next, created, u.body.Marshal()); err != nil {
		return err
	}
	for i, k := range u.keys {
		if err := u.a.addBased(k, nil, ref{u.next, i}); err != nil {
			return err
		}
	}
	u.a.pending = true
	u.next++
	u.begin()
	return nil
}

// without leaves the operations on uploaded rows out of a body: the rows have
// their effects.
func (u *uploader) without(body *wire.Body) {
	body.Ops = slices.DeleteFunc(body.Ops, func(op wire.Op) bool {
		return u.all[op.Shape.Table+"\x00"+string(wire.EncodeKey(op.Key))]
	})
	used := map[*wire.Shape]bool{}
	for i := range body.Ops {
		used[body.Ops[i].Shape] = true
	}
	body.Shapes = body.Shapes[:0:0]
	for i := range body.Ops { // in the order of their first use
		if s := body.Ops[i].Shape; used[s] {
			body.Shapes = append(body.Shapes, s)
			delete(used, s)
		}
	}
}
