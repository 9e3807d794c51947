package wazero

import (
	"os"
	"slices"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/engine/conformance"
)

func init() {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		panic(err)
	}
	time.Local = berlin
}

// TestConformance runs each case and compares it with native go-sqlite3.
func TestConformance(t *testing.T) {
	data, err := os.ReadFile("../conformance/native/testdata/native.txt")
	if err != nil {
		t.Fatal(err)
	}
	want := conformance.ParseGolden(data)
	for _, c := range conformance.Cases() {
		t.Run(c.Name, func(t *testing.T) {
			if diff := conformance.Diff(c.Run(conformance.Options{}), want[c.Name]); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestAbsent checks that what is said to be absent is.
func TestAbsent(t *testing.T) {
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
		for s.Step() {
			if slices.Contains(names, s.ColumnText(0)) {
				t.Errorf("%s has %s", list, s.ColumnText(0))
			}
		}
		s.Close()
	}
}
