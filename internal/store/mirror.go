package store

import (
	"context"

	"heddle.dev/heddle/internal/store/sqlerr"

	"github.com/ncruces/go-sqlite3"
)

// Mirror is what a connection without the data needs to compile the same reads.
type Mirror struct {
	Tables []MirrorTable
	Views  []string // the statements that create them
	UTF8   bool     // how text is kept, and so compared
}

// MirrorTable is a table with all its columns. Virtual tables are left out.
type MirrorTable struct {
	*Table
	All []MirrorColumn
}

// MirrorColumn is a column that SELECT * names.
type MirrorColumn struct {
	Name, Decl, Collation string
	Stored                int // its index in Table.Columns; -1 if it is a virtual generated column
}

// Mirror describes the main schema.
func (db *DB) Mirror(ctx context.Context) (m Mirror, err error) {
	const op = "store: mirror"
	c, err := db.turn(ctx, db.reader, op)
	if err != nil {
		return m, err
	}
	defer func() { db.reader <- c }()
	err = db.inside(ctx, c, func() error {
		encoding, err := c.Scalar(`PRAGMA encoding`)
		if err != nil {
			return err
		}
		m.UTF8 = encoding == "UTF-8"
		for _, t := range db.schema.Tables {
			if t.Virtual {
				continue
			}
			mt := MirrorTable{Table: t}
			err := c.Each(`SELECT name, type FROM pragma_table_xinfo(?, 'main') WHERE hidden <> 1`,
				func(s *sqlite3.Stmt) error {
					col := MirrorColumn{Name: s.ColumnText(0), Decl: s.ColumnText(1)}
					_, col.Collation, _, _, _, err = c.TableColumnMetadata("main", t.Name, col.Name)
					col.Stored = t.ColumnIndex(col.Name)
					mt.All = append(mt.All, col)
					return err
				}, t.Name)
			if err != nil {
				return err
			}
			m.Tables = append(m.Tables, mt)
		}
		return c.Each(`SELECT sql FROM sqlite_schema WHERE type = 'view'`, func(s *sqlite3.Stmt) error {
			m.Views = append(m.Views, s.ColumnText(0))
			return nil
		})
	})
	return m, sqlerr.Wrap(ctx, err, op, "")
}

// Alone runs f while no goroutine uses any of the connections: for work on another
// connection, since all of them are one engine. f does not wait, and does not call
// the database.
func (db *DB) Alone(f func() error) (err error) {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.closed {
		return closedErr("store: use")
	}
	defer func() {
		if r := recover(); r != nil {
			err = sqlerr.Recovered(r)
		}
	}()
	return f()
}
