package native

import (
	"flag"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/ext/fts5"
	"github.com/ncruces/go-sqlite3/ext/rtree"

	"heddle.dev/heddle/engine/conformance"
)

var update = flag.Bool("update", false, "write testdata/native.txt")

func init() {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		panic(err)
	}
	time.Local = berlin
}

// prepare registers what native go-sqlite3 has not built in.
func prepare(db *sqlite3.Conn) error {
	if err := fts5.Register(db); err != nil {
		return err
	}
	return rtree.Register(db)
}

// TestNative keeps testdata/native.txt the results of native go-sqlite3, which
// the tests of the other engines compare theirs with.
func TestNative(t *testing.T) {
	const file = "testdata/native.txt"
	var names, results []string
	for _, c := range conformance.Cases() {
		names = append(names, c.Name)
		start := time.Now()
		results = append(results, c.Run(conformance.Options{Prepare: prepare}))
		t.Log(c.Name, time.Since(start))
	}
	if *update {
		if err := os.WriteFile(file, conformance.Golden(names, results), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want := conformance.ParseGolden(data)
	if len(want) != len(names) {
		t.Errorf("%s has %d cases, there are %d", file, len(want), len(names))
	}
	for i, name := range names {
		if diff := conformance.Diff(results[i], want[name]); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if strings.Contains(results[i], "panic: ") {
			t.Errorf("%s panicked", name)
		}
	}
}

// TestNative_has checks that what absent.go lists is there natively.
func TestNative_has(t *testing.T) {
	db, err := sqlite3.Open(":memory:")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for list, names := range map[string][]string{
		"function_list":  conformance.AbsentFunctions,
		"module_list":    conformance.AbsentModules,
		"collation_list": conformance.AbsentCollations,
	} {
		s, _, err := db.Prepare(`SELECT DISTINCT lower(name) FROM pragma_` + list)
		if err != nil {
			t.Fatal(err)
		}
		var have []string
		for s.Step() {
			have = append(have, s.ColumnText(0))
		}
		s.Close()
		for _, name := range names {
			if !slices.Contains(have, name) {
				t.Errorf("%s does not have %s", list, name)
			}
		}
	}
}
