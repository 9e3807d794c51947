package tap

import (
	"fmt"
	"testing"

	"heddle.dev/heddle/internal/value"
)

// describe writes what a probe knows of its statement.
func (p *Probe) describe(params value.Params) string {
	text := p.Table
	if p.Distinct {
		text += " distinct"
	}
	if n, ok := p.Rows(params); !ok {
		text += " limit ?"
	} else if n >= 0 {
		text += fmt.Sprint(" limit ", n)
	}
	for _, a := range p.Aggregates {
		text += " " + a.Function
		if a.Collation != "BINARY" {
			text += " " + a.Collation
		}
	}
	if p.RowID >= 0 {
		text += fmt.Sprint(" rowid ", p.RowID)
	}
	if p.Sorted {
		text += " by"
		for _, k := range p.Order {
			text += fmt.Sprint(" ", k.Column)
			if k.Desc {
				text += " desc"
			}
			if k.Collation != "BINARY" {
				text += " " + k.Collation
			}
		}
	}
	return text
}

func TestTap_probes(t *testing.T) {
	x := open(t)
	one := value.Args(int64(1))
	for _, test := range []struct {
		sql, want string
		params    value.Params
	}{
		{`SELECT * FROM n`, `a virtual generated column`, value.Params{}},
		{`SELECT id, body FROM n`, `n rowid 0`, value.Params{}},
		{`SELECT body FROM n WHERE list = ?`, `n`, one},
		{`SELECT rowid, body FROM n WHERE list = ?`, `n rowid 0`, one},
		{`SELECT rowid, body FROM n ORDER BY rank`, `n rowid 0 by`, value.Params{}},
		{`SELECT body, rank, id FROM n ORDER BY rank DESC, id`, `n rowid 2 by 1 desc 2`, value.Params{}},
		{`SELECT body FROM n ORDER BY body`, `n by 0 NOCASE`, value.Params{}},
		{`SELECT body FROM n ORDER BY body COLLATE binary`, `n by`, value.Params{}},
		{`SELECT body FROM n ORDER BY body NULLS LAST`, `n by`, value.Params{}},
		{`SELECT rank FROM n ORDER BY rank + 1`, `n by`, value.Params{}},
		{`SELECT body AS a, body AS b FROM n ORDER BY b LIMIT 5`, `n limit 5 by 0 NOCASE`, value.Params{}},
		{`SELECT body FROM n LIMIT ?`, `n limit 1`, one},
		{`SELECT body FROM n LIMIT 1 + ?`, `n limit ?`, one},
		{`SELECT body FROM n LIMIT 1 OFFSET 2`, `OFFSET`, value.Params{}},
		{`SELECT body FROM n WHERE list IN (1, 2, 3, ?)`, `n`, one},
		{`SELECT body FROM n WHERE list NOT IN (1, 2, 3, NULL)`, `n`, value.Params{}},
		{`SELECT body FROM n WHERE list IN (1, rank, any)`, `n`, value.Params{}},
		{`SELECT body FROM n WHERE list = 1 OR body LIKE 'a%'`, `n`, value.Params{}},
		{`SELECT CASE WHEN rank > 1 THEN 'a' ELSE body END FROM n WHERE (rank, id) > (1, 2)`, `n`, value.Params{}},
		{`SELECT DISTINCT list FROM n`, `n distinct`, value.Params{}},
		{`SELECT DISTINCT list FROM n WHERE list = 3`, `n distinct`, value.Params{}},
		{`SELECT DISTINCT list FROM n ORDER BY list`, `GROUP BY, or DISTINCT with ORDER BY`, value.Params{}},
		{`SELECT list, count(*) FROM n GROUP BY list`, `GROUP BY, or DISTINCT with ORDER BY`, value.Params{}},
		{`SELECT count(*), sum(rank) FROM n WHERE list = ?`, `n count sum`, one},
		{`SELECT max(body), min(rank) FILTER (WHERE list > 1) FROM n`, `n max NOCASE min`, value.Params{}},
		{`SELECT count(DISTINCT body) FROM n`, `n distinct count`, value.Params{}},
		{`SELECT count(*) + 1 FROM n`, `an expression over aggregates`, value.Params{}},
		{`SELECT count(*) FROM n HAVING count(*) > 1`, `an expression over aggregates`, value.Params{}},
		{`SELECT body, max(rank) FROM n`, `an expression over aggregates`, value.Params{}},
		{`SELECT v FROM n`, `a virtual generated column`, value.Params{}},
		{`SELECT id FROM open WHERE id > ?`, `n rowid 0`, one},
		{`SELECT * FROM (SELECT body FROM n LIMIT 3) WHERE body > 'a'`, `a subquery`, value.Params{}},
		{`SELECT n.id FROM n JOIN t ON t.note = n.id`, `several tables, or one twice`, value.Params{}},
		{`SELECT n.id FROM n LEFT JOIN t ON t.note = n.id`, `several tables, or one twice`, value.Params{}},
		{`SELECT id FROM n WHERE id IN (SELECT note FROM t)`, `several tables, or one twice`, value.Params{}},
		{`SELECT id, (SELECT count(*) FROM t WHERE note = id) FROM n`, `several tables, or one twice`, value.Params{}},
		{`SELECT value FROM json_each('[1]')`, `a table-valued function`, value.Params{}},
		{`SELECT 1`, `several tables, or one twice`, value.Params{}},
		{`SELECT id, row_number() OVER (ORDER BY id) FROM n`, `a subquery`, value.Params{}},
	} {
		st, err := x.Analyze(test.sql)
		if err != nil {
			t.Errorf("%s: %v", test.sql, err)
			continue
		}
		got := st.Why
		if st.Probe != nil {
			got = st.Probe.describe(test.params)
		}
		if got != test.want {
			t.Errorf("%s\ngot  %s\nwant %s", test.sql, got, test.want)
		}
	}
}

// A probe gives what the statement makes of the rows that it is given.
func TestProbe_Run(t *testing.T) {
	x := open(t)
	rows := []Image{
		{1, []value.Value{int64(1), int64(7), "b", 1.5, []byte{}}},
		{2, []value.Value{int64(2), int64(7), "a", nil, "x"}},
		{3, []value.Value{int64(3), int64(8), "c", 2.0, int64(3)}},
	}
	for _, test := range []struct{ sql, want, none string }{
		{`SELECT id, body, rank, any FROM n WHERE list = ? ORDER BY body`, `[[2 a <nil> x] [1 b 1.5 []]]`, `[]`},
		{`SELECT rowid FROM n WHERE list > ?`, `[[3]]`, `[]`},
		{`SELECT count(*), sum(rank) FROM n WHERE list = ?`, `[[2 1.5]]`, `[[0 <nil>]]`},
		{`SELECT id FROM n WHERE list IN (1, 2, 3, ?) LIMIT 1`, `[[1]]`, `[]`},
	} {
		st, err := x.Analyze(test.sql)
		if err != nil || st.Probe == nil {
			t.Fatalf("%s: %v %v", test.sql, st, err)
		}
		for _, run := range []struct {
			rows []Image
			want string
		}{{rows, test.want}, {nil, test.none}, {rows, test.want}} {
			got, err := st.Probe.Run(x, value.Args(int64(7)), run.rows)
			if err != nil || fmt.Sprint(got) != run.want {
				t.Errorf("%s: got %v, %v, want %s", test.sql, got, err, run.want)
			}
		}
		if _, err := st.Probe.Run(x, value.Params{}, rows); err == nil {
			t.Errorf("%s runs without its parameter", test.sql)
		}
	}
}

// Few probes are compiled at a time, and one that is not is compiled again.
func TestProbe_many(t *testing.T) {
	x := open(t)
	var all []*Probe
	for i := range maxCompiled + 20 {
		st, err := x.Analyze(fmt.Sprintf(`SELECT id + %d FROM n`, i))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, st.Probe)
	}
	if len(x.compiled) != maxCompiled {
		t.Errorf("%d are compiled", len(x.compiled))
	}
	for i, p := range all {
		rows, err := p.Run(x, value.Params{}, []Image{{1, []value.Value{int64(1), nil, nil, nil, nil}}})
		if err != nil || fmt.Sprint(rows) != fmt.Sprintf("[[%d]]", i+1) {
			t.Errorf("%d: got %v, %v", i, rows, err)
		}
	}
}
