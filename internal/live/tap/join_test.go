package tap

import (
	"fmt"
	"strings"
	"testing"
)

func TestTap_joins(t *testing.T) {
	x := open(t)
	for _, test := range []struct{ sql, want string }{
		{`SELECT n.id, t.tag FROM n JOIN t ON t.note = n.id WHERE n.list = ?`, `n t(0.1)`},
		{`SELECT t.tag FROM n JOIN t ON t.note = n.id WHERE n.list = ? AND n.body > 'a' ORDER BY n.rank LIMIT 5`,
			`n t(0.1)`},
		{`SELECT t.tag FROM t, n WHERE t.note = n.id AND n.list = $list AND n.rank = $rank`, `t(1.1) n`},
		{`SELECT CASE WHEN n.rank > 1 THEN 1 END FROM n JOIN t ON t.note = n.id WHERE n.list = ?`, `n t`},
		{`SELECT t.tag FROM n JOIN t ON t.note = n.id WHERE n.list > ?`, `n t`},
		{`SELECT t.tag FROM n JOIN t ON t.note = n.id WHERE n.id = ?`, `n t`}, // it tells both tables' rows apart
		{`SELECT t.tag FROM n JOIN t ON t.note = n.id WHERE n.list = ?1 AND n.rank > ?1`, `n t`},
		{`SELECT t.tag FROM n JOIN t ON t.note = n.id WHERE n.list = ? LIMIT 3`, `n t`},               // it ends early
		{`SELECT n.id FROM n WHERE list = ? AND EXISTS (SELECT 1 FROM t WHERE t.note = n.id)`, `n t`}, // it is left early
		{`SELECT a.id FROM n a JOIN n b ON a.list = b.rank JOIN t ON t.note = a.id WHERE b.list = ?`, `t(1.1)`},
		{`SELECT n.id FROM n LEFT JOIN t ON t.note = n.id WHERE n.list = ?`, ``},
		{`SELECT count(*) FROM n JOIN t ON t.note = n.id WHERE n.list = ?`, ``},
		{`SELECT n.id FROM n WHERE NOT EXISTS (SELECT 1 FROM t WHERE t.note = n.id)`, ``},
		{`SELECT n.id, (SELECT tag FROM t WHERE t.note = n.id) FROM n WHERE list = ?`, ``},
		{`SELECT n.id FROM n WHERE list = ? AND id IN (SELECT note FROM t)`, ``},
		{`SELECT n.id FROM n WHERE list = ? UNION ALL SELECT note FROM t`, ``},
		{`SELECT n.v FROM n JOIN t ON t.note = n.id WHERE n.list = ?`, `t(0.1)`}, // n's changed rows have no v
		{`SELECT n.id FROM n, t, json_each(n.body) j WHERE t.note = n.id AND n.list = ?`, ``},
	} {
		st, err := x.Analyze(test.sql)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, j := range st.Joins {
			got += " " + j.Table
			if j.Free != nil {
				got += fmt.Sprintf("(%d.%d)", j.Free.Place, j.Free.Column)
			}
		}
		if got = strings.TrimSpace(got); got != test.want {
			t.Errorf("%s: got %s, want %s", test.sql, got, test.want)
		}
	}
}
