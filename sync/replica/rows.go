package replica

import (
	"maps"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/sync/fold"
	"heddle.dev/heddle/sync/replica/internal/synced"
	"heddle.dev/heddle/sync/wire"
)

// rows reads and writes rows whole: the part that the app's tables hold and
// the part that they do not know, in heddle_overflow.
type rows struct {
	*synced.Conn
	tables   map[string]*synced.Table
	overflow map[string]contents // what of tables is in heddle_overflow, at most
	refused  []refusedRow        // what tables have refused in this transaction
}

// contents is what heddle_overflow has of a table.
type contents byte

const (
	someCells contents = 1 << iota // of columns that the table does not have
	wholeRows                      // of a table that is not known, or that cannot hold them
)

// rowKey names a row.
type rowKey struct {
	table string
	key   []wire.Value
	bytes []byte // key, encoded
}

func keyOf(op *wire.Op) rowKey {
	return rowKey{op.Shape.Table, op.Key, wire.EncodeKey(op.Key)}
}

// visible returns the row as the app sees it, with the cells that its table does
// not have; of a quarantined row, the row as the table would show it. The caller
// may change neither.
func (r *rows) visible(k rowKey) (*fold.Row, error) {
	t := r.tables[k.table]
	if t == nil || !t.KeepsKey(k.key) {
		row, _, err := r.overflowed(k)
		return row, err
	}
	row, err := t.Read(r.Conn, k.key)
	if err != nil || r.overflow[k.table] == 0 {
		return row, err
	}
	more, whole, err := r.overflowed(k)
	switch {
	case whole:
		return more, err
	case more != nil && row != nil:
		maps.Copy(row.Cells, more.Cells)
	}
	return row, err
}

// quarantined reports whether a row is kept whole although its table is known.
func (r *rows) quarantined(k rowKey) (whole bool, err error) {
	if r.overflow[k.table]&wholeRows != 0 {
		_, whole, err = r.overflowed(k)
	}
	return whole, err
}

// writeRow makes the row that was before into after.
func (r *rows) writeRow(k rowKey, before, after *fold.Row, s *fold.Schema) error {
	t := r.tables[k.table]
	if t == nil {
		if after == nil {
			return r.dropOverflow(k)
		}
		return r.putOverflow(k, true, after.Cells, nil)
	}
	was, err := r.quarantined(k)
	if err != nil {
		return err
	}
	held := before // by the table
	if was {
		held = nil
	}
	refused := len(r.refused)
	is, err := r.place(t, k, held, after, s)
	if was && is {
		r.refused = r.refused[:refused] // the app knows
	}
	if err != nil || is {
		return err
	}
	if had, has := t.Unknown(before), t.Unknown(after); was || !maps.EqualFunc(had, has, synced.Identical) {
		return r.keepUnknown(k, has)
	}
	return nil
}

// keepUnknown makes cells all that heddle_overflow has of a row.
func (r *rows) keepUnknown(k rowKey, cells map[string]wire.Value) error {
	if len(cells) == 0 {
		return r.dropOverflow(k)
	}
	return r.putOverflow(k, false, cells, nil)
}

// overflowed returns what heddle_overflow has of a row, and whether it is all of it.
func (r *rows) overflowed(k rowKey) (row *fold.Row, whole bool, err error) {
	if r.overflow[k.table] == 0 {
		return nil, false, nil
	}
	err = r.Query(`SELECT whole, cells FROM heddle_overflow WHERE tbl = ? AND key = ?`, []any{k.table, k.bytes},
		func(stmt *sqlite3.Stmt) error {
			cells, err := wire.DecodeRow(stmt.ColumnBlob(1, nil))
			row, whole = &fold.Row{Cells: cells}, stmt.ColumnBool(0)
			return err
		})
	return row, whole, err
}

// putOverflow keeps a row, or cells of one. why is given of a quarantined row.
func (r *rows) putOverflow(k rowKey, whole bool, cells map[string]wire.Value, why *synced.Violation) error {
	n, what := 0, someCells
	if whole {
		n, what = 1, wholeRows
	}
	var code, rule any
	if why != nil {
		code, rule = why.Code, why.Text
	}
	r.overflow[k.table] |= what
	return r.Exec(`INSERT INTO heddle_overflow(tbl, key, whole, cells, code, rule) VALUES(?1, ?2, ?3, ?4, ?5, ?6)
		ON CONFLICT DO UPDATE SET whole = excluded.whole, cells = excluded.cells, code = excluded.code, rule = excluded.rule`,
		k.table, k.bytes, n, wire.EncodeRow(cells), code, rule)
}

func (r *rows) dropOverflow(k rowKey) error {
	if r.overflow[k.table] == 0 {
		return nil
	}
	return r.Exec(`DELETE FROM heddle_overflow WHERE tbl = ? AND key = ?`, k.table, k.bytes)
}

// loadOverflow finds which tables have cells or rows in heddle_overflow.
func (r *rows) loadOverflow() error {
	r.overflow = map[string]contents{}
	return r.Query(`SELECT DISTINCT tbl, whole FROM heddle_overflow`, nil, func(stmt *sqlite3.Stmt) error {
		what := someCells
		if stmt.ColumnBool(1) {
			what = wholeRows
		}
		r.overflow[stmt.ColumnText(0)] |= what
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
	err = r.Query(`SELECT base, ops FROM heddle_row WHERE tbl = ? AND key = ?`, []any{k.table, k.bytes},
		func(stmt *sqlite3.Stmt) (err error) {
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
	err = r.Query(`SELECT base, ops, tbl, key FROM heddle_row WHERE (tbl, key) > (?, ?) ORDER BY tbl, key LIMIT ?`,
		[]any{after.table, after.bytes, limit}, func(stmt *sqlite3.Stmt) error {
			b, err := readBased(stmt)
			some = append(some, basedRow{stmt.ColumnText(2), stmt.ColumnBlob(3, nil), b})
			return err
		})
	return some, err
}

// eachBased calls f with each key that pending transactions touch, of one table, or
// of all where table is "".
func (r *rows) eachBased(table string, f func(k rowKey, b *based) error) error {
	for after := (basedRow{table: table}); ; {
		some, err := r.scanBased(after, chunk)
		if err != nil {
			return err
		}
		for _, b := range some {
			if table != "" && b.table != table {
				return nil
			}
			k := rowKey{table: b.table, bytes: b.bytes}
			if k.key, err = wire.DecodeKey(b.bytes); err != nil {
				return damaged("heddle_row")
			}
			if err := f(k, b.based); err != nil {
				return err
			}
		}
		if len(some) < chunk {
			return nil
		}
		after = some[len(some)-1]
	}
}

// anyBased reports whether pending transactions touch rows of a table.
func (r *rows) anyBased(table string) (found bool, err error) {
	return r.Has(`SELECT 1 FROM heddle_row WHERE tbl = ? LIMIT 1`, table)
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
	return r.Exec(`INSERT INTO heddle_row(tbl, key, base, ops) VALUES(?1, ?2, ?3, ?4)
		ON CONFLICT DO UPDATE SET ops = CAST(ops || excluded.ops AS BLOB)`,
		k.table, k.bytes, encodeBase(base), appendRef(nil, op))
}

// putBased writes back the entry of a key, or drops it without operations.
func (r *rows) putBased(k rowKey, b *based) error {
	if len(b.ops) == 0 {
		return r.Exec(`DELETE FROM heddle_row WHERE tbl = ? AND key = ?`, k.table, k.bytes)
	}
	var ops []byte
	for _, op := range b.ops {
		ops = appendRef(ops, op)
	}
	return r.Exec(`UPDATE heddle_row SET base = ?1, ops = ?2 WHERE tbl = ?3 AND key = ?4`, encodeBase(b.base), ops,
		k.table, k.bytes)
}

func encodeBase(row *fold.Row) []byte {
	if row == nil {
		return nil
	}
	return wire.EncodeRow(row.Cells)
}
