package replica

import (
	"context"
	"path/filepath"
	"slices"
	"testing"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/store"
	"heddle.dev/heddle/sync/wire"
)

const policySchema = `
CREATE TABLE p(id TEXT PRIMARY KEY, title TEXT, likes INTEGER NOT NULL DEFAULT 0, r REAL, top, low,
	tags TEXT DEFAULT '[]');
CREATE TABLE seen(id TEXT, top);
CREATE TRIGGER p_top AFTER UPDATE OF top ON p WHEN NOT heddle_applying() BEGIN UPDATE p SET title = 'top ' || new.top
	WHERE id = new.id; END;
CREATE TRIGGER p_seen AFTER UPDATE OF top ON p BEGIN INSERT INTO seen VALUES(new.id, new.top); END;
`

var policyMerge = Merge{"likes": "counter", "r": "counter", "TOP": "max", "low": "min", "tags": "set", "title": "last"}

func newPolicyReplica(t *testing.T) *replica {
	r := newReplica(t, []string{policySchema}, "p")
	r.close()
	r.cfg.Tables["p"] = policyMerge
	r.open()
	return r
}

var policyColumns = []string{"title", "likes", "r", "top", "low", "tags"}

func accept() string { return "" }

// What is written is what the rule gives, at once and after sync, and what two
// replicas write while they are apart joins.
func TestPolicy_join(t *testing.T) {
	const start = `INSERT INTO p(id, likes, top, low, tags) VALUES('k', 10, 10, 10, '["b","a"]')`
	tests := []struct {
		name, start, a, b string // b's transaction comes second in the log
		alone, both       string // a's row after a alone, and both replicas' in the end
	}{
		{"insert brings a set into order", start, `SELECT 1`, `SELECT 1`,
			`string:k <nil>:<nil> int64:10 <nil>:<nil> int64:10 int64:10 string:["a","b"]`,
			`string:k <nil>:<nil> int64:10 <nil>:<nil> int64:10 int64:10 string:["a","b"]`},
		{"counters add up", start, `UPDATE p SET likes = likes + 1, r = 0.5`, `UPDATE p SET likes = likes - 3, r = 1`,
			`string:k <nil>:<nil> int64:11 float64:0.5 int64:10 int64:10 string:["a","b"]`,
			`string:k <nil>:<nil> int64:8 float64:1.5 int64:10 int64:10 string:["a","b"]`},
		{"less than the max leaves it", start, `UPDATE p SET top = 3, low = 30`, `UPDATE p SET top = 12, low = 8`,
			`string:k string:top 3 int64:10 <nil>:<nil> int64:10 int64:10 string:["a","b"]`,
			`string:k string:top 12 int64:10 <nil>:<nil> int64:12 int64:8 string:["a","b"]`},
		{"NULL loses to the max", start, `UPDATE p SET top = NULL, low = NULL`, `SELECT 1`,
			`string:k <nil>:<nil> int64:10 <nil>:<nil> int64:10 int64:10 string:["a","b"]`,
			`string:k <nil>:<nil> int64:10 <nil>:<nil> int64:10 int64:10 string:["a","b"]`},
		{"sets gain and lose", start, `UPDATE p SET tags = '["a","c"]'`, `UPDATE p SET tags = '["b","a","d"]'`,
			`string:k <nil>:<nil> int64:10 <nil>:<nil> int64:10 int64:10 string:["a","c"]`,
			`string:k <nil>:<nil> int64:10 <nil>:<nil> int64:10 int64:10 string:["a","c","d"]`},
		{"a set written as no set is empty", start, `UPDATE p SET tags = 'none'`, `UPDATE p SET tags = '["a","b","c"]'`,
			`string:k <nil>:<nil> int64:10 <nil>:<nil> int64:10 int64:10 string:[]`,
			`string:k <nil>:<nil> int64:10 <nil>:<nil> int64:10 int64:10 string:["c"]`},
		{"white space in a set is no change", start, `UPDATE p SET tags = '[ "b", "a" ]'`, `UPDATE p SET title = 'B'`,
			`string:k <nil>:<nil> int64:10 <nil>:<nil> int64:10 int64:10 string:["a","b"]`,
			`string:k string:B int64:10 <nil>:<nil> int64:10 int64:10 string:["a","b"]`},
		{"both insert one key", `SELECT 1`, start, `INSERT INTO p(id, likes, top, low, tags) VALUES('k', 5, 7, 7, '["c"]')`,
			`string:k <nil>:<nil> int64:10 <nil>:<nil> int64:10 int64:10 string:["a","b"]`,
			`string:k <nil>:<nil> int64:15 <nil>:<nil> int64:10 int64:7 string:["a","b","c"]`},
		{"replacing is writing the difference", start,
			`INSERT OR REPLACE INTO p(id, likes, top, low, tags) VALUES('k', 11, 9, 11,
				'["b","c"]')`, `UPDATE p SET likes = likes + 1, tags = '["a","b","d"]'`,
			`string:k <nil>:<nil> int64:11 <nil>:<nil> int64:10 int64:10 string:["b","c"]`,
			`string:k <nil>:<nil> int64:12 <nil>:<nil> int64:10 int64:10 string:["b","c","d"]`},
		{"a counter that overflows", start, `UPDATE p SET likes = 9223372036854775807`, `UPDATE p SET likes = likes + 1`,
			`string:k <nil>:<nil> int64:9223372036854775807 <nil>:<nil> int64:10 int64:10 string:["a","b"]`,
			`string:k <nil>:<nil> float64:9.223372036854776e+18 <nil>:<nil> int64:10 int64:10 string:["a","b"]`},
		{"what is no number is written as it is", start, `UPDATE p SET r = 2.5; UPDATE p SET r = NULL`,
			`UPDATE p SET likes = 'many'`,
			`string:k <nil>:<nil> int64:10 <nil>:<nil> int64:10 int64:10 string:["a","b"]`,
			`string:k <nil>:<nil> string:many <nil>:<nil> int64:10 int64:10 string:["a","b"]`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			l := newMemoryLog(t)
			a, b := newPolicyReplica(t), newPolicyReplica(t)
			a.must(test.start)
			a.push(l, 9, accept)
			a.pull(l, 9)
			b.pull(l, 9)
			a.must(test.a)
			if got := a.dump("p", "id", policyColumns); !slices.Equal(got, []string{test.alone}) {
				t.Errorf("after a's own write:\ngot  %v\nwant %v", got, test.alone)
			}
			b.must(test.b)
			a.push(l, 9, accept)
			b.push(l, 9, accept)
			for _, r := range []*replica{a, b} {
				r.pull(l, 9)
				if got := r.dump("p", "id", policyColumns); !slices.Equal(got, []string{test.both}) {
					t.Errorf("in the end:\ngot  %v\nwant %v", got, test.both)
				}
				if _, digest, err := r.c.Digest(context.Background()); err != nil || digest != l.digest() {
					t.Errorf("the digest is not the log's (err %v)", err)
				}
			}
		})
	}
}

// A refused write leaves nothing of itself, also where the rule had changed it.
func TestPolicy_rejected(t *testing.T) {
	l, r := newMemoryLog(t), newPolicyReplica(t)
	r.must(`INSERT INTO p(id, likes, top, tags) VALUES('k', 1, 1, '["a"]')`)
	r.push(l, 9, accept)
	r.pull(l, 9)
	r.must(`UPDATE p SET likes = 7, top = 20, tags = '["b"]'`)
	r.must(`UPDATE p SET likes = 8, top = 10, tags = '["b","c"]'`)
	refuse := true
	r.push(l, 9, func() string {
		defer func() { refuse = false }()
		if refuse {
			return errcode.Rejected
		}
		return ""
	})
	r.pull(l, 9)
	want := []string{`string:k string:top 10 int64:2 <nil>:<nil> int64:10 <nil>:<nil> string:["a","c"]`}
	if got := r.dump("p", "id", policyColumns); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// Bringing a cell to the rule is not a write of the app's: it counts in no
// changes(), and triggers see it as applied.
func TestPolicy_bringingIsNotTheApps(t *testing.T) {
	r := newPolicyReplica(t)
	r.must(`INSERT INTO p(id, top) VALUES('k', 10)`)
	var res store.Result
	err := r.db.Update(context.Background(), store.Origin{Kind: store.Local}, func(tx *store.Tx) (err error) {
		res, err = tx.Exec(`UPDATE p SET top = 3`, store.Params{})
		return err
	})
	if err != nil || res.Changes != 1 {
		t.Fatalf("got %+v, %v", res, err)
	}
	if got, want := r.dump("seen", "id", []string{"top"}), []string{"string:k int64:10",
		"string:k int64:3"}; !slices.Equal(got, want) {
		t.Errorf("the local table has %v, want %v", got, want)
	}
	if got, want := r.dump("p", "id",
		[]string{"title", "top"}), []string{"string:k string:top 3 int64:10"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestPolicy_affinity(t *testing.T) {
	for decl, bad := range map[string]Merge{"TEXT": {"v": "counter"}, "INTEGER": {"v": "set"}, "REAL": {"v": "set"},
		"BLOB": {"v": "counter"}} {
		db, err := store.Open(t.Context(), store.Options{Filename: "file:" + filepath.Join(t.TempDir(), "test.db"),
			Migrations: []string{"CREATE TABLE t(id TEXT PRIMARY KEY, v " + decl + ")"}, Synced: []string{"t"}})
		if err != nil {
			t.Fatal(err)
		}
		_, err = Open(t.Context(), db, testConfig(map[string]Merge{"t": bad}))
		if errcode.Of(err) != errcode.SyncSchema {
			t.Errorf("%v on %s: got %v", bad, decl, err)
		}
		db.Close()
	}
}

// A table that is taken up later joins by its policies too.
func TestPolicy_takenUp(t *testing.T) {
	r := newReplica(t, []string{policySchema})
	r.must(`INSERT INTO p(id, likes, low, tags) VALUES('k', 4, 2, '["b", "a"]')`)
	r.close()
	r.opts.Synced = []string{"p"}
	r.cfg.Tables["p"] = policyMerge
	r.open()
	want := []string{`string:k <nil>:<nil> int64:4 <nil>:<nil> <nil>:<nil> int64:2 string:["a","b"]`}
	if got := r.dump("p", "id", policyColumns); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	l := newMemoryLog(t)
	r.push(l, 9, accept)
	if len(l.entries) != 1 {
		t.Fatalf("%d entries", len(l.entries))
	}
	body, err := wire.UnmarshalBody(l.entries[0].Body)
	if err != nil || !slices.Equal(body.Ops[0].Shape.Joins,
		[]wire.Join{wire.JoinLast, wire.JoinAdd, wire.JoinMin, wire.JoinSetAdd}) {
		t.Errorf("got %+v, %v", body.Ops[0].Shape, err)
	}
	r.pull(l, 9)
	if got := r.dump("p", "id", policyColumns); !slices.Equal(got, want) {
		t.Errorf("after sync: got %v, want %v", got, want)
	}
}
