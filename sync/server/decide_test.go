package server

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"heddle.dev/heddle/sync/fold"
	"heddle.dev/heddle/sync/logstore"
	"heddle.dev/heddle/sync/wire"
)

// expiring is a context that ends when it has been asked so many times.
type expiring struct {
	context.Context
	left int
}

func (c *expiring) Err() error {
	if c.left--; c.left < 0 {
		return context.DeadlineExceeded
	}
	return nil
}

// Each loop of a decision looks at its context.
func TestFoldBody_looksAtItsContext(t *testing.T) {
	s := &wire.Shape{Kind: wire.Insert, Table: "t", Columns: []string{"v"}, Joins: []wire.Join{wire.JoinAdd}}
	b := &wire.Body{Schema: []wire.TableSchema{{Table: "t", Key: []string{"id"},
		Columns: []wire.ColumnSchema{{Name: "v", Group: 1}}}}, Shapes: []*wire.Shape{s}}
	o := &Options{}
	o.Limits.defaults(true)
	turn := &turn{o: o, schema: &fold.Schema{}, rows: map[logstore.RowID]*row{}}
	for i := range 1000 {
		key := "same"
		if i%2 == 1 {
			key = fmt.Sprint(i)
		}
		b.Ops = append(b.Ops, wire.Op{Shape: s, Key: []wire.Value{key}, Cells: []wire.Value{int64(1)}})
		turn.rows[logstore.RowID{Table: "t", Key: string(wire.EncodeKey([]wire.Value{key}))}] = &row{}
	}
	tx := newTransaction(&wire.Part{Counter: 1, Total: 1}, b.Marshal())
	for _, left := range []int{0, 1, 10, 999, 1000, 1400} {
		if _, _, err := turn.judge(&expiring{t.Context(), left}, &caller{}, wire.ClientID{1}, tx); !errors.Is(err,
			context.DeadlineExceeded) {
			t.Errorf("with a context that ends after %d looks: got %v", left, err)
		}
	}
	if _, _, err := turn.judge(&expiring{t.Context(), 1 << 30}, &caller{}, wire.ClientID{1}, tx); err != nil {
		t.Error(err)
	}
}
