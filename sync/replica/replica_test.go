package replica

import (
	"context"
	"crypto/rand"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"
	_ "github.com/ncruces/go-sqlite3/vfs"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/store"
	"heddle.dev/heddle/sync/fold"
	"heddle.dev/heddle/sync/replica/internal/synced"
	"heddle.dev/heddle/sync/wire"
)

// memoryLog is a space's log with its fold, without a network: the definition
// that replicas are held against.
type memoryLog struct {
	t       testing.TB
	epoch   wire.Epoch
	entries []wire.Entry // with bodies, also of void ones
	decided map[wire.ClientID]uint64
	schema  *fold.Schema
	rows    map[string]*fold.Row // by table and encoded key
	keys    map[string]Key
}

func newMemoryLog(t testing.TB) *memoryLog {
	return &memoryLog{t: t, epoch: wire.Epoch{1}, decided: map[wire.ClientID]uint64{}, schema: &fold.Schema{},
		rows: map[string]*fold.Row{}, keys: map[string]Key{}}
}

// decide appends a transaction with its outcome.
func (l *memoryLog) decide(client wire.ClientID, counter uint64, body []byte, outcome string) {
	l.t.Helper()
	if counter != l.decided[client]+1 {
		l.t.Fatalf("counter %d came after %d", counter, l.decided[client])
	}
	l.decided[client] = counter
	b, err := wire.UnmarshalBody(body)
	if err != nil {
		l.t.Fatal(err)
	}
	if outcome == "" {
		if err := fold.Check(b, l.schema); err != nil {
			l.t.Fatal(err)
		}
		l.schema.Apply(b.Schema)
		for _, op := range b.Ops {
			id := op.Shape.Table + "\x00" + string(wire.EncodeKey(op.Key))
			l.keys[id] = Key{Table: op.Shape.Table, Key: op.Key}
			if row := fold.Apply(op, l.rows[id], l.schema); row == nil {
				delete(l.rows, id)
			} else {
				l.rows[id] = row
			}
		}
	}
	e := wire.Entry{Seq: uint64(len(l.entries) + 1), Client: client, Counter: counter, Outcome: outcome,
		BodyHash: wire.HashBody(body), Body: body}
	prev := wire.Hash{}
	if n := len(l.entries); n > 0 {
		prev = l.entries[n-1].Chain
	}
	e.Chain = e.ChainAfter(prev)
	l.entries = append(l.entries, e)
}

// digest is computed anew from all rows.
func (l *memoryLog) digest() wire.Hash {
	d := &fold.Digest{}
	for id, row := range l.rows {
		k := l.keys[id]
		d.Add(k.Table, k.Key, row, l.schema)
	}
	return d.Sum()
}

// dump writes the rows of a table as the log has them.
func (l *memoryLog) dump(table string, columns []string) []string {
	var out []string
	for id, row := range l.rows {
		k := l.keys[id]
		if k.Table != table {
			continue
		}
		line := fmt.Sprintf("%v", show(k.Key))
		for _, c := range columns {
			v, ok := row.Cells[c]
			if _, told := l.schema.Column(table, c); !told && table == "a" && c == "w" {
				v = "none" // nobody has told the log; the app's next version declares it
			} else if !ok {
				v = l.schema.Default(table, c)
			}
			line += " " + show([]wire.Value{whole(table, v)})
		}
		out = append(out, line)
	}
	slices.Sort(out)
	return out
}

// whole takes 2.0 for 2 in the table of counters: which of them is stored is
// the affinity's business, and to the digest they are the same.
func whole(table string, v wire.Value) wire.Value {
	if f, ok := v.(float64); ok && table == "m" && f == math.Trunc(f) && f > -1<<63 && f < 1<<63 {
		return int64(f)
	}
	return v
}

func show(vs []wire.Value) string {
	var parts []string
	for _, v := range vs {
		parts = append(parts, fmt.Sprintf("%T:%v", v, v))
	}
	return strings.Join(parts, ",")
}

// replica is a client over a file, opened and closed at will.
type replica struct {
	t      testing.TB
	file   string
	opts   store.Options
	cfg    *Config
	db     *store.DB
	c      *Replica
	events []any
}

func testConfig(tables map[string]Merge) *Config {
	return &Config{Space: "space", Tables: tables, Rand: rand.Reader, Now: time.Now}
}

func newReplica(t testing.TB, migrations []string, tables ...string) *replica {
	t.Helper()
	r := &replica{t: t, file: filepath.Join(t.TempDir(), "test.db")}
	r.opts = store.Options{Filename: "file:" + r.file, Migrations: migrations, Synced: tables}
	r.cfg = testConfig(map[string]Merge{})
	r.cfg.IntegerKey = true
	for _, table := range tables {
		r.cfg.Tables[table] = nil
	}
	r.open()
	t.Cleanup(func() { r.close() })
	return r
}

func (r *replica) open() {
	r.t.Helper()
	if err := r.tryOpen(); err != nil {
		r.t.Fatal(err)
	}
}

// tryOpen leaves the replica closed if it fails.
func (r *replica) tryOpen() (err error) {
	r.opts.MigrationHook = MigrationHook(r.cfg)
	if r.db, err = store.Open(r.t.Context(), r.opts); err != nil {
		r.db = nil
		return err
	}
	if r.c, err = Open(r.t.Context(), r.db, r.cfg); err != nil {
		r.db.Close()
		r.db = nil
		return err
	}
	r.c.Start(r)
	return nil
}

func (r *replica) close() {
	if r.db == nil {
		return
	}
	if err := r.c.Close(); err != nil {
		r.t.Error(err)
	}
	if err := r.db.Close(); err != nil {
		r.t.Error(err)
	}
	r.db = nil
}

// exec runs statements in one transaction.
func (r *replica) exec(sql string, args ...any) error {
	return r.db.Update(context.Background(), store.Origin{Kind: store.Local}, func(tx *store.Tx) error {
		_, err := tx.Exec(sql, store.Args(args...))
		return err
	})
}

func (r *replica) must(sql string, args ...any) {
	r.t.Helper()
	if err := r.exec(sql, args...); err != nil {
		r.t.Fatalf("%s: %v", sql, err)
	}
}

// Changed, Committed, Replaced and Events make a replica its own observer.
func (r *replica) Changed(View)                  {}
func (r *replica) Committed()                    {}
func (r *replica) Replaced(View, *errcode.Error) {}
func (r *replica) Events(events ...any)          { r.events = append(r.events, events...) }

// pending is how many transactions have no entry in the prefix.
func (r *replica) pending() int { return int(max(0, r.c.Recorded()-r.c.View().Last)) }

// push hands n of the pending transactions to the log; outcome says what
// becomes of each.
func (r *replica) push(l *memoryLog, n int, outcome func() string) {
	r.t.Helper()
	v := r.c.View()
	bodies := map[uint64][]byte{}
	if v.Former == nil && v.Bootstrap == nil {
		err := r.c.Parts(context.Background(), v.Last, 0, func(id int64, p wire.Part) bool {
			counter := uint64(id - v.Offset)
			bodies[counter] = append(bodies[counter], p.Bytes...)
			return true
		})
		if err != nil {
			r.t.Fatal(err)
		}
	}
	for ; n > 0; n-- {
		counter := l.decided[v.Client] + 1
		body, ok := bodies[counter]
		if !ok {
			return
		}
		l.decide(v.Client, counter, body, outcome())
	}
}

// pull applies up to n entries, as the server would send them.
func (r *replica) pull(l *memoryLog, n int) {
	r.t.Helper()
	id := r.c.View().Client
	from := int(r.c.View().Position.Seq)
	to := min(from+n, len(l.entries))
	var entries []wire.Entry
	for _, e := range l.entries[from:to] {
		if e.Client == id || e.Outcome != "" {
			e.Body = nil
		}
		entries = append(entries, e)
	}
	if len(entries) == 0 {
		return
	}
	if _, err := r.c.Apply(context.Background(), id, l.epoch, entries); err != nil {
		r.t.Fatal(err)
	}
}

// dump reads a table's rows as memoryLog.dump writes them.
func (r *replica) dump(table, key string, columns []string) []string {
	r.t.Helper()
	var out []string
	err := r.db.Query(context.Background(), "SELECT "+key+", "+strings.Join(columns, ", ")+" FROM "+table, store.Params{},
		nil, func(s *sqlite3.Stmt) error {
			n := s.ColumnCount() - len(columns)
			var k []wire.Value
			for i := range n {
				k = append(k, synced.Column(s, i))
			}
			line := show(k)
			for i := range columns {
				line += " " + show([]wire.Value{whole(table, synced.Column(s, n+i))})
			}
			out = append(out, line)
			return nil
		})
	if err != nil {
		r.t.Fatal(err)
	}
	slices.Sort(out)
	return out
}
