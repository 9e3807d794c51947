package replica

import (
	"bytes"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/store"
	"heddle.dev/heddle/internal/value"
	"heddle.dev/heddle/sync/fold"
	"heddle.dev/heddle/sync/replica/internal/synced"
	"heddle.dev/heddle/sync/wire"
)

// filler writes the rows of a table that had none: a new replica's. They go from
// the snapshot into the digest and into SQLite without decoding, many in one call
// of the engine. Rows that pending operations touch, and all others, take
// bootstrapRow.
type filler struct {
	a *applier
	// The first key, at or after that of the last row, that pending operations
	// touch; nil for none. Rows come in the order of their keys, as in heddle_row.
	based  []byte
	t      *synced.Table
	key    int // columns of it
	stmt   *sqlite3.Stmt
	digest *fold.Rows
	fill   store.Fill
	seen   []string        // the names of the last row's cells, in order
	names  []int           // and their indices in t.columns; -1: not known
	absent []wire.Scanned  // what a column has that a row has no cell of
	values []*wire.Scanned // the row's, by index in t.columns
	keyBuf []wire.Scanned
	cells  []wire.Cell
	rows   [][2][]byte // key and cells of the rows that are to be written, encoded
}

// filler returns what fills a table, nil if its rows go by bootstrapRow.
func (a *applier) filler(table string, again bool) (*filler, error) {
	t := a.tables[table]
	if t == nil || !a.bootstrap.fresh || again {
		return nil, nil
	}
	f := &filler{a: a, t: t, key: len(a.schema.Key(table)), digest: a.digest.Rows(table, a.schema),
		absent: make([]wire.Scanned, len(t.Columns)), values: make([]*wire.Scanned, len(t.Columns))}
	for i, name := range t.Columns {
		v, err := wire.ScanKey(nil, wire.EncodeKey([]wire.Value{t.DefaultOf(name, a.schema)}))
		if err != nil {
			return nil, err
		}
		f.absent[i] = v[0]
	}
	return f, a.inside(func() (err error) {
		if f.stmt, err = a.Prepare(t.InsertSQL); err != nil || !a.pending {
			return err
		}
		after := []byte{}
		if a.bootstrap.at.Table == table {
			after = append(after, a.bootstrap.at.Key...)
		}
		return f.seek(after)
	})
}

// seek finds the first key, at or after another, that pending operations touch.
func (f *filler) seek(key []byte) error {
	f.based = nil
	return f.a.Query(`SELECT key FROM heddle_row WHERE tbl = ? AND key >= ? ORDER BY key LIMIT 1`, []any{f.t.Name, key},
		func(s *sqlite3.Stmt) error {
			f.based = s.ColumnBlob(0, []byte{})
			return nil
		})
}

// pending reports whether pending operations touch a key. Keys are asked for in
// ascending order.
func (f *filler) pending(key []byte) (bool, error) {
	if f.based != nil && bytes.Compare(f.based, key) < 0 {
		if err := f.seek(key); err != nil {
			return false, err
		}
	}
	return f.based != nil && bytes.Equal(f.based, key), nil
}

// row takes a row. It reports false for one that it leaves to bootstrapRow.
func (f *filler) row(key, cells []byte) (ok bool, err error) {
	if len(cells) == 0 {
		return false, nil
	}
	if based, err := f.pending(key); err != nil || based {
		return false, err
	}
	if f.keyBuf, err = wire.ScanKey(f.keyBuf[:0], key); err != nil {
		return false, err
	}
	if len(f.keyBuf) != f.key {
		return false, errcode.New(errcode.Protocol, "sync: snapshot", "a row of a snapshot has another key than its table")
	}
	if f.cells, err = wire.ScanRow(f.cells[:0], cells); err != nil {
		return false, err
	}
	for i := range f.values {
		f.values[i] = &f.absent[i]
	}
	for i := range f.cells {
		c := f.column(i, f.cells[i].Name)
		if c < 0 {
			return false, nil // a cell that the table does not know
		}
		f.values[c] = &f.cells[i].Value
	}
	if !f.fits() {
		return false, nil
	}
	for i := range f.keyBuf {
		f.put(&f.keyBuf[i])
	}
	for _, v := range f.values {
		f.put(v)
	}
	f.fill.End()
	f.digest.Add(f.keyBuf, f.cells)
	f.rows = append(f.rows, [2][]byte{key, cells})
	return true, nil
}

// fits reports whether the table stores the row's values as they are.
func (f *filler) fits() bool {
	for i := range f.keyBuf {
		if !f.t.KeyAffinity[i].KeepsScanned(&f.keyBuf[i], true) {
			return false
		}
	}
	for i, v := range f.values {
		if !f.t.Affinity[i].KeepsScanned(v, false) {
			return false
		}
	}
	return true
}

// column returns the index of the i-th cell's column: mostly that of the row before.
func (f *filler) column(i int, name []byte) int {
	if i < len(f.seen) && f.seen[i] == string(name) {
		return f.names[i]
	}
	c, ok := f.t.Known[string(name)]
	if !ok {
		c = -1
	}
	f.seen = append(f.seen[:min(i, len(f.seen))], string(name))
	f.names = append(f.names[:min(i, len(f.names))], c)
	return c
}

func (f *filler) put(v *wire.Scanned) {
	switch v.Kind {
	case value.Int:
		f.fill.Int(v.Int)
	case value.Float:
		f.fill.Float(v.Float)
	case value.Text:
		f.fill.Text(v.Bytes)
	case value.Blob:
		f.fill.Blob(v.Bytes)
	default:
		f.fill.Null()
	}
}

// write writes the rows that were taken. Those that the table refuses are
// quarantined.
func (f *filler) write() error {
	for {
		done, err := f.fill.Run(f.a.tx, f.stmt)
		if err == nil {
			break
		}
		err = synced.SQLError(err, f.t.InsertSQL)
		why := synced.Refused(err)
		if why == nil || f.a.SQLite.GetAutocommit() {
			return err
		}
		row := f.rows[done]
		f.rows = f.rows[done+1:]
		k := rowKey{table: f.t.Name, bytes: row[0]}
		if k.key, err = wire.DecodeKey(row[0]); err != nil {
			return err
		}
		cells, err := wire.DecodeRow(row[1])
		if err != nil {
			return err
		}
		f.a.refused = append(f.a.refused, refusedRow{k, *why})
		if err := f.a.quarantine(k, &fold.Row{Cells: cells}, why); err != nil {
			return err
		}
	}
	f.rows = f.rows[:0]
	return nil
}
