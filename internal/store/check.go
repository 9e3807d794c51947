package store

import (
	"context"
	"fmt"
	"strings"
	"time"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/store/dbfile"
	"heddle.dev/heddle/internal/store/sqlconn"
	"heddle.dev/heddle/internal/store/sqlerr"

	"github.com/ncruces/go-sqlite3"
)

// Checked is how far a check has come, and what it found.
type Checked struct {
	Done, Total int64    // pages, about
	Trees       int      // tables and indexes that were walked
	Problems    []string // what is wrong; none: the file is sound
}

const maxProblems = 20

// Check walks every table and index on a connection of its own, a piece at a time,
// so that other calls run in between: each page that it reads passes its checksum
// and SQLite's tests, and an index must have as many entries as its table has rows.
// With full set it ends with SQLite's integrity check, during which no other call
// runs. It reports after each piece. An error means that the check ended early, not
// that it found damage.
func (db *DB) Check(ctx context.Context, full bool, report func(Checked)) (Checked, error) {
	const op = "store: check"
	k := &checker{db: db, ctx: ctx, report: report}
	done, err := db.extraConn(ctx, op)
	if err != nil {
		if k.found("open", err) {
			return k.Checked, nil
		}
		return k.Checked, sqlerr.Wrap(ctx, err, op, "")
	}
	defer done.end()
	k.c = done.c
	err = k.run(full)
	return k.Checked, sqlerr.Wrap(ctx, err, op, "")
}

// extra is a connection for one long operation.
type extra struct {
	c   *conn
	end func()
}

// extraConn opens a reading connection for a long operation, so that no other call
// waits for it. With SingleConn it returns the only connection.
func (db *DB) extraConn(ctx context.Context, op string) (extra, error) {
	if db.opts.SingleConn {
		c, err := db.turn(ctx, db.reader, op)
		return extra{c, func() { db.reader <- c }}, err
	}
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.closed {
		return extra{}, closedErr(op)
	}
	c, err := db.connect(ctx, false)
	if err != nil {
		return extra{}, err
	}
	db.iterators[c] = true
	return extra{c, func() {
		db.mu.Lock()
		defer db.mu.Unlock()
		if !db.closed {
			delete(db.iterators, c)
			c.close()
		}
	}}, nil
}

// About describes the database's files.
type About struct {
	Checksums       bool
	PageSize        int64
	Bytes, LogBytes int64
}

// About looks at the database's files.
func (db *DB) About(ctx context.Context) (about About, err error) {
	const op = "store: about"
	e, err := db.extraConn(ctx, op)
	if err != nil {
		return about, sqlerr.Wrap(ctx, err, op, "")
	}
	defer e.end()
	err = db.inside(ctx, e.c, func() error {
		v, err := e.c.Scalar(`PRAGMA page_size`)
		if err != nil {
			return err
		}
		about.PageSize, _ = v.(int64)
		if _, err := e.c.Scalar(`SELECT count(*) FROM sqlite_schema`); err != nil {
			return err
		}
		// Both the file's header and the snapshot's, which may be in the log, must
		// have room for checksums.
		if v, err = e.c.Scalar(`PRAGMA checksum_verification`); err == nil && v == "1" {
			room, err := e.c.FileControl("main", sqlite3.FCNTL_RESERVE_BYTES)
			about.Checksums = err == nil && room == dbfile.ChecksumSize
		}
		for op, size := range map[sqlite3.FcntlOpcode]*int64{sqlite3.FCNTL_FILE_POINTER: &about.Bytes,
			sqlite3.FCNTL_JOURNAL_POINTER: &about.LogBytes} {
			*size, _ = e.c.fileSize(op)
		}
		return nil
	})
	return about, sqlerr.Wrap(ctx, err, op, "")
}

type checker struct {
	Checked
	db     *DB
	c      *conn
	ctx    context.Context
	report func(Checked)
}

// found notes a sign of damage, and reports whether err is one.
func (k *checker) found(what string, err error) bool {
	if err != nil && !sqlerr.Damaged(err) {
		return false
	}
	if err != nil && len(k.Problems) < maxProblems {
		k.Problems = append(k.Problems, what+": "+strings.TrimPrefix(err.Error(), "sqlite3: "))
	}
	return true
}

// piece runs f inside SQLite. Damage is noted, and is not an error.
func (k *checker) piece(what string, f func() error) error {
	err := k.db.inside(k.ctx, k.c, func() error {
		err := f()
		if misses, _, e := k.c.Status(sqlite3.DBSTATUS_CACHE_MISS, false); e == nil {
			k.Done = max(k.Done, min(misses, k.Total))
		}
		return err
	})
	if k.found(what, err) {
		err = nil
	}
	if k.report != nil {
		k.report(k.Checked)
	}
	k.db.yield()
	return err
}

// tree is a table, or one of its indexes.
type tree struct {
	table, index string
	partial      bool
}

func (k *checker) run(full bool) error {
	var trees []tree
	err := k.piece("schema", func() error {
		if v, err := k.c.Scalar(`PRAGMA page_count`); err != nil {
			return err
		} else if n, ok := v.(int64); ok {
			k.Total = n
		}
		return k.c.Each(`SELECT t.name, i.name, coalesce(i.partial, 0) FROM sqlite_schema AS t
			LEFT JOIN pragma_index_list(t.name) AS i ON i.origin <> 'pk' OR t.sql NOT LIKE '%without%rowid%'
			WHERE t.type = 'table' AND t.rootpage > 0
			UNION ALL SELECT 'sqlite_schema', NULL, 0 ORDER BY 1`, func(s *sqlite3.Stmt) error {
			trees = append(trees, tree{s.ColumnText(0), s.ColumnText(1), s.ColumnBool(2)})
			return nil
		})
	})
	if err != nil {
		return err
	}
	for i := 0; i < len(trees); {
		table := trees[i].table
		var indexes []tree
		for ; i < len(trees) && trees[i].table == table; i++ {
			if trees[i].index != "" && !trees[i].partial {
				indexes = append(indexes, trees[i])
			}
		}
		if err := k.table(table, indexes); err != nil {
			return err
		}
	}
	if full {
		err := k.piece("integrity", func() error {
			return k.c.Each(`PRAGMA integrity_check(20)`, func(s *sqlite3.Stmt) error {
				if text := s.ColumnText(0); text != "ok" {
					return errcode.New(errcode.Damaged, "store: check", text)
				}
				return nil
			})
		})
		if err != nil {
			return err
		}
	}
	k.Done = k.Total
	if k.report != nil {
		k.report(k.Checked)
	}
	return nil
}

// table walks a table and its indexes, in one snapshot.
func (k *checker) table(table string, indexes []tree) error {
	if err := k.piece(table, func() error { return k.c.Exec(`BEGIN`) }); err != nil {
		return err
	}
	defer k.db.inside(context.Background(), k.c, func() error { return k.c.Exec(`ROLLBACK`) })
	rows, whole, err := k.walk(table, "SELECT * FROM main."+sqlite3.QuoteIdentifier(table)+" NOT INDEXED")
	for _, t := range indexes {
		if err != nil {
			return err
		}
		var entries int64
		var all bool
		// The condition keeps SQLite from counting in another index.
		entries, all, err = k.walk(t.index,
			"SELECT 1 FROM main."+sqlite3.QuoteIdentifier(table)+" INDEXED BY "+sqlite3.QuoteIdentifier(t.index)+" WHERE 1")
		if err == nil && whole && all && entries != rows {
			k.found(t.index, errcode.New(errcode.Damaged, "store: check",
				fmt.Sprintf("%d entries, and the table %q has %d rows", entries, table, rows)))
		}
	}
	return err
}

// walk steps through a query, and returns how many rows it has; whole says that
// it came to the end.
func (k *checker) walk(what, sql string) (rows int64, whole bool, err error) {
	var s *sqlconn.Stmt
	err = k.piece(what, func() (err error) {
		s, _, err = k.c.Prepare(sql, sqlconn.Trusted)
		return err
	})
	if err != nil || s == nil {
		return 0, false, err
	}
	defer k.db.inside(context.Background(), k.c, func() error { s.Close(); return nil })
	k.Trees++
	problems := len(k.Problems)
	for err == nil && !whole && len(k.Problems) == problems {
		err = k.piece(what, func() error {
			for end := time.Now().Add(k.db.opts.Bounds.Stretch); !whole; {
				for range 64 {
					if !s.Step() {
						whole = s.Err() == nil
						return s.Err()
					}
					rows++
				}
				if time.Now().After(end) {
					break
				}
			}
			return nil
		})
	}
	return rows, whole, err
}
