package replica

import (
	"context"
	"maps"
	"slices"

	"github.com/ncruces/go-sqlite3"
	"google.golang.org/protobuf/encoding/protowire"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/store"
	"heddle.dev/heddle/internal/value"
	"heddle.dev/heddle/sync/fold"
	"heddle.dev/heddle/sync/replica/internal/synced"
	"heddle.dev/heddle/sync/wire"
)

// A member of a sealed space makes its snapshots: of the rows in the log's prefix, which
// are those of the tables, but for keys that pending transactions touch (heddle_row has
// their base images), and for what the tables do not know or cannot hold
// (heddle_overflow).

// PrefixReader reads all rows of the prefix as it is at one moment. The app and sync go
// on meanwhile. It belongs to one goroutine.
type PrefixReader struct {
	Position wire.Position
	Digest   wire.Hash // of the rows, as it is kept
	Schema   *fold.Schema

	r        *store.Reader
	conn     synced.Conn
	tables   map[string]*synced.Table
	overflow map[string]contents
	names    []string // of the tables that are still to be read, in order
	reading  *prefixTable
}

// PrefixRow is a row of the prefix, encoded.
type PrefixRow struct {
	Table      string
	Key, Cells []byte
}

// maxBeside is how many rows a snapshot takes from beside the tables: they are put in
// order in memory. A device that has more leaves it to others.
const maxBeside = 100_000

// OpenPrefix begins to read. The caller closes it. HEDDLE_BEHIND: the prefix is not whole.
// HEDDLE_UNSUPPORTED: this device cannot, others may.
func (rep *Replica) OpenPrefix(ctx context.Context) (_ *PrefixReader, err error) {
	const op = "sync: read the prefix"
	r, err := rep.db.OpenReader(ctx)
	if err != nil {
		return nil, err
	}
	p := &PrefixReader{r: r}
	defer func() {
		if err != nil {
			p.Close()
		}
	}()
	return p, p.inside(ctx, func() error {
		s, err := loadState(&p.conn, nil)
		if err != nil {
			return err
		}
		if s.bootstrap != nil || s.former != nil || s.over != 0 || s.pos.Seq == 0 {
			return errcode.New(errcode.Behind, op, "the log's prefix is not whole")
		}
		beside, err := p.conn.Int(`SELECT (SELECT count(*) FROM heddle_row) +
			(SELECT count(*) FROM heddle_overflow WHERE whole)`)
		if err != nil {
			return err
		}
		if beside > maxBeside {
			return errcode.New(errcode.Unsupported, op, "too many rows are pending, or of tables that this app does not know")
		}
		over := rows{Conn: &p.conn}
		if err := over.loadOverflow(); err != nil {
			return err
		}
		p.Position, p.Digest, p.Schema, p.overflow = s.pos, s.digest.Sum(), s.schema, over.overflow
		p.tables = synced.Undisputed(rep.tables, s.schema)
		for _, d := range s.schema.Tables() {
			p.names = append(p.names, d.Table)
		}
		slices.Sort(p.names)
		return nil
	})
}

// Inside runs f inside SQLite with a connection that sees the same moment.
func (p *PrefixReader) Inside(ctx context.Context, f func(Conn) error) error {
	return p.inside(ctx, func() error { return f(&p.conn) })
}

func (p *PrefixReader) inside(ctx context.Context, f func() error) error {
	return p.r.Inside(ctx, func(c *sqlite3.Conn) error {
		p.conn.SQLite = c
		return f()
	})
}

// Close ends the reading.
func (p *PrefixReader) Close() {
	_ = p.inside(context.Background(), func() error {
		if p.reading != nil {
			p.reading.close()
		}
		p.conn.Close()
		return nil
	})
	p.r.Close()
}

// Next returns the next rows, by table and in it in the order of wire.CompareKeys; none
// at the end.
func (p *PrefixReader) Next(ctx context.Context) (some []PrefixRow, err error) {
	for len(some) == 0 && (p.reading != nil || len(p.names) > 0) {
		err := p.inside(ctx, func() (err error) {
			if p.reading == nil {
				if p.reading, err = p.table(p.names[0]); err != nil {
					return err
				}
				p.names = p.names[1:]
			}
			var more bool
			if some, more, err = p.reading.next(); err != nil || more {
				return err
			}
			p.reading.close()
			p.reading = nil
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return some, nil
}

// prefixTable reads one table.
type prefixTable struct {
	name   string
	stmt   *sqlite3.Stmt // nil where the app does not know the table
	key    int           // columns of it
	cells  []prefixCell  // the others that the log knows, by name
	row    *PrefixRow    // of the table, read ahead
	ended  bool          // there are no more of the table
	beside []PrefixRow   // rows that count in the place of the table's; without cells there is none
	is     map[string]bool
	some   bool // heddle_overflow has cells of its rows
	conn   *synced.Conn
}

// prefixCell is a column with what stands before its value in an encoded row.
type prefixCell struct {
	column int
	name   string
	head   []byte
}

func (p *PrefixReader) table(name string) (_ *prefixTable, err error) {
	t := &prefixTable{name: name, conn: &p.conn, is: map[string]bool{}, some: p.overflow[name]&someCells != 0}
	for _, sql := range []string{`SELECT key, base FROM heddle_row WHERE tbl = ?`,
		`SELECT key, cells FROM heddle_overflow WHERE tbl = ? AND whole`} {
		if err := p.conn.Query(sql, []any{name}, t.takeBeside); err != nil {
			return nil, err
		}
	}
	var bad error
	slices.SortStableFunc(t.beside, func(a, b PrefixRow) int {
		order, err := wire.CompareKeys(a.Key, b.Key)
		if err != nil {
			bad = err
		}
		return order
	})
	known := p.tables[name]
	if bad != nil || known == nil {
		return t, bad
	}
	t.key = len(known.Key)
	for i, column := range known.Columns {
		if known.Told(column, p.Schema) {
			t.cells = append(t.cells, prefixCell{t.key + i, column, protowire.AppendString(nil, column)})
		}
	}
	slices.SortFunc(t.cells, func(a, b prefixCell) int {
		if a.name < b.name {
			return -1
		}
		return 1
	})
	all := append(slices.Clone(known.Key), known.Columns...)
	t.stmt, _, err = p.conn.SQLite.Prepare("SELECT " + synced.Idents(all, "", ", ") + " FROM main." +
		synced.Ident(known.Name) + " ORDER BY " + synced.Idents(known.Key, "", ", "))
	return t, err
}

// takeBeside takes a row from beside the tables. A base image counts before all.
func (t *prefixTable) takeBeside(s *sqlite3.Stmt) error {
	r := PrefixRow{Table: t.name, Key: s.ColumnBlob(0, []byte{})}
	if s.ColumnType(1) != sqlite3.NULL {
		r.Cells = s.ColumnBlob(1, []byte{})
	}
	if !t.is[string(r.Key)] {
		t.is[string(r.Key)] = true
		t.beside = append(t.beside, r)
	}
	return nil
}

func (t *prefixTable) close() {
	if t.stmt != nil {
		t.stmt.Close()
	}
}

// next returns some rows. more is false after the last.
func (t *prefixTable) next() (some []PrefixRow, more bool, err error) {
	for n := 0; n < chunk; n++ {
		if t.row == nil {
			if t.row, err = t.step(); err != nil {
				return nil, false, err
			}
		}
		from := t.row
		if len(t.beside) > 0 && from != nil {
			order, err := wire.CompareKeys(t.beside[0].Key, from.Key)
			if err != nil {
				return nil, false, err
			}
			if order <= 0 {
				from = nil
			}
		}
		switch {
		case from != nil:
			t.row = nil
			some = append(some, *from)
		case len(t.beside) > 0:
			if t.beside[0].Cells != nil {
				some = append(some, t.beside[0])
			}
			t.beside = t.beside[1:]
		default:
			return some, false, nil
		}
	}
	return some, true, nil
}

// step returns the table's next row that counts, nil at its end.
func (t *prefixTable) step() (*PrefixRow, error) {
	for t.stmt != nil && !t.ended && t.stmt.Step() {
		r := &PrefixRow{Table: t.name}
		for i := range t.key {
			r.Key = appendColumn(r.Key, t.stmt, i)
		}
		if t.is[string(r.Key)] {
			continue
		}
		r.Cells = []byte{wire.RowVersion}
		for i := range t.cells {
			r.Cells = appendColumn(append(r.Cells, t.cells[i].head...), t.stmt, t.cells[i].column)
		}
		if t.some {
			if err := t.addCells(r); err != nil {
				return nil, err
			}
		}
		return r, nil
	}
	if t.stmt == nil || t.ended {
		return nil, nil
	}
	t.ended = true // another step would begin anew
	return nil, t.stmt.Err()
}

// addCells adds the cells that the table does not know.
func (t *prefixTable) addCells(r *PrefixRow) error {
	return t.conn.Query(`SELECT cells FROM heddle_overflow WHERE tbl = ? AND key = ? AND NOT whole`,
		[]any{r.Table, r.Key}, func(s *sqlite3.Stmt) error {
			all, err := wire.DecodeRow(r.Cells)
			if err != nil {
				return err
			}
			more, err := wire.DecodeRow(s.ColumnBlob(0, nil))
			if err != nil {
				return damaged("heddle_overflow")
			}
			maps.Copy(all, more)
			r.Cells = wire.EncodeRow(all)
			return nil
		})
}

// appendColumn appends a column's value in the canonical encoding.
func appendColumn(b []byte, s *sqlite3.Stmt, i int) []byte {
	switch s.ColumnType(i) {
	case sqlite3.INTEGER:
		return value.AppendCanonical(b, s.ColumnInt64(i))
	case sqlite3.FLOAT:
		return value.AppendCanonical(b, s.ColumnFloat(i))
	case sqlite3.TEXT:
		return protowire.AppendBytes(append(b, value.Text), s.ColumnRawText(i))
	case sqlite3.BLOB:
		return protowire.AppendBytes(append(b, value.Blob), s.ColumnRawBlob(i))
	}
	return append(b, value.Null)
}
