package store

import (
	"fmt"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/store/sqlerr"
)

// Rows go in as they were appended, whether the engine runs some of them or none.
func TestFill_run(t *testing.T) {
	for _, most := range []int{0, 1, 2} { // rows that the engine runs of each call
		opts := Options{Migrations: []string{`CREATE TABLE t(a, b)`}}
		calls := 0
		if most > 0 {
			opts.Engine.RunRows = func(stmt *sqlite3.Stmt, rows []byte, columns, n int) (run Run, code int, ok bool) {
				calls++
				rest := rows
				for ; run.Rows < min(n, most); run.Rows++ {
					for i := 1; i <= columns; i++ {
						var err error
						if rest, err = bindEncoded(stmt, i, rest); err != nil {
							t.Error(err)
						}
					}
					if err := stmt.Exec(); err != nil {
						t.Error(err)
					}
				}
				run.Bytes = len(rows) - len(rest)
				if run.Rows < n {
					return run, -1, true // the next is one to run in Go
				}
				return run, 0, true
			}
		}
		db := openTest(t, opts)
		err := db.Apply(t.Context(), func(tx *Tx) error {
			return tx.Inside(func(c *sqlite3.Conn) error {
				stmt, _, err := c.Prepare(`INSERT INTO t VALUES(?, ?)`)
				if err != nil {
					return err
				}
				defer stmt.Close()
				var f Fill
				f.Null()
				f.Int(-5)
				f.End()
				f.Float(2)
				f.Text([]byte("x"))
				f.End()
				f.Text(nil)
				f.Blob(nil)
				f.End()
				f.Blob([]byte{0, 255})
				f.Text([]byte("end"))
				f.End()
				if _, err := f.Run(tx, stmt); err != nil {
					return err
				}
				_, err = f.Run(tx, stmt) // nothing is left
				return err
			})
		})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		err = db.Query(t.Context(), `SELECT quote(a), quote(b), typeof(a), typeof(b) FROM t ORDER BY rowid`, Params{}, nil,
			func(s *sqlite3.Stmt) error {
				got = append(got, fmt.Sprint(s.ColumnText(0), s.ColumnText(1), s.ColumnText(2), s.ColumnText(3)))
				return nil
			})
		if err != nil {
			t.Fatal(err)
		}
		same(t, got, []string{"NULL-5nullinteger", "2.0'x'realtext", "''X''textblob", "X'00FF''end'blobtext"})
		if (calls > 0) != (most > 0) {
			t.Errorf("the engine was asked %d times", calls)
		}
	}
}

// A row that fails is left out, and those after it run.
func TestFill_fails(t *testing.T) {
	for _, most := range []int{0, 1, 5} { // rows that the engine runs of each call
		opts := Options{Migrations: []string{`CREATE TABLE t(a TEXT PRIMARY KEY, b)`}}
		if most > 0 {
			opts.Engine.RunRows = func(stmt *sqlite3.Stmt, rows []byte, columns, n int) (run Run, code int, ok bool) {
				rest := rows
				for ; run.Rows < min(n, most); run.Rows++ {
					run.Bytes = len(rows) - len(rest)
					for i := 1; i <= columns; i++ {
						rest, _ = bindEncoded(stmt, i, rest)
					}
					if stmt.Step(); stmt.Err() != nil {
						return run, 19, true
					}
					stmt.Reset()
				}
				run.Bytes = len(rows) - len(rest)
				return run, 0, true
			}
		}
		db := openTest(t, opts)
		err := db.Apply(t.Context(), func(tx *Tx) error {
			return tx.Inside(func(c *sqlite3.Conn) error {
				stmt, _, err := c.Prepare(`INSERT INTO t VALUES(?, ?)`)
				if err != nil {
					return err
				}
				defer stmt.Close()
				var f Fill
				for i, key := range []string{"x", "y", "x", "x", "z"} {
					f.Text([]byte(key))
					f.Int(int64(i))
					f.End()
				}
				for _, want := range []int{2, 0} {
					done, err := f.Run(tx, stmt)
					if done != want || errcode.SQLite(sqlerr.Code(err)) != "SQLITE_CONSTRAINT_PRIMARYKEY" {
						t.Errorf("%d: %d rows ran, want %d: %v", most, done, want, err)
					}
				}
				_, err = f.Run(tx, stmt)
				return err
			})
		})
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		err = db.Query(t.Context(), `SELECT group_concat(a || b ORDER BY a) FROM t`, Params{}, nil,
			func(s *sqlite3.Stmt) error {
				got = s.ColumnText(0)
				return nil
			})
		if err != nil || got != "x0,y1,z4" {
			t.Errorf("%d: got %v, %v", most, got, err)
		}
	}
}
