package replica

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/store"
	"heddle.dev/heddle/sync/fold"
	"heddle.dev/heddle/sync/replica/internal/synced"
	"heddle.dev/heddle/sync/wire"
)

var (
	migrationSeeds = flag.Int("migration.seeds", 12, "how many sequences of random migrations to run")
	migrationSeed  = flag.Uint64("migration.seed", 1, "the first seed of random migrations")
)

// release is a version of an app that is made up: its migration and what it syncs.
type release struct {
	sql    string
	synced []string
}

// madeUp is the app of a seed, as its last release has it.
type madeUp struct {
	r        *rand.Rand
	releases []release
	tables   map[string]*madeTable
	local    int // number of local tables and other names so far
}

type madeTable struct {
	name    string
	synced  bool
	columns []madeColumn // without the key, id TEXT
	options string
	without []string // what a rebuild takes away: indexes
}

type madeColumn struct{ name, decl, rule string }

func (m *madeUp) one(of ...string) string { return of[m.r.IntN(len(of))] }

// declaration makes up a column's type, and a constant default, which it needs
// where it is NOT NULL.
func (m *madeUp) declaration(strict bool) (decl, rule string) {
	decl = m.one("", "INTEGER", "TEXT", "REAL", "BLOB", "NUMERIC")
	if strict {
		decl = m.one("ANY", "INTEGER", "TEXT", "REAL", "BLOB")
	}
	fits := map[string]string{"INTEGER": "3", "TEXT": "'d'", "REAL": "1.5", "BLOB": "x'01'"}[decl]
	if fits == "" {
		fits = m.one("3", "'d'", "2.0")
	}
	switch m.r.IntN(4) {
	case 0:
		rule = "NOT NULL DEFAULT " + fits
	case 1:
		rule = "DEFAULT " + fits
	}
	if m.r.IntN(6) == 0 {
		rule += " COLLATE NOCASE"
	}
	return decl, rule
}

func (t *madeTable) create(name string, more ...string) string {
	parts := []string{"id TEXT PRIMARY KEY"}
	for _, c := range t.columns {
		parts = append(parts, strings.TrimSpace(c.name+" "+c.decl+" "+c.rule))
	}
	return "CREATE TABLE " + name + "(" + strings.Join(append(parts, more...), ", ") + ")" + t.options
}

// newMadeUp makes up an app with some releases.
func newMadeUp(r *rand.Rand) *madeUp {
	m := &madeUp{r: r, tables: map[string]*madeTable{}}
	first := ""
	for _, name := range []string{"s", "u"} {
		t := &madeTable{name: name, synced: true}
		for i := range 1 + r.IntN(3) {
			decl, rule := m.declaration(false)
			t.columns = append(t.columns, madeColumn{fmt.Sprint("c", i), decl, rule})
		}
		m.tables[name] = t
		first += t.create(name) + ";\n"
	}
	first += "CREATE TABLE idx(id, v); CREATE TRIGGER idx_s AFTER INSERT ON s BEGIN INSERT INTO idx VALUES(new.id, " +
		"1); END;\n"
	m.release(first)
	for range 1 + r.IntN(4) {
		sql := ""
		for range 1 + r.IntN(3) {
			t := m.tables[m.one("s", "s", "u")]
			sql += m.change(t) + ";\n"
		}
		if u := m.tables["u"]; r.IntN(4) == 0 {
			u.synced = !u.synced
		}
		m.release(sql)
	}
	return m
}

func (m *madeUp) release(sql string) {
	var synced []string
	for _, name := range slices.Sorted(maps.Keys(m.tables)) {
		if m.tables[name].synced {
			synced = append(synced, name)
		}
	}
	m.releases = append(m.releases, release{sql, synced})
}

// change makes up a change of a table's schema, and of its rows.
func (m *madeUp) change(t *madeTable) string {
	m.local++
	c := &t.columns[m.r.IntN(len(t.columns))]
	switch m.r.IntN(12) {
	case 0, 1:
		decl, rule := m.declaration(strings.Contains(t.options, "STRICT"))
		added := madeColumn{fmt.Sprint("c", len(t.columns)), decl, rule}
		t.columns = append(t.columns, added)
		return "ALTER TABLE " + t.name + " ADD COLUMN " + added.name + " " + added.decl + " " + added.rule
	case 2:
		if len(t.without) > 0 { // an index may be on it
			return m.rebuild(t)
		}
		c.rule = m.one("", "DEFAULT 'e'")
		c.decl = ""
		if strings.Contains(t.options, "STRICT") {
			c.decl = "ANY"
		}
		return "ALTER TABLE " + t.name + " DROP COLUMN " + c.name + "; ALTER TABLE " + t.name + " ADD COLUMN " + c.name +
			" " + c.decl + " " + c.rule
	case 3:
		d := &t.columns[m.r.IntN(len(t.columns))]
		if c == d {
			return "SELECT 1"
		}
		c.decl, c.rule, d.decl, d.rule = d.decl, d.rule, c.decl, c.rule
		*c, *d = *d, *c // names stay where the rows are
		c.name, d.name = d.name, c.name
		*c, *d = *d, *c
		c.name, d.name = d.name, c.name
		rename := func(a, b string) string { return "ALTER TABLE " + t.name + " RENAME COLUMN " + a + " TO " + b }
		return rename(c.name, "x") + "; " + rename(d.name, c.name) + "; " + rename("x", d.name)
	case 4:
		return fmt.Sprintf("ALTER TABLE %s RENAME TO away; UPDATE away SET %s = 'away'; DELETE FROM away WHERE id = 'p'; "+
			"ALTER TABLE away RENAME TO %s", t.name, c.name, t.name)
	case 5:
		name := fmt.Sprint("i", m.local)
		t.without = append(t.without, name)
		return fmt.Sprintf("CREATE INDEX %s ON %s(%s)", name, t.name,
			m.one("json_extract("+c.name+", '$.a')", "abs("+c.name+")", c.name))
	case 6:
		if m.r.IntN(2) == 0 || !strings.Contains(c.rule, "NOT NULL") {
			t.without = append(t.without, "check")
			return fmt.Sprintf("ALTER TABLE %s ADD CHECK (%s IS NOT 'forbidden')", t.name, c.name)
		}
		c.rule = strings.Replace(c.rule, "NOT NULL ", "", 1)
		return fmt.Sprintf("ALTER TABLE %s ALTER COLUMN %s DROP NOT NULL", t.name, c.name)
	case 7:
		if strings.Contains(c.rule, "NOT NULL") || !strings.Contains(c.rule, "DEFAULT") {
			return m.rebuild(t)
		}
		c.rule = "NOT NULL " + c.rule
		return fmt.Sprintf("ALTER TABLE %s ALTER COLUMN %s SET NOT NULL", t.name, c.name)
	}
	return m.rebuild(t)
}

// rebuild makes up another table of the name, with rows of its own mind.
func (m *madeUp) rebuild(t *madeTable) string {
	t.options = m.one("", "", " STRICT", " WITHOUT ROWID", " STRICT, WITHOUT ROWID")
	t.without = nil
	var into, from []string
	for i := range t.columns {
		c := &t.columns[i]
		if m.r.IntN(3) == 0 || strings.Contains(t.options, "STRICT") {
			c.decl, c.rule = m.declaration(strings.Contains(t.options, "STRICT"))
		}
		into = append(into, c.name)
		from = append(from, m.one(c.name, c.name, c.name, "coalesce("+c.name+", '')", "NULL", "'all'", "abs("+c.name+")",
			t.columns[m.r.IntN(len(t.columns))].name))
	}
	m.r.Shuffle(len(t.columns), func(i, j int) { t.columns[i], t.columns[j] = t.columns[j], t.columns[i] })
	var more []string
	if m.r.IntN(5) == 0 {
		t.without = append(t.without, "g")
		more = append(more, "g AS (json_extract("+into[0]+", '$.a')) "+m.one("STORED", "VIRTUAL"))
		if strings.Contains(t.options, "STRICT") {
			more[0] = strings.Replace(more[0], "g AS", "g ANY AS", 1)
		}
	}
	if m.r.IntN(5) == 0 {
		t.without = append(t.without, "check")
		more = append(more, "CHECK ("+into[0]+" <> 'forbidden')")
	}
	sql := t.create("next", more...) + ";\n"
	switch m.r.IntN(8) {
	case 0: // no rows
	case 1:
		sql += "INSERT INTO next(id) SELECT id || 'x' FROM " + t.name + " UNION SELECT 'new';\n"
	default:
		sql += m.one("INSERT", "INSERT", "INSERT OR IGNORE", "INSERT OR REPLACE") + " INTO next(id, " +
			strings.Join(into, ", ") + ") SELECT id, " +
			strings.Join(from, ", ") + " FROM " + t.name + m.one("", "", " WHERE id <> 'p'", " WHERE "+into[0]+" IS NOT NULL") +
			";\n"
	}
	sql += "DROP TABLE " + t.name + "; ALTER TABLE next RENAME TO " + t.name
	if t.name == "s" {
		sql += "; CREATE TRIGGER idx_s AFTER INSERT ON s BEGIN INSERT INTO idx VALUES(new.id, 1); END"
	}
	return sql
}

var madeValues = []any{nil, nil, int64(1), int64(7), 2.0, 1.5, "7", "t", "", "forbidden", `{"a":1}`, `{"a":`, []byte{1},
	[]byte("{}"), "away"}

// write writes what its release may write.
func (m *madeUp) write(r *replica, version int) {
	_ = r.db.Update(r.t.Context(), store.Origin{Kind: store.Local}, func(tx *store.Tx) error {
		for range 1 + m.r.IntN(3) {
			name := m.one(m.releases[version-1].synced...)
			id := m.one("p", "q", "r", "7")
			info, _ := r.db.Table(name)
			var columns []string
			for _, c := range info.Columns {
				if c.Name != "id" && !c.Generated {
					columns = append(columns, c.Name)
				}
			}
			c := m.one(columns...)
			sql, args := "INSERT INTO "+name+"(id, "+c+") VALUES(?, ?) ON CONFLICT DO UPDATE SET "+c+" = excluded."+c, []any{id,
				madeValues[m.r.IntN(len(madeValues))]}
			if m.r.IntN(6) == 0 {
				sql, args = "DELETE FROM "+name+" WHERE id = ?", args[:1]
			}
			if _, err := tx.Exec(sql, store.Args(args...)); err != nil &&
				!strings.HasPrefix(errcode.Of(err), "SQLITE_CONSTRAINT") {
				return err // malformed JSON in an index
			}
		}
		return nil
	})
}

// own reports whether a version does not sync a table, or the one before did not.
func (m *madeUp) own(table string, version int) bool {
	return !slices.Contains(m.releases[version-2].synced, table) || !slices.Contains(m.releases[version-1].synced, table)
}

// install opens the replica with a release.
func (m *madeUp) install(r *replica, version int) error {
	r.opts.Migrations, r.cfg.Tables = nil, map[string]Merge{}
	for _, rel := range m.releases[:version] {
		r.opts.Migrations = append(r.opts.Migrations, rel.sql)
	}
	r.opts.Synced = m.releases[version-1].synced
	for _, name := range r.opts.Synced {
		r.cfg.Tables[name] = nil
	}
	return r.tryOpen()
}

// TestMigration_random runs random releases on devices that write and sync, each
// on a version of its own: wherever they are, the rows of each device have the
// digest that it names, and in the end that of the log.
func TestMigration_random(t *testing.T) {
	count := map[string]int{}
	for seed := *migrationSeed; seed < *migrationSeed+uint64(*migrationSeeds); seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { randomMigrations(t, seed, count) })
	}
	t.Log(count)
	for _, what := range []string{"releases installed", "releases that alone would have changed rows", "rows quarantined",
		"releases refused"} {
		if count[what] == 0 {
			t.Errorf("nothing was seen of: %s", what)
		}
	}
}

func randomMigrations(t *testing.T, seed uint64, count map[string]int) {
	m := newMadeUp(rand.New(rand.NewPCG(seed, 1)))
	defer func() {
		if t.Failed() {
			for i, rel := range m.releases {
				t.Logf("release %d syncs %v:\n%s", i+1, rel.synced, rel.sql)
			}
		}
	}()
	l := newMemoryLog(t)
	var all []*replica
	versions := map[*replica]int{}
	for i := range 3 {
		r := &replica{t: t, file: filepath.Join(t.TempDir(), "test.db")}
		r.opts = store.Options{Filename: "file:" + r.file}
		r.cfg = testConfig(nil)
		versions[r] = 1 + min(i, m.r.IntN(len(m.releases)))
		if err := m.install(r, versions[r]); errcode.Of(err) == errcode.Migration {
			// A release that is random may make rows up that its own table refuses: such an
			// app installs nowhere, with sync or without.
			t.Skip("a table refuses rows that a migration has made up")
		} else if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(r.close)
		all = append(all, r)
	}
	outcome := func() string {
		if m.r.IntN(6) == 0 {
			return "HEDDLE_TEST"
		}
		return ""
	}
	upgrade := func(r *replica) {
		r.close()
		if m.r.IntN(3) == 0 {
			r.opts.Migrations = append(r.opts.Migrations, m.one("ALTER TABLE s RENAME COLUMN c0 TO other",
				"ALTER TABLE s DROP COLUMN c0",
				"CREATE UNIQUE INDEX one ON s(c0)", "DROP TABLE s", "ALTER TABLE s ADD COLUMN z TEXT DEFAULT (uuid7())"))
			if err := r.tryOpen(); err == nil {
				r.close() // nobody has written c0 yet
				// The change is refused only where the log knows c0. Here it went through, and
				// the releases that follow are made for a table without it.
				t.Skip("the app took another way")
			} else if code := errcode.Of(err); code != errcode.SyncSchema && code != errcode.Migration {
				t.Fatalf("refused with %v", err)
			}
			count["releases refused"]++
		}
		if alone(t, r, m.releases[versions[r]]) {
			count["releases that alone would have changed rows"]++
		}
		versions[r]++
		if err := m.install(r, versions[r]); err != nil {
			if m.own("u", versions[r]) && errcode.Of(err) == errcode.Migration {
				// Rows of such a table are not put back, so that its migration may fail on
				// them, as it does without sync.
				t.Skip("a table that is not synced before and after is the app's own")
			}
			t.Fatalf("release %d: %v", versions[r], err)
		}
		count["releases installed"]++
	}
	for range 60 {
		r := all[m.r.IntN(len(all))]
		switch n := m.r.IntN(10); {
		case n < 4:
			m.write(r, versions[r])
		case n < 6:
			r.push(l, m.r.IntN(4), outcome)
		case n < 9:
			r.pull(l, 1+m.r.IntN(5))
		case versions[r] < len(m.releases):
			upgrade(r)
		}
		same(t, r, "along the way")
	}
	for _, r := range all {
		r.push(l, 1000, outcome)
	}
	for _, r := range all {
		r.pull(l, 1000)
		for versions[r] < len(m.releases) && m.r.IntN(3) > 0 {
			upgrade(r)
			same(t, r, "at the end")
		}
		if got, want := same(t, r, "at the end"), l.digest(); got != want {
			t.Errorf("version %d: digest %x, the log's is %x", versions[r], got[:4], want[:4])
		}
		rows, err := r.c.Quarantined(t.Context(), 1000)
		if err != nil {
			t.Fatal(err)
		}
		count["rows quarantined"] += len(rows)
		if r.pending() == 0 { // a last release may have taken rows up
			untold(t, r)
		}
	}
}

// same looks that the rows are what the digest says, and that what the app sees of
// each row with pending operations is its base with them.
func same(t *testing.T, r *replica, when string) wire.Hash {
	t.Helper()
	_, digest, err := r.c.Digest(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := recountDigest(t, r.c); got != digest {
		t.Fatalf("%s: the rows have the digest %x, not %x", when, got[:4], digest[:4])
	}
	err = r.db.Apply(t.Context(), func(tx *store.Tx) error {
		a, err := r.c.begin(tx)
		if err != nil {
			return err
		}
		return tx.Inside(func(*sqlite3.Conn) error {
			some, err := a.scanBased(basedRow{}, 1000)
			for _, b := range some {
				k := rowKey{table: b.table, bytes: b.bytes}
				if k.key, err = wire.DecodeKey(b.bytes); err != nil {
					return err
				}
				want := b.base
				for _, op := range b.ops {
					body, err := a.body(op.id)
					if err != nil {
						return err
					}
					want = fold.Apply(body.Ops[op.op], want, a.merged)
				}
				if got, err := a.visible(k); err != nil || !fold.Equal(k.table, got, want, a.merged) {
					return fmt.Errorf("%s: %s %v: got %v, want %v, %v", when, k.table, k.key, got, want, err)
				}
			}
			return err
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return digest
}

// untold looks that columns which the log has not heard of have their default.
func untold(t *testing.T, r *replica) {
	t.Helper()
	for _, tab := range r.c.tables {
		for i, column := range tab.Columns {
			if _, ok := r.c.state.schema.Column(tab.Name, column); ok {
				continue
			}
			err := r.db.Query(t.Context(), "SELECT count(*) FROM "+tab.Name+" WHERE "+column+" IS NOT ?",
				store.Args(tab.Schema.Columns[i].Default), nil, func(s *sqlite3.Stmt) error {
					if n := s.ColumnInt(0); n > 0 {
						t.Errorf("%s.%s: %d rows do not have the default, and nobody has written it", tab.Name, column, n)
					}
					return nil
				})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
}

// alone reports whether a release's migration, by itself, changes rows that were
// synced, or fails on them. The replica is closed.
func alone(t *testing.T, r *replica, rel release) bool {
	t.Helper()
	data, err := os.ReadFile(r.file)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "alone.db")
	if err := os.WriteFile(file, data, 0o644); err != nil {
		t.Fatal(err)
	}
	c, err := sqlite3.Open("file:" + file)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	dump := func() string {
		var b strings.Builder
		for name := range r.cfg.Tables {
			s, _, err := c.Prepare("SELECT * FROM " + name + " ORDER BY id")
			if err != nil {
				return err.Error()
			}
			for s.Step() {
				row := map[string]any{}
				for i := range s.ColumnCount() {
					row[s.ColumnName(i)] = synced.Column(s, i)
				}
				fmt.Fprintln(&b, name, row)
			}
			s.Close()
		}
		return b.String()
	}
	before := dump()
	return c.Exec(rel.sql) != nil || strings.Count(before, "\n") != strings.Count(dump(), "\n") || before != dump()
}
