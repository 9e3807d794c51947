package tap

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"heddle.dev/heddle/internal/store"
	"heddle.dev/heddle/internal/value"
)

const schema = `
CREATE TABLE n(id INTEGER PRIMARY KEY, list INT, body TEXT COLLATE NOCASE, rank REAL, any, v AS (list + 1));
CREATE TABLE t(note INT, tag TEXT, PRIMARY KEY(note, tag)) WITHOUT ROWID;
CREATE VIEW open AS SELECT id, body FROM n WHERE list = 7;
`

func open(t *testing.T) *Tap {
	t.Helper()
	db, err := store.Open(context.Background(), store.Options{Filename: ":memory:", SingleConn: true,
		Migrations: []string{schema}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	m, err := db.Mirror(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	x, err := Open(m)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { x.Close() })
	return x
}

// text writes places as table(conditions), a place each.
func (t *Tap) text(places []Place, p value.Params) string {
	ops := map[Op]string{Eq: "=", Is: "IS", In: "IN", Lt: "<", Le: "<=", Gt: ">", Ge: ">=", IsNull: "NULL",
		IsNotNull: "NOT NULL"}
	var all []string
	for _, at := range places {
		var conds []string
		for _, k := range at.Constraints {
			values, ok := t.Bind(k, p)
			text := fmt.Sprintf("%d%s%v", k.Column, ops[k.Op], values)
			if !ok {
				text = "?"
			}
			if k.Collation != "BINARY" {
				text += k.Collation
			}
			conds = append(conds, text)
		}
		all = append(all, at.Table+"("+strings.Join(conds, " ")+")")
	}
	return strings.Join(all, " ")
}

func TestTap_places(t *testing.T) {
	x := open(t)
	for _, test := range []struct {
		sql, want string
		args      []value.Value
	}{
		{`SELECT * FROM n`, `n()`, nil},
		{`SELECT * FROM n WHERE id = ?`, `n(0=[1])`, []value.Value{int64(1)}},
		{`SELECT * FROM n WHERE id = ?`, `n(0=[1])`, []value.Value{"1"}},
		{`SELECT * FROM n WHERE rank = ?`, `n(3=[1])`, []value.Value{"1.0"}},
		{`SELECT * FROM n WHERE body = ?`, `n(2=[1.5]NOCASE)`, []value.Value{1.5}},
		{`SELECT * FROM n WHERE body > ?`, `n(?NOCASE)`, []value.Value{int64(1)}},
		{`SELECT * FROM n WHERE any = ?`, `n(4=[1])`, []value.Value{"1"}},
		{`SELECT * FROM n WHERE body = ? COLLATE binary`, `n(2=[a])`, []value.Value{"a"}},
		{`SELECT * FROM n WHERE list = 3 AND rank BETWEEN ? AND ?`, `n(1=[3] 3>=[1] 3<=[2])`,
			[]value.Value{int64(1), int64(2)}},
		{`SELECT * FROM n WHERE list IN (1, ?, '3')`, `n(1IN[1 2 3])`, []value.Value{int64(2)}},
		{`SELECT * FROM n WHERE list IS NULL AND any IS NOT NULL`, `n(1NULL[] 4NOT NULL[])`, nil},
		{`SELECT * FROM n WHERE list = 1 OR id = 2`, `n(1=[1]) n(0=[2])`, nil},
		{`SELECT * FROM n WHERE v = 3`, `n()`, nil},
		{`SELECT * FROM n WHERE list = list + ?`, `n()`, []value.Value{int64(2)}},
		{`SELECT * FROM open WHERE id > ?`, `n(1=[7] 0>[5])`, []value.Value{int64(5)}},
		{`SELECT * FROM n JOIN t ON t.note = n.id WHERE n.id = ?`, `n(0=[4]) t(0=[4])`, []value.Value{int64(4)}},
		{`SELECT count(*) FROM t WHERE note = (SELECT max(id) FROM n WHERE list = ?)`, `n(1=[4]) t()`,
			[]value.Value{int64(4)}},
		{`SELECT id FROM n WHERE id IN (SELECT note FROM t WHERE tag = 'x')`, `t(1=[x]) n()`, nil},
		{`SELECT id FROM n WHERE list = 1 UNION ALL SELECT note FROM t WHERE tag = 'x'`, `n(1=[1]) t(1=[x])`, nil},
		{`SELECT n.id FROM n LEFT JOIN t ON t.note = n.id AND t.tag = 'x' WHERE n.list = 2`, `n(1=[2]) t(1=[x])`, nil},
		{`SELECT id FROM n WHERE list = $list`, `n(1=[9])`, nil},
	} {
		st, err := x.Analyze(test.sql)
		if err != nil {
			t.Errorf("%s: %v", test.sql, err)
			continue
		}
		p := value.Args(test.args...)
		if strings.Contains(test.sql, "$list") {
			p = value.Params{Named: map[string]value.Value{"list": int64(9)}}
		}
		if got := x.text(st.Places, p); got != test.want {
			t.Errorf("%s\ngot  %s\nwant %s", test.sql, got, test.want)
		}
	}
	if _, err := x.Analyze(`SELECT nothing_of_the_kind(id) FROM n`); err == nil {
		t.Error("an unknown function compiles")
	}
}

func TestCompare_likeSQLite(t *testing.T) {
	x := open(t)
	values := []value.Value{nil, int64(0), int64(1), int64(-1), int64(1<<53 + 1), float64(1 << 53), int64(1<<63 - 1),
		float64(1 << 63), -float64(1 << 63), int64(-1 << 63), 1.0, 1.5, -0.5, "", "a", "A", "a ", "b", "é", "É", "[",
		[]byte{}, []byte("a")}
	for _, collation := range []string{"BINARY", "NOCASE", "RTRIM"} {
		s, _, err := x.c.Prepare(`WITH v(a, b) AS (SELECT ?, ?)
			SELECT CASE WHEN a IS b COLLATE ` + collation + ` THEN 0
				WHEN a IS NULL OR a < b COLLATE ` + collation + ` THEN -1 ELSE 1 END FROM v`)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range values {
			for _, b := range values {
				for i, v := range []value.Value{a, b} {
					switch v := v.(type) {
					case nil:
						s.BindNull(i + 1)
					case int64:
						s.BindInt64(i+1, v)
					case float64:
						s.BindFloat(i+1, v)
					case string:
						s.BindText(i+1, v)
					case []byte:
						s.BindBlob(i+1, v)
						if len(v) == 0 {
							s.BindZeroBlob(i+1, 0)
						}
					}
				}
				if !s.Step() {
					t.Fatal(s.Err())
				}
				if got, want := Compare(a, b, collation), s.ColumnInt(0); got != want {
					t.Errorf("%s: %#v and %#v: got %d, want %d", collation, a, b, got, want)
				}
				s.Reset()
			}
		}
		s.Close()
	}
}
