package capture

import (
	"cmp"
	"slices"
	"strings"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/store/sqlconn"
	"heddle.dev/heddle/internal/value"

	"github.com/ncruces/go-sqlite3"
)

// placed is a change with the order of its row's first touch.
type placed struct {
	seq int
	Change
}

// Changes reads every touched row again and returns the net difference, in
// order of first touch.
func (cp *Capture) Changes() ([]Change, error) {
	if cp.settle(); cp.err != nil {
		return nil, cp.err
	}
	var all []placed
	for _, tt := range cp.order {
		if len(tt.list) == 0 || !tt.full {
			continue
		}
		if err := cp.reread(tt); err != nil {
			return nil, err
		}
		var err error
		if all, err = tt.diff(all); err != nil {
			return nil, err
		}
	}
	order := func(a, b placed) int { return cmp.Compare(a.seq, b.seq) }
	if !slices.IsSortedFunc(all, order) {
		slices.SortStableFunc(all, order)
	}
	changes := make([]Change, len(all))
	for i := range all {
		changes[i] = all[i].Change
	}
	return changes, nil
}

// diff appends the differences between the images of the rows, paired by key.
func (tt *touched) diff(out []placed) ([]placed, error) {
	t := tt.t
	byRowID := len(t.Key) == 0 || t.RowIDKey
	// A key may have gone from one rowid and be back at another. Rows that
	// went from where they were are few or none in the common case.
	var gone map[string]int
	for i := range tt.list {
		e := &tt.list[i]
		if e.before == nil || e.after != nil && (byRowID || t.SameKey(e.before, e.after)) {
			continue
		}
		if gone == nil {
			gone = map[string]int{}
		}
		gone[string(value.AppendAll(nil, t.KeyOf(e.before, e.rowid)))] = i
	}
	var buf []byte
	for i := range tt.list {
		e := &tt.list[i]
		if e.after == nil {
			continue
		}
		if t.HasNullKey(e.after) {
			return nil, errcode.New(errcode.NullKey, "store: commit",
				"a row of the synced table "+t.Name+" has NULL in its primary key")
		}
		ch := Change{Table: t, Key: t.KeyOf(e.after, e.rowid), After: e.after}
		seq, moved := e.seq, false
		if e.before != nil && (byRowID || t.SameKey(e.before, e.after)) {
			ch.Before, ch.Reinserted = e.before, e.deleted
		} else if gone != nil {
			buf = value.AppendAll(buf[:0], ch.Key)
			if j, ok := gone[string(buf)]; ok {
				delete(gone, string(buf))
				g := &tt.list[j]
				ch.Before, ch.Reinserted = g.before, g.deleted
				seq, moved = min(seq, g.seq), !t.WithoutRowID
			}
		}
		if ch.Before == nil || !value.EqualAll(ch.Before, ch.After) {
			out = append(out, placed{seq, ch})
		} else if moved {
			tt.moved = append(tt.moved, ch.Key)
		}
		tt.keysOnly.insertOrDelete = tt.keysOnly.insertOrDelete || moved
	}
	// A delete comes before an insert that began at the same touch.
	var dels []placed
	for _, i := range gone {
		e := &tt.list[i]
		dels = append(dels, placed{e.seq, Change{Table: t, Key: t.KeyOf(e.before, e.rowid), Before: e.before}})
	}
	if len(dels) == 0 {
		return out, nil
	}
	slices.SortFunc(dels, func(a, b placed) int { return cmp.Compare(a.seq, b.seq) })
	return append(dels, out...), nil
}

// reread fills touch.after for all rows of tt.
func (cp *Capture) reread(tt *touched) error {
	t := tt.t
	var cols strings.Builder
	for i := range t.Columns {
		cols.WriteString(", ")
		cols.WriteString(sqlite3.QuoteIdentifier(t.Columns[i].Name))
	}
	from := " FROM main." + sqlite3.QuoteIdentifier(t.Name) + " WHERE "
	if t.WithoutRowID {
		return cp.rereadKeys(tt, "SELECT "+cols.String()[2:]+from+t.WhereKey())
	}
	if t.RowID == "" {
		return errcode.New(errcode.SyncSchema, "store: commit",
			"the synced table "+t.Name+" has columns named rowid, _rowid_ and oid, so that its rows cannot be named")
	}
	return cp.rereadRows(tt, "SELECT "+t.RowID+cols.String()+from+t.RowID+" BETWEEN ? AND ?")
}

func (cp *Capture) rereadKeys(tt *touched, sql string) error {
	return cp.with(sql, func(s *sqlconn.Stmt) error {
		for i := range tt.list {
			e := &tt.list[i]
			if err := s.Bind(value.Params{Positional: e.key}); err != nil {
				return err
			}
			if s.Step() {
				e.after = make([]value.Value, len(tt.t.Columns))
				if err := sqlconn.Scan(s.Stmt, e.after); err != nil {
					return err
				}
			}
			if err := s.Reset(); err != nil {
				return err
			}
		}
		return nil
	})
}

// rereadRows reads by rowid. Rowids that lie close together, as those of a
// bulk insert, are read in one scan.
func (cp *Capture) rereadRows(tt *touched, sql string) error {
	ids := make([]int64, 0, len(tt.list))
	for i := range tt.list {
		ids = append(ids, tt.list[i].rowid)
	}
	slices.Sort(ids)
	return cp.with(sql, func(s *sqlconn.Stmt) error {
		width := len(tt.t.Columns)
		row := make([]value.Value, width+1)
		var slab []value.Value // one allocation for many rows
		for len(ids) > 0 {
			n := 1
			for n < len(ids) && uint64(ids[n])-uint64(ids[n-1]) <= 4 {
				n++
			}
			if err := s.Bind(value.Params{Positional: []value.Value{ids[0], ids[n-1]}}); err != nil {
				return err
			}
			for s.Step() {
				if err := sqlconn.Scan(s.Stmt, row); err != nil {
					return err
				}
				i, ok := tt.rows[row[0].(int64)]
				if !ok {
					continue
				}
				if len(slab) < width {
					slab = make([]value.Value, width*min(1024, n))
				}
				tt.list[i].after = slab[:width:width]
				slab = slab[width:]
				copy(tt.list[i].after, row[1:])
			}
			if err := s.Reset(); err != nil {
				return err
			}
			ids = ids[n:]
		}
		return nil
	})
}

// with prepares a statement of the capture's own and releases it.
func (cp *Capture) with(sql string, f func(*sqlconn.Stmt) error) error {
	s, _, err := cp.c.Prepare(sql, sqlconn.Trusted)
	if err != nil {
		return err
	}
	defer cp.c.Release(s, sqlconn.Trusted)
	return f(s)
}
