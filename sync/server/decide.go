package server

import (
	"context"
	"errors"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/fold"
	"heddle.dev/heddle/sync/seal"
	"heddle.dev/heddle/sync/wire"
)

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
