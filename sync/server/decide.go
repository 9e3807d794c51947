package server

import (
	"context"
	"errors"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/fold"
	"heddle.dev/heddle/sync/wire"
)

// Decision is a transaction as Options.Decide sees it. Nothing in it may be kept
// or changed.
type Decision struct {
	Space   string
	Client  wire.ClientID
	Counter uint64
	Subject string         // of the token that pushes it; "" in development mode
	Claims  map[string]any // of that token
	Body    *wire.Body
	Schema  *fold.Schema // with the body's own descriptors: Schema.Default is what a cell has that is not there
	Rows    []Change     // each row that the body touches, once, in the order of first touch
}

// Change is a row before and after a transaction; nil where there is none.
type Change struct {
	Table         string
	Key           []wire.Value
	Before, After *fold.Row
}

// callDecide calls the app's Decide. The error is a *void if that rejects the
// transaction.
func (sp *space) callDecide(ctx context.Context, o *Options, d *Decision, all *effects) error {
	if o.Decide == nil {
		return nil
	}
	d.Space = sp.name
	d.Rows = make([]Change, len(all.list))
	for i, f := range all.list {
		d.Rows[i] = Change{f.table, f.key, f.before, f.after}
	}
	err := o.Decide(ctx, d)
	var coded *errcode.Error
	switch {
	case err == nil, errors.Is(err, ErrUndecided):
		return err
	case ctx.Err() != nil: // perhaps that is why
		return ctx.Err()
	case errors.As(err, &coded) && len(coded.Code) > 0 && len(coded.Code) <= 128:
		return &void{coded.Code, err}
	}
	return &void{errcode.Rejected, err}
}
