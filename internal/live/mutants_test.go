//go:build !js

package live

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	osexec "os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var mutantSteps = flag.Int("mutants", 0, "steps of TestMutants for each fault; none if 0")

// mutant is a deliberate fault: other texts in place of some of the source.
type mutant struct {
	name  string
	edits []edit
}

type edit struct{ file, old, new string }

var mutants = []mutant{
	{"the columns of indexes decide nothing", []edit{
		{"../store/plan.go", `case "OpenRead", "ReopenIdx":`, `case "None":`}}},
	{"a condition's collation is BINARY", []edit{
		{"tap/tap.go", "strings.ToUpper(info.Collation(i))", `strings.ToUpper("binary")`}}},
	{"a text compared with a number stays a text", []edit{{"tap/program.go", `column = "number"`, `column = ""`}}},
	{"a number compared with a text stays a number", []edit{{"tap/program.go", `column = "text"`, `column = ""`}}},
	{"the affinity of another column counts for nothing", []edit{
		{"tap/program.go", "if !fits(in.p4, affinity) {", "if false {"}}},
	{"of an IN list the last value alone counts", []edit{
		{"tap/program.go", "k.Values = append(k.Values, v)", "k.Values = []Operand{v}"}}},
	{"an IN list behind a copied cursor is empty", []edit{
		{"tap/program.go", `in.op == "OpenDup" &&`, `in.op == "" &&`},
		{"tap/program.go", "return len(k.Values) > 0", "return true"}}},
	{"the old values of a row do not count", []edit{
		{"condition.go", "return p.admits(r.Old, r.RowID) || p.admits(r.New, r.RowID)", "return p.admits(r.New, r.RowID)"}}},
	{"the new values of a row do not count", []edit{
		{"condition.go", "return p.admits(r.Old, r.RowID) || p.admits(r.New, r.RowID)", "return p.admits(r.Old, r.RowID)"}}},
	{"IS NULL holds for no row", []edit{{"condition.go", "&& c.op != tap.Is {", "{"}}},
	{"an end of a range does not belong to it", []edit{{"condition.go", "return d >= 0", "return d > 0"}}},
	{"a table is read in one place", []edit{
		{"statement.go", "placed[at.Table] = true", "if placed[at.Table] {\ncontinue\n}\nplaced[at.Table] = true"}}},
	{"1 and 1.0 are found apart", []edit{{"index.go", "if i := int64(v); v", "if i := int64(v); false && v"}}},
	{"ranges without an upper end are passed over", []edit{{"intervals.go", "!all && !n.open &&", "!all &&"}}},
	{"a row that changes its rowid is an update", []edit{
		{"../store/capture/image.go", "RowChange{RowID: e.rowid, Old: e.before, New: after}",
			"RowChange{RowID: e.rowid, Old: e.before, New: orBefore(after, e.before)}"},
		{"../store/capture/image.go", "// images returns", `func orBefore(after, before []value.Value) []value.Value {
			if after == nil {
				return before
			}
			return after
		}

		// images returns`}}},

	// Patches.
	{"rows that leave a result stay", []edit{
		{"maintain.go", "leave, err = q.probe.Run(t, q.params, old)", "leave, err = q.probe.Run(t, q.params, old[:0])"}}},
	{"several commits are the last one", []edit{
		{"changes.go", "if len(p.tables) == 1 {\n\t\treturn p.tables[0].Rows, true", `if true {
			return p.tables[len(p.tables)-1].Rows, true`}}},
	{"a descending key ascends", []edit{{"patch.go", "if k.Desc {", "if false {"}}},
	{"a key's collation is BINARY", []edit{
		{"tap/probe.go", "k.Collation = strings.ToUpper(c.Collation)", `k.Collation = strings.ToUpper("binary")`}}},
	{"rows without an ORDER BY come by rowid", []edit{
		{"maintain.go", "case p.deps.ByRowID && probe.RowID >= 0:", "case probe.RowID >= 0:"}}},
	{"of rows that sort the same the new one is the first", []edit{
		{"patch.go", "if !l.alike(from, to, c.hash) {", "if !l.alike(from, to, c.hash) && false {"}}},
	{"of new rows that sort the same any is the first", []edit{
		{"patch.go", "d == 0 && l.come[i-1].hash != c.hash", "false"}}},
	{"of several equal rows any goes", []edit{
		{"patch.go", "if at < 0 || same > 1 && !l.alike(from, to, c.hash) {", "if at < 0 {"}}},
	{"a window is not refilled", []edit{{"patch.go", "total < l.limit {", "total < 0 {"}}},
	{"a window has no end", []edit{{"patch.go", "if l.limit >= 0 && len(d.hashes) > l.limit {", "if false {"}}},
	{"what sorts as the last row of a window is behind it", []edit{
		{"patch.go", "return d > 0, d != 0 || l.unique", "return d >= 0, true"}}},
	{"a LIMIT cuts off no row of a probe", []edit{
		{"maintain.go", "int64(len(images)) > limit", "false"}}},
	{"a sum of nothing is 0", []edit{{"patch.go", "case enter == nil && sum == 0 && leave != nil:", "case false:"}}},
	{"values that come again are counted again", []edit{{"patch.go", "case p.Distinct:", "case false:"}}},
	{"the least may leave", []edit{{"patch.go", "compare(former, leave) >= 0", "false"}}},
	{"1 and 1.0 are one extreme", []edit{
		{"patch.go", "compare(enter, former) > 0 || value.Equal(enter, former) && !several", "true"}}},
	{"equal rows enter a DISTINCT result", []edit{
		{"tap/shape.go", "if looked[in.p1] {", "if false {"}}},

	// Joins.
	{"a join is left at its first match", []edit{
		{"tap/join.go", "return at, !all || p.complete(at, ends)", "return at, true"}}},
	{"a table that stands twice is probed", []edit{
		{"tap/join.go", "if times[p.Table] != 1 {", "if false {"},
		{"tap/join.go", "return seen == 1\n", "return seen >= 1\n"}}},
	{"a subquery is a join", []edit{
		{"tap/join.go", "if opened++; len(at) > 0 {", "if opened++; false {"}}},
	{"a number is looked up in a text column", []edit{
		{"tap/join.go", "if k.affinity.class() != Numeric {", "if false {"}}},
	{"the old values of a joined row do not count", []edit{
		{"maintain.go", "return e.probeJoin(read, q, j, append(old, new...))", "return e.probeJoin(read, q, j, new)"}}},
	{"the old values of a family's row do not count", []edit{
		{"family.go", "f.join.Values(t, append(old, new...), lookup,", "f.join.Values(t, append(old[:0], new...), lookup,"}}},
	{"of two tables that change one is probed", []edit{
		{"changes.go", "len(p.tables) > 0 && p.tables[0].Of != t.Of {", "false {"}}},
	{"a family's change leaves those alone that are due", []edit{
		{"family.go", "if len(touched) > 0 {", "if false {"}}},
	{"a family's parameter compares as BINARY", []edit{
		{"family.go", "return k.Collation", `return "BINARY"`}}},
	{"a second use of a parameter is not seen", []edit{
		{"tap/join.go", "variables == len(columns)", "variables > 0"}}},
}

// TestMutants builds the property test with one fault at a time, and wants each to be
// reported.
func TestMutants(t *testing.T) {
	for _, m := range mutants {
		t.Run(m.name, func(t *testing.T) {
			overlay := m.overlay(t) // it fails if the source has changed
			if *mutantSteps == 0 {
				t.Skip("make live-mutants runs it: it builds a test for each fault")
			}
			args := []string{"test", "-overlay", overlay, "-run", "^TestEngine_equalsFreshRuns$", "-count=1", "-timeout=0",
				".", "-steps", fmt.Sprint(*mutantSteps), "-seed", fmt.Sprint(*seed)}
			out, err := osexec.Command("go", args...).CombinedOutput()
			switch {
			case err == nil:
				t.Error("not reported")
			case !strings.Contains(string(out), "WRONG"):
				t.Errorf("%.2000s", out)
			default:
				t.Log("reported at ", regexp.MustCompile(`seed \d+`).FindString(string(out)))
			}
		})
	}
}

// overlay writes the sources with the fault, and the file that has go build use them.
func (m mutant) overlay(t *testing.T) string {
	dir := t.TempDir()
	replace := map[string]string{}
	for _, e := range m.edits {
		path, err := filepath.Abs(e.file)
		if err != nil {
			t.Fatal(err)
		}
		from := path
		if replace[path] != "" {
			from = replace[path]
		}
		source, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Count(string(source), e.old) != 1 {
			t.Fatalf("%s has %q %d times", e.file, e.old, strings.Count(string(source), e.old))
		}
		to := filepath.Join(dir, fmt.Sprint(len(replace), ".go"))
		if replace[path] != "" {
			to = replace[path]
		}
		replace[path] = to
		if err := os.WriteFile(to, []byte(strings.Replace(string(source), e.old, e.new, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	text, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
