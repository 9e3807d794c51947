package conformance

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/ncruces/go-sqlite3"
)

var callbackCases = []Case{
	{"callback/preupdate", func(r *recorder) {
		db := r.memory()
		r.sql(db, `CREATE TABLE t(a INTEGER PRIMARY KEY, b, c); CREATE TABLE w(k TEXT PRIMARY KEY, v) WITHOUT ROWID; `+
			`CREATE TABLE x(y REFERENCES t ON DELETE CASCADE)`)
		r.sql(db, `CREATE TRIGGER tr AFTER UPDATE ON t BEGIN INSERT OR REPLACE INTO w VALUES (new.b, new.c); END`)
		db.PreUpdateHook(func(d sqlite3.PreUpdateData) {
			line := fmt.Sprintf("%d %s.%s %d %d depth %d count %d", d.Op, d.Schema, d.Table, d.OldRowID, d.NewRowID, d.Depth(),
				d.Count())
			for i := range d.Count() {
				if d.Op != sqlite3.AUTH_INSERT {
					line += " old " + describeValue(d.Old(i))
				}
				if d.Op != sqlite3.AUTH_DELETE {
					line += " new " + describeValue(d.New(i))
				}
			}
			r.logf("%s", line)
		})
		r.sql(db, `INSERT INTO t VALUES (1, 'one', 1.5), (9007199254740993, x'00ff', NULL); INSERT INTO x VALUES (1)`)
		r.sql(db, `UPDATE t SET b = 'two'; UPDATE t SET a = a + 1 WHERE a = 1`)
		r.sql(db, `UPDATE OR REPLACE t SET a = 2 WHERE a > 100; INSERT OR REPLACE INTO w VALUES ('two', 'again')`)
		r.sql(db, `REPLACE INTO t VALUES (2, 'replaced', 'row'); DELETE FROM t; DELETE FROM w WHERE 1`)
	}},
	{"callback/hooks", func(r *recorder) {
		db := r.memory()
		r.sql(db, `CREATE TABLE t(a INTEGER PRIMARY KEY, b)`)
		db.UpdateHook(func(op sqlite3.AuthorizerActionCode, schema, table string, rowid int64) {
			r.logf("update %d %s.%s %d", op, schema, table, rowid)
		})
		allow := true
		db.CommitHook(func() bool { r.logf("commit"); return allow })
		db.RollbackHook(func() { r.logf("rollback") })
		r.sql(db, `INSERT INTO t VALUES (1, 2); UPDATE t SET b = 3; DELETE FROM t WHERE a = 1`)
		allow = false
		r.sql(db, `INSERT INTO t VALUES (1, 2)`)
		r.sql(db, `BEGIN; INSERT INTO t VALUES (5, 5); ROLLBACK`)
		db.CommitHook(nil)
		err := db.SetAuthorizer(func(action sqlite3.AuthorizerActionCode, n3, n4, schema,
			inner string) sqlite3.AuthorizerReturnCode {
			r.logf("auth %d %q %q %q %q", action, n3, n4, schema, inner)
			switch {
			case action == sqlite3.AUTH_READ && n4 == "b":
				return sqlite3.AUTH_IGNORE
			case action == sqlite3.AUTH_DROP_TABLE:
				return sqlite3.AUTH_DENY
			}
			return sqlite3.AUTH_OK
		})
		r.logf("authorizer: %s", describe(err))
		r.sql(db, `SELECT a, b, count(*) FROM t WHERE a > (SELECT max(a) FROM t)`)
		r.sql(db, `DROP TABLE t`)
		db.SetAuthorizer(nil)
		err = db.Trace(sqlite3.TRACE_STMT, func(_ sqlite3.TraceEvent, _, sql any) error {
			r.logf("trace %v", sql)
			return nil
		})
		r.logf("trace: %s", describe(err))
		r.sql(db, `INSERT INTO t VALUES (?1, 'x')`, 77)
	}},
	{"callback/functions", func(r *recorder) {
		db := r.memory()
		errs := errors.Join(
			db.CreateFunction("describe", -1, sqlite3.DETERMINISTIC, func(ctx sqlite3.Context, arg ...sqlite3.Value) {
				var all []string
				for _, a := range arg {
					all = append(all, describeValue(a, nil))
				}
				ctx.ResultText(strings.Join(all, ", "))
			}),
			db.CreateFunction("answer", 1, 0, func(ctx sqlite3.Context, arg ...sqlite3.Value) {
				switch arg[0].Text() {
				case "int":
					ctx.ResultInt64(1<<53 + 1)
				case "float":
					ctx.ResultFloat(0.1)
				case "blob":
					ctx.ResultBlob([]byte{0, 1, 2})
				case "zeroblob":
					ctx.ResultZeroBlob(3)
				case "null":
					ctx.ResultNull()
				case "bool":
					ctx.ResultBool(true)
				case "nul text":
					ctx.ResultText("a\x00b")
				case "error":
					ctx.ResultError(errors.New("went wrong"))
				case "busy":
					ctx.ResultError(sqlite3.BUSY)
				case "unique":
					ctx.ResultError(sqlite3.CONSTRAINT_UNIQUE)
				case "too big":
					ctx.ResultError(sqlite3.TOOBIG)
				default:
					ctx.ResultValue(arg[0])
				}
			}),
			db.CreateWindowFunction("median_len", 1, sqlite3.DETERMINISTIC,
				func() sqlite3.AggregateFunction { return new(lengths) }),
			db.CreateCollation("by_length", func(a, b []byte) int {
				if len(a) != len(b) {
					return len(a) - len(b)
				}
				return bytes.Compare(a, b)
			}),
		)
		r.logf("%s", describe(errs))
		r.sql(db, `SELECT describe(1, 2.5, 'x', x'00', NULL, 'a' || char(0)), describe()`)
		for _, a := range []string{"int", "float", "blob", "zeroblob", "null", "bool", "nul text", "error", "busy", "unique",
			"too big", "else"} {
			r.sql(db, `SELECT answer(?), 'after'`, a)
		}
		r.sql(db, `CREATE TABLE t(x); INSERT INTO t VALUES ('ccc'), ('a'), ('bb'), ('dddd'); SELECT median_len(x) FROM t; `+
			`SELECT x, median_len(x) OVER (ORDER BY x ROWS 1 PRECEDING) FROM t`)
		r.sql(db, `SELECT x FROM t ORDER BY x COLLATE by_length; CREATE INDEX i ON t(x COLLATE by_length); `+
			`SELECT x FROM t WHERE x COLLATE by_length > 'zz'`)
		r.sql(db, `SELECT describe(1, 2), median_len(1, 2)`)
		r.sql(db, `SELECT x FROM t ORDER BY x COLLATE none`)
		r.sql(db, `SELECT base64(x'000102ff'), base64('AAEC/w==')`)
		r.sql(db, `SELECT '2024-01-01T00:00:00Z' < '2024-01-01T00:00:00.1Z' COLLATE time`)
	}},
	{"callback/virtual table", func(r *recorder) {
		db := r.memory()
		//lint:ignore SA1019 The method that takes its place needs Go 1.27.
		err := sqlite3.CreateModule(db, "squares", nil, func(c *sqlite3.Conn, _, _, _ string, _ ...string) (squares, error) {
			return squares{}, c.DeclareVTab(`CREATE TABLE x(n INTEGER, sq INTEGER, lim INTEGER HIDDEN)`)
		})
		r.logf("%s", describe(err))
		r.sql(db, `SELECT n, sq FROM squares(5)`)
		r.sql(db, `SELECT sum(sq), count(*) FROM squares WHERE lim = 1000 AND sq % 2 = 0`)
		r.sql(db, `SELECT a.n, b.n FROM squares(3) a JOIN squares(3) b ON a.sq = b.n ORDER BY 1, 2`)
		r.sql(db, `SELECT * FROM squares`)
		r.sql(db, `INSERT INTO squares VALUES (1, 1)`)
	}},
}

func describeValue(v sqlite3.Value, err error) string {
	if err != nil {
		return describe(err)
	}
	switch v.Type() {
	case sqlite3.INTEGER:
		return fmt.Sprint(v.Int64())
	case sqlite3.FLOAT:
		return fmt.Sprintf("%v", v.Float())
	case sqlite3.TEXT:
		return fmt.Sprintf("%q", v.RawText())
	case sqlite3.BLOB:
		return fmt.Sprintf("x'%X'", v.RawBlob())
	}
	return "NULL"
}

// lengths is a window function over the lengths of texts.
type lengths struct{ all []int }

func (l *lengths) Step(_ sqlite3.Context, arg ...sqlite3.Value) {
	l.all = append(l.all, len(arg[0].Text()))
}
func (l *lengths) Inverse(sqlite3.Context, ...sqlite3.Value) { l.all = l.all[1:] }
func (l *lengths) Value(ctx sqlite3.Context)                 { ctx.ResultText(fmt.Sprint(l.all)) }

// squares is a virtual table of the squares up to a limit.
type squares struct{}

func (squares) BestIndex(idx *sqlite3.IndexInfo) error {
	for i, c := range idx.Constraint {
		if c.Column == 2 && c.Op == sqlite3.INDEX_CONSTRAINT_EQ && c.Usable {
			idx.ConstraintUsage[i] = sqlite3.IndexConstraintUsage{ArgvIndex: 1, Omit: true}
			idx.IdxNum = 1
			idx.EstimatedCost = 10
			return nil
		}
	}
	return errors.New("squares: no limit")
}

func (squares) Open() (sqlite3.VTabCursor, error) { return &squareCursor{}, nil }

type squareCursor struct{ n, limit int64 }

func (c *squareCursor) Filter(_ int, _ string, arg ...sqlite3.Value) error {
	c.n, c.limit = 1, arg[0].Int64()
	return nil
}
func (c *squareCursor) Next() error           { c.n++; return nil }
func (c *squareCursor) EOF() bool             { return c.n > c.limit }
func (c *squareCursor) RowID() (int64, error) { return c.n, nil }
func (c *squareCursor) Column(ctx sqlite3.Context, col int) error {
	ctx.ResultInt64([]int64{c.n, c.n * c.n, c.limit}[col])
	return nil
}
