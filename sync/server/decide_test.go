package server

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"

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

// Each loop of a decision looks at its context, also where it reads no row.
func TestFoldBody_looksAtItsContext(t *testing.T) {
	sp, err := openSpace(fileURI(filepath.Join(t.TempDir(), "s.space.db"), ""), "s")
	if err != nil {
		t.Fatal(err)
	}
	defer sp.close()
	s := &wire.Shape{Kind: wire.Insert, Table: "t", Columns: []string{"v"}, Joins: []wire.Join{wire.JoinAdd}}
	b := &wire.Body{Schema: []wire.TableSchema{{Table: "t", Key: []string{"id"},
		Columns: []wire.ColumnSchema{{Name: "v", Group: 1}}}}, Shapes: []*wire.Shape{s}}
	for i := range 1000 {
		key := "same"
		if i%2 == 1 {
			key = fmt.Sprint(i)
		}
		b.Ops = append(b.Ops, wire.Op{Shape: s, Key: []wire.Value{key}, Cells: []wire.Value{int64(1)}})
	}
	data, o := b.Marshal(), &Options{}
	o.Limits.defaults(true)
	part := &wire.Part{Counter: 1, Total: 1}
	for _, left := range []int{0, 1, 10, 999, 1000, 1400} {
		if _, _, err := sp.judge(&expiring{t.Context(), left}, o, &caller{}, wire.ClientID{1}, part, data); !errors.Is(err,
			context.DeadlineExceeded) {
			t.Errorf("with a context that ends after %d looks: got %v", left, err)
		}
	}
	if _, _, err := sp.judge(&expiring{t.Context(), 1 << 30}, o, &caller{}, wire.ClientID{1}, part, data); err != nil {
		t.Error(err)
	}
}
