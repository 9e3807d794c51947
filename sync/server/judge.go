package server

import (
	"context"
	"errors"
	"fmt"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/fold"
	"heddle.dev/heddle/sync/logstore"
	"heddle.dev/heddle/sync/seal"
	"heddle.dev/heddle/sync/wire"
)

// void is a decision against a transaction.
type void struct {
	code string
	err  error
}

func (v *void) Error() string { return v.err.Error() }
func (v *void) Unwrap() error { return v.err }

// judge returns what a transaction would do and the schema after it, or a *void. It
// changes nothing.
func (t *turn) judge(
	ctx context.Context, c *caller, client wire.ClientID, tx *transaction,
) (*effects, *fold.Schema, error) {
	refuse := func(err error) (*effects, *fold.Schema, error) {
		return nil, nil, &void{errcode.Of(err), err}
	}
	tooBig := func(msg string) (*effects, *fold.Schema, error) {
		return refuse(errcode.New(errcode.TooBig, "server: decide", msg))
	}
	l, body := &t.o.Limits, tx.body
	switch {
	case body == nil || len(tx.data) > l.Body:
		return tooBig("the transaction is larger than the server takes")
	case tx.err != nil:
		return refuse(tx.err)
	case len(body.Ops) > l.Ops:
		return tooBig("the transaction touches more rows than the server takes")
	}
	if err := fold.Check(body, t.schema); err != nil {
		return refuse(err)
	}
	schema := t.schema
	if len(schema.Missing(body.Schema)) > 0 {
		schema = schema.Clone()
		schema.Apply(body.Schema)
		if err := schema.Fits(t.schema, body.Schema); err != nil {
			return refuse(err)
		}
	}
	effects, err := t.foldBody(ctx, body, schema, l.Again)
	if errcode.Of(err) == errcode.TooBig {
		return refuse(err)
	}
	if err != nil {
		return nil, nil, err
	}
	for _, f := range effects.list {
		if err := ctx.Err(); err != nil {
			return nil, nil, err
		}
		if f.after != nil {
			if f.cells = wire.EncodeRow(f.after.Cells); len(f.cells) > l.Row {
				return tooBig("a row would be larger than the server takes")
			}
		}
	}
	if err := t.checkGrowth(c, effects); err != nil {
		return refuse(err)
	}
	d := &Decision{
		Client: client, Counter: tx.counter, Subject: c.Subject, Claims: c.Claims, Body: body, Schema: schema,
	}
	return effects, schema, t.callDecide(ctx, d, effects)
}

// effects are the rows that a transaction touches, each once, in order of first
// touch.
type effects struct {
	list []*effect
}

type effect struct {
	logstore.RowID
	key           []wire.Value
	before, after *fold.Row
	cells         []byte // after, encoded
}

// foldBody applies a body's operations. Rows that it touches again, each time
// whole, may have no more than again bytes in all.
func (t *turn) foldBody(ctx context.Context, body *wire.Body, schema *fold.Schema, again int64) (*effects, error) {
	all := &effects{list: make([]*effect, 0, len(body.Ops))}
	byID := make(map[logstore.RowID]*effect, len(body.Ops))
	for _, op := range body.Ops {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		id := logstore.RowID{Table: op.Shape.Table, Key: string(wire.EncodeKey(op.Key))}
		f := byID[id]
		if f == nil {
			f = &effect{RowID: id, key: op.Key}
			before, err := t.row(id)
			if err != nil {
				return nil, err
			}
			f.before, f.after = before, before
			byID[id] = f
			all.list = append(all.list, f)
		} else if again -= sizeOf(f.after); again < 0 {
			return nil, errcode.New(errcode.TooBig, "server: decide",
				"the transaction touches large rows again and again")
		}
		f.after = fold.Apply(op, f.after, schema)
	}
	return all, nil
}

// row returns a row as it stands, nil if there is none.
func (t *turn) row(id logstore.RowID) (*fold.Row, error) {
	r := t.rows[id]
	if r == nil {
		return nil, fmt.Errorf("server: the row of table %q with key %x was not read", id.Table, id.Key)
	}
	if !r.decoded && r.cells != nil {
		cells, err := wire.DecodeRow(r.cells)
		if err != nil {
			return nil, errcode.New(errcode.Damaged, "server: read row",
				fmt.Sprintf("the row of table %q with key %x is damaged: %v", id.Table, id.Key, err))
		}
		r.folded = &fold.Row{Cells: cells}
	}
	r.decoded = true
	return r.folded, nil
}

// sizeOf is about the number of bytes of a row.
func sizeOf(row *fold.Row) (n int64) {
	if row == nil {
		return 0
	}
	for name, v := range row.Cells {
		n += int64(len(name)) + 8
		switch v := v.(type) {
		case string:
			n += int64(len(v))
		case []byte:
			n += int64(len(v))
		}
	}
	return n
}

// apply brings effects to the rows and the digest.
func (t *turn) apply(all *effects) {
	for _, f := range all.list {
		r := t.rows[f.RowID]
		if f.before != nil {
			t.w.RowCount--
			t.w.Live -= int64(len(f.Key) + len(r.cells))
		}
		r.cells, r.folded, r.decoded, r.changed = f.cells, f.after, true, true
		if f.after != nil {
			t.w.RowCount++
			t.w.Live += int64(len(f.Key) + len(r.cells))
		}
		t.st.digest.Remove(f.Table, f.key, f.before, t.schema)
		t.st.digest.Add(f.Table, f.key, f.after, t.schema)
	}
}

// Decision is a transaction as Options.Decide sees it. Nothing in it may be kept
// or changed.
type Decision struct {
	Space   string
	Client  wire.ClientID
	Counter uint64
	Subject string          // of the token that pushes it; "" in development mode
	Claims  map[string]any  // of that token
	Body    *wire.Body      // nil in a sealed space, where Schema and Rows are not known either
	Sealed  *SealedDecision // nil in a plain space
	Schema  *fold.Schema    // with the body's own descriptors: Schema.Default is what a cell has that is not there
	Rows    []Change        // each row that the body touches, once, in the order of first touch
}

// SealedDecision is what a server sees of a transaction that only members can read.
type SealedDecision struct {
	Device seal.ID // whose signature it has
	Size   int     // of the encrypted body, in bytes
}

// Change is a row before and after a transaction; nil where there is none.
type Change struct {
	Table         string
	Key           []wire.Value
	Before, After *fold.Row
}

// callDecide calls the app's Decide. The error is a *void if that rejects the
// transaction.
func (t *turn) callDecide(ctx context.Context, d *Decision, all *effects) error {
	if t.o.Decide == nil {
		return nil
	}
	d.Space = t.sp.name
	d.Rows = make([]Change, len(all.list))
	for i, f := range all.list {
		d.Rows[i] = Change{f.Table, f.key, f.before, f.after}
	}
	err := t.o.Decide(ctx, d)
	var coded *errcode.Error
	switch {
	case ctx.Err() != nil: // what it says comes too late, or is because of that
		return ctx.Err()
	case err == nil, errors.Is(err, ErrUndecided):
		return err
	case errors.As(err, &coded) && len(coded.Code) > 0 && len(coded.Code) <= 128:
		return &void{coded.Code, err}
	}
	return &void{errcode.Rejected, err}
}
