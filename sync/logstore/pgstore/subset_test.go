package pgstore

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// foreign is what databases that speak PostgreSQL's protocol, CockroachDB and YugabyteDB,
// do not share with it, or do not mean alike.
var foreign = map[string]*regexp.Regexp{
	"advisory locks":            regexp.MustCompile(`(?i)pg_(try_)?advisory`),
	"procedures":                regexp.MustCompile(`(?i)\b(plpgsql|DO \$|(FUNCTION|PROCEDURE|TRIGGER|RULE) )`),
	"notifications":             regexp.MustCompile(`(?i)\b(LISTEN|NOTIFY)\b|pg_notify`),
	"locks of tables":           regexp.MustCompile(`(?i)\bLOCK TABLE\b`),
	"hidden columns":            regexp.MustCompile(`(?i)\b(ctid|xmin|xmax|tableoid|oid)\b`),
	"the catalog":               regexp.MustCompile(`(?i)\bpg_[a-z_]+`),
	"what outlives transaction": regexp.MustCompile(`(?i)\b(WITH HOLD|TEMP(ORARY)? TABLE|PREPARE|DECLARE)\b`),
	"other kinds of tables":     regexp.MustCompile(`(?i)\b(UNLOGGED|INHERITS|PARTITION BY|TABLESPACE|EXCLUDE USING)\b`),
	"MERGE":                     regexp.MustCompile(`(?i)\bMERGE INTO\b`),
	"extensions":                regexp.MustCompile(`(?i)\bCREATE EXTENSION\b`),
}

// verbs begin a statement, or a part of one.
var verbs = regexp.MustCompile(
	`^\s*(SELECT|INSERT|UPDATE|DELETE|WITH|CREATE|ALTER|DROP|BEGIN|COMMIT|ROLLBACK|SET|LISTEN)\s`)

// statements are the SQL texts of a source file.
func statements(t *testing.T, name string, source any) (all []string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), name, source, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			if text, err := strconv.Unquote(lit.Value); err == nil && verbs.MatchString(text) {
				all = append(all, text)
			}
		}
		return true
	})
	return all
}

// strange says what of a statement other databases do not know.
func strange(sql string) (what string) {
	for name, pattern := range foreign {
		if pattern.MatchString(sql) {
			what = name
		}
	}
	return what
}

// The statements are of the part of SQL that these databases share. Notifications alone
// are not, and are in a file of their own.
func TestStatements_shared(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") || name == "hints.go" {
			continue
		}
		for _, sql := range statements(t, name, nil) {
			found++
			if what := strange(sql); what != "" {
				t.Errorf("%s: %s: %.80s", name, what, sql)
			}
		}
	}
	if found < 50 {
		t.Errorf("%d statements were found; there are more", found)
	}
}

func TestStrange_findsWhatItShould(t *testing.T) {
	for _, sql := range []string{"SELECT pg_advisory_xact_lock(1)", "DO $$ BEGIN END $$", "SELECT ctid FROM heddle.row",
		"CREATE TEMP TABLE x()", "LISTEN heddle", "SELECT pg_notify('a', 'b')", "SELECT 1 FROM pg_class",
		"CREATE UNLOGGED TABLE x()", "CREATE TRIGGER x"} {
		if strange(sql) == "" {
			t.Errorf("it passes: %s", sql)
		}
	}
	if got := statements(t, "x.go", "package x\n\nconst a, b = `\n\tUPDATE x`, \"no statement\"\n"); len(got) != 1 {
		t.Errorf("got %q", got)
	}
}
