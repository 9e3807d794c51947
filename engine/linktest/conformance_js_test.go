package linktest

import (
	"os"
	"syscall/js"
	"testing"

	"heddle.dev/heddle/engine/conformance"
)

// TestConformance runs each case and compares it with native go-sqlite3, in the
// same zone of time.
func TestConformance(t *testing.T) {
	if zone := os.Getenv("TZ"); zone != "Europe/Berlin" {
		t.Skip("the results to compare with are of another zone of time")
	}
	want := conformance.ParseGolden([]byte(js.Global().Get("heddleGolden").String()))
	for _, c := range conformance.Cases() {
		t.Run(c.Name, func(t *testing.T) {
			if diff := conformance.Diff(c.Run(conformance.Options{}), want[c.Name]); diff != "" {
				t.Error(diff)
			}
			stackIsBack(t)
		})
	}
}
