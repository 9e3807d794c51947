// Package salvage copies what can be read of a damaged file into a new database.
package salvage

import (
	"context"
	"strings"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/internal/store"
	"heddle.dev/heddle/internal/store/sqlconn"
	"heddle.dev/heddle/internal/store/sqlerr"
	"heddle.dev/heddle/internal/value"
)

// Result is what could be read of a damaged file's tables.
type Result struct {
	Rows int64
	Lost []string // tables that could not be read whole
}

// Copy copies what can be read of a damaged file into db, which is
// new: the rows of tables that are not synced (those of the others come from the
// server). From a table that breaks off it takes the rows before the break and
// those after it. Virtual tables are left as the migrations made them; triggers
// fire. from is used inside SQLite only, like one of this database's.
func Copy(ctx context.Context, db *store.DB, from *sqlite3.Conn) (Result, error) {
	var all Result
	for _, t := range db.Tables() {
		if t.Synced || t.Virtual {
			continue
		}
		s := &salvage{from: from, t: t}
		err := db.Apply(ctx, s.copy)
		if err != nil {
			return all, sqlerr.Wrap(ctx, err, "store: salvage", "")
		}
		all.Rows += s.rows
		if s.lost {
			all.Lost = append(all.Lost, t.Name)
		}
	}
	return all, nil
}

type salvage struct {
	from *sqlite3.Conn
	t    *store.Table
	tx   *store.Tx
	put  *sqlite3.Stmt
	rows int64
	lost bool
}

func (s *salvage) copy(tx *store.Tx) error {
	s.tx = tx
	var columns []string
	err := tx.Inside(func(*sqlite3.Conn) error {
		columns = s.columns()
		return nil
	})
	if err != nil || s.lost || len(columns) == 0 {
		return err
	}
	if !s.t.WithoutRowID && !s.t.RowIDKey && s.t.RowID != "" {
		columns = append(columns, s.t.RowID)
	}
	list := strings.Join(columns, ", ")
	table := "main." + sqlite3.QuoteIdentifier(s.t.Name)
	err = tx.Inside(func(c *sqlite3.Conn) (err error) {
		// What a migration put there, the file has as well, or its user took it away.
		if err := c.Exec("DELETE FROM " + table); err != nil {
			return err
		}
		s.put, _, err = c.Prepare("INSERT OR REPLACE INTO " + table + "(" + list + ") VALUES(?" + strings.Repeat(", ?",
			len(columns)-1) + ")")
		return err
	})
	if err != nil {
		return err
	}
	defer tx.Inside(func(*sqlite3.Conn) error { return s.put.Close() })
	read := "SELECT " + list + " FROM " + table + " NOT INDEXED"
	if err := s.pass(read); err != nil || !s.lost {
		return err
	}
	order := s.t.RowID + " DESC"
	if s.t.WithoutRowID {
		var keys []string
		for _, k := range s.t.Key {
			keys = append(keys, sqlite3.QuoteIdentifier(s.t.Columns[k].Name)+" DESC")
		}
		order = strings.Join(keys, ", ")
	}
	if order == " DESC" {
		return nil
	}
	return s.pass(read + " ORDER BY " + order)
}

// columns are those that both files have, quoted.
func (s *salvage) columns() (names []string) {
	p, _, err := s.from.Prepare(`SELECT name FROM pragma_table_info(?)`)
	if err != nil {
		s.lost = true
		return nil
	}
	defer p.Close()
	if p.BindText(1, s.t.Name) != nil {
		return nil
	}
	for p.Step() {
		if i := s.t.ColumnIndex(p.ColumnText(0)); i >= 0 && !s.t.Columns[i].Generated {
			names = append(names, sqlite3.QuoteIdentifier(s.t.Columns[i].Name))
		}
	}
	s.lost = p.Err() != nil
	return names
}

// pass copies rows until the end, or until the file cannot be read further.
func (s *salvage) pass(sql string) error {
	const portion = 500
	var p *sqlite3.Stmt
	defer s.tx.Inside(func(*sqlite3.Conn) error {
		_ = p.Close() // it repeats the error of the last step, and the damage is not this database's
		return nil
	})
	for first, more := true, true; more; first = false {
		err := s.tx.Inside(func(*sqlite3.Conn) (err error) {
			if first {
				if p, _, err = s.from.Prepare(sql); err != nil {
					s.lost, more = true, false
					return nil
				}
			}
			row := make([]value.Value, p.ColumnCount())
			for range portion {
				if more = p.Step(); !more {
					s.lost = s.lost || p.Err() != nil
					return nil
				}
				if sqlconn.Scan(p, row) != nil {
					s.lost, more = true, false
					return nil
				}
				for i, v := range row {
					if err := sqlconn.BindValue(s.put, i+1, v); err != nil {
						return err
					}
				}
				if err := s.put.Exec(); err != nil {
					return err
				}
				s.rows++
			}
			return nil
		})
		if err != nil {
			return err
		}
		s.tx.Yield()
	}
	return nil
}
