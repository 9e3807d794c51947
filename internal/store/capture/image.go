package capture

import (
	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/internal/value"
)

// RowChange is a row that a transaction changed, in full. A row whose place changes,
// its rowid or the key of a WITHOUT ROWID table, is one that goes and one that comes.
type RowChange struct {
	RowID    int64         // 0 in a WITHOUT ROWID table
	Old, New []value.Value // a value for each of Table.Columns; nil if there was, or is, no row
}

// A commit carries the rows of a table as long as they are few and small: who reads
// them gains nothing from more, and a load loses.
const (
	maxImages     = 64
	maxImageBytes = 256 << 10
)

// noteImage notes the row of an event of a table that is not captured whole, as
// noteRow does of the others.
func (cp *Capture) noteImage(tt *touched, d *sqlite3.PreUpdateData) {
	if tt.full || !tt.t.WithoutRowID && tt.t.RowID == "" || len(tt.list) >= maxImages {
		tt.large = true
	}
	if tt.large {
		if !tt.full {
			tt.rows, tt.keys, tt.list = nil, nil, nil
		}
		return
	}
	before := len(tt.list)
	if tt.t.WithoutRowID {
		cp.noteKey(tt, d)
	} else {
		cp.noteTouch(tt, d)
	}
	for _, t := range tt.list[before:] {
		tt.imageBytes += value.Size(t.before...)
	}
	tt.large = tt.imageBytes > maxImageBytes
}

// images returns the rows that differ. known is false if there are too many.
func (cp *Capture) images(tt *touched) (rows []RowChange, known bool, err error) {
	if tt.t.Virtual || tt.large || len(tt.list) > maxImages {
		return nil, false, nil
	}
	if !tt.full {
		if err := cp.reread(tt); err != nil {
			return nil, false, err
		}
	}
	bytes := 0
	for i := range tt.list {
		e := &tt.list[i]
		after := e.after
		if e.key != nil && after != nil && !value.EqualAll(e.key, tt.t.KeyOf(after, 0)) {
			after = nil // another row, whose key is equal by its collation
		}
		if e.before == nil && after == nil || e.before != nil && after != nil && value.EqualAll(e.before, after) {
			continue
		}
		rows = append(rows, RowChange{RowID: e.rowid, Old: e.before, New: after})
		bytes += value.Size(e.before...) + value.Size(after...)
	}
	return rows, bytes <= maxImageBytes, nil
}
