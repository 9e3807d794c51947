package replica

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/store"
	"heddle.dev/heddle/sync/fold"
	"heddle.dev/heddle/sync/wire"
)

// recorded returns what the last transaction is recorded as.
func recorded(r *replica) []string {
	r.t.Helper()
	var data []byte
	err := r.db.Query(context.Background(),
		`SELECT bytes FROM heddle_pending WHERE id = (SELECT max(id) FROM heddle_pending) ORDER BY
			part`, store.Params{}, nil, func(s *sqlite3.Stmt) error {
			data = append(data, s.ColumnRawBlob(0)...)
			return nil
		})
	if err != nil {
		r.t.Fatal(err)
	}
	b, err := wire.UnmarshalBody(data)
	if err != nil {
		r.t.Fatal(err)
	}
	var out []string
	for _, d := range b.Schema {
		line := fmt.Sprintf("table %s%v:", d.Table, d.Key)
		for _, c := range d.Columns {
			line += fmt.Sprintf(" %s/%d=%s", c.Name, c.Group, show([]wire.Value{c.Default}))
		}
		out = append(out, line)
	}
	for _, op := range b.Ops {
		kind := [...]string{1: "insert", 2: "update", 3: "delete"}[op.Shape.Kind]
		out = append(out, strings.TrimSpace(fmt.Sprintf("%s %s[%s] %v %s", kind, op.Shape.Table, show(op.Key),
			op.Shape.Columns, show(op.Cells))))
	}
	return out
}

func TestRecorder_operations(t *testing.T) {
	r := newReplica(t, []string{
		`CREATE TABLE t(id TEXT PRIMARY KEY, a, b INTEGER DEFAULT 5, len AS (length(a)), twice INTEGER AS (b * 2) STORED);
			CREATE TABLE other(x)`,
		`ALTER TABLE t ADD COLUMN c TEXT DEFAULT 'late'`,
	}, "t")
	const describes = "table t[id]: a/1=<nil>:<nil> b/1=int64:5 c/2=string:late"
	for _, c := range []struct {
		sql  string
		want []string // nothing: no transaction is recorded
	}{
		{`INSERT INTO t(id, a) VALUES('1', 'x')`, []string{describes,
			"insert t[string:1] [a b c] string:x,int64:5,string:late"}},
		{`UPDATE t SET b = 6, a = a`, []string{describes, "update t[string:1] [b] int64:6"}},
		{`INSERT OR REPLACE INTO t(id, a) VALUES('1', 'y')`,
			[]string{describes, "insert t[string:1] [a b c] string:y,int64:5,string:late"}},
		{`DELETE FROM t; INSERT INTO t(id, a, b) VALUES('1', 'z', 5)`,
			[]string{describes, "insert t[string:1] [a b c] string:z,int64:5,string:late"}},
		{`UPDATE t SET id = '2'`, []string{describes, "delete t[string:1] []",
			"insert t[string:2] [a b c] string:z,int64:5,string:late"}},
		{`UPDATE t SET a = 'w'; UPDATE t SET a = 'z'`, nil},
		{`INSERT INTO other VALUES(1)`, nil},
		{`DELETE FROM t`, []string{describes, "delete t[string:2] []"}},
	} {
		before := r.pending()
		r.must(c.sql)
		switch after := r.pending(); {
		case c.want == nil && after != before:
			t.Errorf("%s: recorded %q", c.sql, recorded(r))
		case c.want != nil && (after != before+1 || !slices.Equal(recorded(r), c.want)):
			t.Errorf("%s:\ngot  %q\nwant %q", c.sql, recorded(r), c.want)
		}
	}
	// Once the log has a descriptor it is not sent again.
	l := newMemoryLog(t)
	r.push(l, 100, func() string { return "" })
	r.pull(l, 100)
	r.must(`INSERT INTO t(id) VALUES('3')`)
	if got, want := recorded(r), []string{"insert t[string:3] [a b c] <nil>:<nil>,int64:5,string:late"}; !slices.Equal(got,
		want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// What an older version of the app replaces keeps the cells that only newer
// ones know, in the log and here.
func TestRecorder_replaceKeepsUnknownCells(t *testing.T) {
	l := newMemoryLog(t)
	older := newReplica(t, []string{randomSchema}, "a", "b", "c", "n")
	newer := newReplica(t, []string{randomSchema}, "a", "b", "c", "n")
	newer.upgrade()
	both := func() {
		for _, r := range []*replica{older, newer} {
			r.push(l, 9, func() string { return "" })
		}
		for _, r := range []*replica{older, newer} {
			r.pull(l, 9)
			if _, digest, err := r.c.Digest(t.Context()); err != nil || digest != l.digest() {
				t.Errorf("digest of version %d at %d differs (err %v)", r.version(), len(l.entries), err)
			}
		}
	}
	newer.must(`INSERT INTO a(id, x, w) VALUES('p', 1, 'some')`)
	both()
	older.must(`INSERT OR REPLACE INTO a(id, x) VALUES('p', 2)`)
	both()
	newer.must(`UPDATE a SET w = 'more'`)
	both()
	older.must(`REPLACE INTO a(id, x) VALUES('p', 3)`)
	both()
	older.upgrade()
	for _, r := range []*replica{older, newer} {
		if got, want := r.dump("a", "id", []string{"x", "w"}), l.dump("a", []string{"x", "w"}); !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	}
}

// A number's type travels: 3/2 is not 3/2.0.
func TestRecorder_numbersKeepTheirType(t *testing.T) {
	l := newMemoryLog(t)
	a, b := newReplica(t, []string{randomSchema}, "a"), newReplica(t, []string{randomSchema}, "a")
	for _, x := range []string{"2", "2.0", "2", "NULL", "2.0"} {
		a.must(`INSERT INTO a(id, x) VALUES('p', 0) ON CONFLICT DO UPDATE SET x = ` + x)
		a.push(l, 9, func() string { return "" })
		a.pull(l, 9)
		b.pull(l, 9)
		if got, want := b.dump("a", "id", []string{"x"}), a.dump("a", "id", []string{"x"}); !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", x, got, want)
		}
	}
}

type recorderFunc func(*store.Tx, []store.Change) error

func (f recorderFunc) Record(tx *store.Tx, changes []store.Change) error { return f(tx, changes) }

// A part of a transaction may be taken back after it was recorded: it does not
// count as pending.
func TestRecorder_partTakenBack(t *testing.T) {
	r := newReplica(t, []string{randomSchema}, "a")
	ctx, cancel := context.WithCancel(t.Context())
	r.db.SetRecorder(recorderFunc(func(tx *store.Tx, changes []store.Change) error {
		err := (*recorder)(r.c).Record(tx, changes)
		if changes[0].Key[0] == "q" {
			cancel()
		}
		return err
	}))
	err := r.db.Update(t.Context(), store.Origin{Kind: store.Local}, func(tx *store.Tx) error {
		for _, id := range []string{"p", "q"} {
			_ = tx.Savepoint(ctx, func() error {
				_, err := tx.Exec(`INSERT INTO a(id) VALUES(?)`, store.Args(id))
				return err
			})
		}
		return nil
	})
	if err != nil || ctx.Err() == nil {
		t.Fatal(err, ctx.Err())
	}
	if _, err := r.c.Verify(t.Context(), &wire.CaughtUp{Digest: (&fold.Digest{}).Sum()}); err != nil {
		t.Fatal(err)
	}
	if n := r.pending(); n != 1 {
		t.Errorf("got %d pending, want 1: %v", n, recorded(r))
	}
}

func TestRecorder_refusals(t *testing.T) {
	r := newReplica(t, []string{`CREATE TABLE t(id TEXT PRIMARY KEY, v)`}, "t")
	for _, c := range []struct{ sql, code string }{
		{`INSERT INTO t VALUES(NULL, 1)`, errcode.NullKey},
		{`INSERT INTO t VALUES('1', zeroblob(33 << 20))`, errcode.TooBig},
		{`INSERT INTO t VALUES('1', zeroblob(16 << 20))`, errcode.TooBig},
		{`INSERT INTO t SELECT value, zeroblob(1 << 20) FROM generate_series(1, 40)`, errcode.TooBig},
		{`INSERT INTO t VALUES(printf('%70000d', 1), 1)`, errcode.TooBig},
		{`INSERT INTO t VALUES('1', 1)`, ""},
		{`INSERT INTO t VALUES('1', 2)`, "SQLITE_CONSTRAINT_PRIMARYKEY"},
	} {
		if err := r.exec(c.sql); errcode.Of(err) != c.code {
			t.Errorf("%s: got %v, want %q", c.sql, err, c.code)
		}
	}
	if got := r.dump("t", "id", []string{"v"}); len(got) != 1 || r.pending() != 1 {
		t.Errorf("got %q and %d pending", got, r.pending())
	}
}

// A replica passes a log that has more tables than a space takes today, and opens
// again. What would add to them is refused before it is pending.
func TestRecorder_schemaTooBig(t *testing.T) {
	r := newReplica(t, []string{`CREATE TABLE t(id TEXT PRIMARY KEY, v)`}, "t")
	l := newMemoryLog(t)
	for n := range uint64(2) {
		b := &wire.Body{}
		for i := range uint64(6000) {
			b.Schema = append(b.Schema, wire.TableSchema{Table: fmt.Sprint("other", 6000*n+i), Key: []string{"id"}})
		}
		l.decide(wire.ClientID{9}, n+1, b.Marshal(), "")
	}
	r.pull(l, 2)
	r.close()
	r.open()
	if seq, digest, err := r.c.Digest(t.Context()); err != nil || seq != 2 || digest != l.digest() {
		t.Errorf("at %d: %v, or another digest", seq, err)
	}
	if err := r.exec(`INSERT INTO t VALUES('1', 1)`); errcode.Of(err) != errcode.TooBig {
		t.Errorf("got %v, want %s", err, errcode.TooBig)
	}
	if n := r.pending(); n != 0 {
		t.Errorf("%d transactions are pending", n)
	}
}

// TestRecorder_unseen looks for traces of the bookkeeping in what SQL tells of
// changes.
func TestRecorder_unseen(t *testing.T) {
	r := newReplica(t, []string{`CREATE TABLE t(id TEXT PRIMARY KEY, v)`}, "t")
	l := newMemoryLog(t)
	var base int64 // what opening the database has changed
	err := r.db.Update(t.Context(), store.Origin{Kind: store.Local}, func(tx *store.Tx) error {
		return tx.Query(`SELECT total_changes()`, store.Params{}, nil, func(s *sqlite3.Stmt) error {
			base = s.ColumnInt64(0)
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	const sql = `SELECT last_insert_rowid(), changes(), total_changes()`
	for i := range int64(3) {
		r.must(`INSERT INTO t VALUES(?, 1), (? || 'x', 2)`, fmt.Sprint(i), fmt.Sprint(i))
		err := r.db.Update(t.Context(), store.Origin{Kind: store.Local}, func(tx *store.Tx) error {
			return tx.Query(sql, store.Params{}, nil, func(s *sqlite3.Stmt) error {
				if got, want := [3]int64{s.ColumnInt64(0), s.ColumnInt64(1), s.ColumnInt64(2) - base}, [3]int64{2 * (i + 1), 2,
					2 * (i + 1)}; got != want {
					t.Errorf("%s: got %v, want %v", sql, got, want)
				}
				return nil
			})
		})
		if err != nil {
			t.Fatal(err)
		}
		r.push(l, 1, func() string { return "" })
		r.pull(l, 1)
	}
}
