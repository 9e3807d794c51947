package client

import (
	"maps"

	"github.com/ncruces/go-sqlite3"

	"heddle/sync/fold"
	"heddle/sync/wire"
)

// rows reads and writes rows whole: the part that the app's tables hold and
// the part that they do not know, in heddle_overflow.
type rows struct {
	*conn
	tables   map[string]*table
	overflow map[string]bool // tables that have rows in heddle_overflow
}

// rowKey names a row.
type rowKey struct {
	table string
	key   []wire.Value
	bytes []byte // key, encoded
}

func keyOf(op *wire.Op) rowKey {
	return rowKey{op.Shape.Table, op.Key, wire.EncodeKey(op.Key)}
}

// visible returns the row as the app sees it, with the cells that it does not
// know. The caller may change neither.
func (r *rows) visible(k rowKey) (*fold.Row, error) {
	t := r.tables[k.table]
	if t == nil {
		return r.overflowed(k)
	}
	row, err := t.read(r.conn, k.key)
	if err != nil || row == nil || !r.overflow[k.table] {
		return row, err
	}
	more, err := r.overflowed(k)
	if err == nil && more != nil {
		maps.Copy(row.Cells, more.Cells)
	}
	return row, err
}

// show makes the row that was before into after.
func (r *rows) show(k rowKey, before, after *fold.Row, s *fold.Schema) error {
	t := r.tables[k.table]
	if t == nil {
		if after == nil {
			return r.dropOverflow(k)
		}
		return r.putOverflow(k, true, after.Cells)
	}
	if err := t.write(r.conn, k.key, before, after, s); err != nil {
		return err
	}
	had, has := t.unknown(before), t.unknown(after)
	switch {
	case len(has) > 0 && !maps.EqualFunc(had, has, identical):
		return r.putOverflow(k, false, has)
	case len(has) == 0 && len(had) > 0:
		return r.dropOverflow(k)
	}
	return nil
}

// unknown returns the cells of columns that the table does not have.
func (t *table) unknown(row *fold.Row) map[string]wire.Value {
	if row == nil {
		return nil
	}
	var cells map[string]wire.Value
	for name, v := range row.Cells {
		if _, ok := t.known[name]; ok {
			continue
		}
		if cells == nil {
			cells = map[string]wire.Value{}
		}
		cells[name] = v
	}
	return cells
}

func (r *rows) overflowed(k rowKey) (row *fold.Row, err error) {
	if !r.overflow[k.table] {
		return nil, nil
	}
	err = r.query(`SELECT cells FROM heddle_overflow WHERE tbl = ? AND key = ?`, []any{k.table, k.bytes}, func(stmt *sqlite3.Stmt) error {
		cells, err := wire.DecodeRow(stmt.ColumnBlob(0, nil))
		row = &fold.Row{Cells: cells}
		return err
	})
	return row, err
}

func (r *rows) putOverflow(k rowKey, whole bool, cells map[string]wire.Value) error {
	n := 0
	if whole {
		n = 1
	}
	if r.overflow == nil {
		r.overflow = map[string]bool{}
	}
	r.overflow[k.table] = true
	return r.exec(`INSERT INTO heddle_overflow(tbl, key, whole, cells) VALUES(?1, ?2, ?3, ?4)
		ON CONFLICT DO UPDATE SET whole = excluded.whole, cells = excluded.cells`,
		k.table, k.bytes, n, wire.EncodeRow(cells))
}

func (r *rows) dropOverflow(k rowKey) error {
	if !r.overflow[k.table] {
		return nil
	}
	return r.exec(`DELETE FROM heddle_overflow WHERE tbl = ? AND key = ?`, k.table, k.bytes)
}

// loadOverflow finds which tables have rows in heddle_overflow.
func (r *rows) loadOverflow() error {
	r.overflow = map[string]bool{}
	return r.query(`SELECT DISTINCT tbl FROM heddle_overflow`, nil, func(stmt *sqlite3.Stmt) error {
		r.overflow[stmt.ColumnText(0)] = true
		return nil
	})
}

// based is a row of heddle_row: a key that pending transactions touch.
type based struct {
	base *fold.Row // the row in the prefix
	ops  []ref     // the pending operations on it, in order
}

// based returns the entry of a key, nil if no pending transaction touches it.
func (r *rows) based(k rowKey) (b *based, err error) {
	err = r.query(`SELECT base, ops FROM heddle_row WHERE tbl = ? AND key = ?`, []any{k.table, k.bytes}, func(stmt *sqlite3.Stmt) (err error) {
		b, err = readBased(stmt)
		return err
	})
	return b, err
}

// basedRow is a row of heddle_row with its key.
type basedRow struct {
	table string
	bytes []byte // the key, encoded
	*based
}

// scanBased returns rows of heddle_row after a key, in the order of the index.
func (r *rows) scanBased(after basedRow, limit int) (some []basedRow, err error) {
	if after.bytes == nil {
		after.bytes = []byte{}
	}
	err = r.query(`SELECT base, ops, tbl, key FROM heddle_row WHERE (tbl, key) > (?, ?) ORDER BY tbl, key LIMIT ?`,
		[]any{after.table, after.bytes, limit}, func(stmt *sqlite3.Stmt) error {
			b, err := readBased(stmt)
			some = append(some, basedRow{stmt.ColumnText(2), stmt.ColumnBlob(3, nil), b})
			return err
		})
	return some, err
}

func readBased(stmt *sqlite3.Stmt) (b *based, err error) {
	b = &based{}
	if stmt.ColumnType(0) != sqlite3.NULL {
		cells, err := wire.DecodeRow(stmt.ColumnBlob(0, nil))
		if err != nil {
			return nil, damaged("heddle_row.base")
		}
		b.base = &fold.Row{Cells: cells}
	}
	b.ops, err = decodeRefs(stmt.ColumnRawBlob(1))
	return b, err
}

// addBased notes an operation of a pending transaction; base counts at the
// first touch of the key alone.
func (r *rows) addBased(k rowKey, base *fold.Row, op ref) error {
	return r.exec(`INSERT INTO heddle_row(tbl, key, base, ops) VALUES(?1, ?2, ?3, ?4)
		ON CONFLICT DO UPDATE SET ops = CAST(ops || excluded.ops AS BLOB)`,
		k.table, k.bytes, encodeBase(base), appendRef(nil, op))
}

// putBased writes back the entry of a key, or drops it without operations.
func (r *rows) putBased(k rowKey, b *based) error {
	if len(b.ops) == 0 {
		return r.exec(`DELETE FROM heddle_row WHERE tbl = ? AND key = ?`, k.table, k.bytes)
	}
	var ops []byte
	for _, op := range b.ops {
		ops = appendRef(ops, op)
	}
	return r.exec(`UPDATE heddle_row SET base = ?1, ops = ?2 WHERE tbl = ?3 AND key = ?4`, encodeBase(b.base), ops, k.table, k.bytes)
}

func encodeBase(row *fold.Row) []byte {
	if row == nil {
		return nil
	}
	return wire.EncodeRow(row.Cells)
}
