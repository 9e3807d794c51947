package store

import (
	"context"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/internal/store/sqlconn"
	"heddle.dev/heddle/internal/store/sqlerr"
)

// Plan says in deps whether the plan of the statement with these parameters reads one
// table in the order of its rowids, and adds to deps the columns of the indexes that the plan of the statement with
// these parameters uses. The statement may not read them, but where its text leaves
// an order open, they decide it, and so which rows a LIMIT keeps.
//
// The plan is another one after a change of the schema, which ANALYZE counts as:
// [Commit.Schema]. It may also be another one for other parameters, unless fixed.
//
// https://sqlite.org/eqp.html https://sqlite.org/opcode.html
func (db *DB) Plan(ctx context.Context, sql string, p Params, deps *Deps) (fixed bool, err error) {
	const op = "store: plan"
	c, err := db.turn(ctx, db.reader, op)
	if err != nil {
		return false, err
	}
	defer func() { db.reader <- c }()
	err = db.inside(ctx, c, func() error {
		// EXPLAIN does not look whether the schema has changed. A read does.
		if _, err := c.Scalar(`SELECT 1 FROM sqlite_schema LIMIT 1`); err != nil {
			return err
		}
		s, err := c.prepareOne(ctx, "EXPLAIN "+sql, sqlconn.UserRead)
		if err != nil || s == nil {
			return err
		}
		defer s.Close() // it is asked about once
		if err := s.Bind(p); err != nil {
			return err
		}
		var roots []int64
		automatic, ascending := false, true
		for s.Step() {
			switch op := s.ColumnText(1); op {
			case "OpenRead", "ReopenIdx":
				if s.ColumnInt(4) == 0 { // main
					roots = append(roots, s.ColumnInt64(3))
				}
			case "OpenAutoindex":
				automatic = true
			default:
				ascending = ascending && !reorders[op]
			}
		}
		if err := s.Err(); err != nil {
			return err
		}
		// Values on which a plan depends make SQLite compile again with them.
		fixed = s.Status(sqlite3.STMTSTATUS_REPREPARE, false) == 0
		if ascending && !automatic && len(roots) == 1 {
			n, err := c.Scalar(`SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND rootpage = ?`, roots[0])
			if err != nil {
				return err
			}
			deps.ByRowID = n == int64(1)
		}
		return db.planned(c, deps, roots, automatic)
	})
	return fixed, sqlerr.Wrap(ctx, err, op, sql)
}

// reorders are the opcodes of plans that read a table in another order than that of its
// rowids, or each row more than once.
var reorders = map[string]bool{"Prev": true, "Last": true, "SeekLE": true, "SeekLT": true, "DeferredSeek": true,
	"OpenEphemeral": true, "SorterOpen": true, "OpenDup": true, "OpenPseudo": true, "RowSetAdd": true, "Yield": true,
	"VFilter": true}

// planned adds the columns of the indexes among the b-trees with the given roots.
func (db *DB) planned(c *conn, deps *Deps, roots []int64, automatic bool) error {
	if automatic {
		// The index for one run also sorts by columns that the query does not read.
		for name := range deps.Reads {
			deps.addAll(db.schema.Table(name))
		}
		return nil
	}
	for _, root := range roots {
		err := c.Each(`SELECT m.tbl_name, x.cid, x.name FROM sqlite_schema m, pragma_index_xinfo(m.name, 'main') x
			WHERE m.type = 'index' AND m.rootpage = ?`, func(s *sqlite3.Stmt) error {
			t := db.schema.Table(s.ColumnText(0))
			switch {
			case t == nil:
			case s.ColumnInt(1) == -1: // the rowid
			case t.ColumnIndex(s.ColumnText(2)) < 0:
				deps.addAll(t) // an expression, or a virtual generated column
			default:
				deps.add(t, s.ColumnText(2))
			}
			return nil
		}, root)
		if err != nil {
			return err
		}
	}
	return nil
}

// All adds every column of every table that is read: for when the plan is unknown.
func (db *DB) All(deps *Deps) {
	for name := range deps.Reads {
		if t, ok := db.Table(name); ok {
			deps.addAll(t)
		}
	}
}

func (d *Deps) add(t *Table, column string) {
	if set := d.Reads[t.Name]; set != nil {
		if i := t.ColumnIndex(column); i >= 0 {
			set[t.Columns[i].Name] = true
		}
	}
}

func (d *Deps) addAll(t *Table) {
	if t == nil {
		return
	}
	for i := range t.Columns {
		d.add(t, t.Columns[i].Name)
	}
}
