package engine_test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestWazero runs the conformance cases on sqlite3.wasm under wazero, and
// compares them with native go-sqlite3, in the module wazero: it replaces a
// module that native go-sqlite3 needs.
func TestWazero(t *testing.T) {
	dependsOn(t, "wazero", "conformance", "sqlite3.wasm")
	cmd := exec.Command("go", "test", "-count=1", ".")
	cmd.Dir = "wazero"
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// TestLink runs the tests of linktest, which are for GOOS=js, under Node.
func TestLink(t *testing.T) {
	program := buildLinktest(t)
	for _, zone := range []string{"UTC", "Europe/Berlin", "America/St_Johns"} {
		t.Run(zone, func(t *testing.T) {
			args := []string{"-test.v"}
			if zone != "UTC" {
				args = append(args, "-test.run=localTime|Conformance")
			}
			out, err := node(t, program, []string{"TZ=" + zone}, args...)
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			t.Log(out)
		})
	}
	// An overflow of the shadow stack, which would otherwise overwrite Go's
	// heap, must trap.
	t.Run("stack overflow", func(t *testing.T) {
		out, err := node(t, program, []string{"HEDDLE_CRASH=stack"}, "-test.run=Crash")
		if err == nil || !strings.Contains(out, "RuntimeError: unreachable") {
			t.Fatalf("got %v, want a trap\n%s", err, out)
		}
	})
}

// TestLink_chromium runs them in a worker of a real browser, if there is one.
func TestLink_chromium(t *testing.T) {
	browser := os.Getenv("CHROMIUM")
	if browser == "" {
		browser = "/usr/bin/chromium"
	}
	if _, err := os.Stat(browser); err != nil || testing.Short() {
		t.Skip("no Chromium (set CHROMIUM), or a short run")
	}
	program := buildLinktest(t)
	cmd := exec.CommandContext(t.Context(), "node", "linktest/chromium.mjs", program, "-test.v")
	cmd.Env = append(os.Environ(), "CHROMIUM="+browser, "TZ=Europe/Berlin")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "\nPASS\n") {
		t.Fatalf("%v\n%s", err, out)
	}
}

func buildLinktest(t *testing.T) (program string) {
	t.Helper()
	if _, err := exec.LookPath("node"); err != nil {
		t.Skip("no node in PATH")
	}
	if _, err := os.Stat("../node_modules/esbuild"); err != nil {
		t.Skip("the npm packages of the root are not installed")
	}
	dependsOn(t, "linktest", "link", "../internal/opfs", "../sync/seal", "sqlite3.wasm", "simd.wasm",
		"../web/src/worker/engine.ts", "../web/src/worker/engine-modules.gen.ts")
	program = filepath.Join(t.TempDir(), "linktest.wasm")
	cmd := exec.Command("go", "test", "-c", "-o", program, ".")
	cmd.Dir = "linktest"
	cmd.Env = append(os.Environ(), "GOOS=js", "GOARCH=wasm")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return program
}

func node(t *testing.T, program string, env []string, args ...string) (out string, err error) {
	t.Helper()
	run, err := filepath.Abs("linktest/run.mjs")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("node", append([]string{run, program}, args...)...)
	cmd.Dir = "linktest"
	cmd.Env = append(os.Environ(), env...)
	b, err := cmd.CombinedOutput()
	return string(b), err
}

// dependsOn reads files, so that the go command does not answer from its cache
// when one has changed that only a child process reads.
func dependsOn(t *testing.T, paths ...string) {
	t.Helper()
	for _, p := range paths {
		err := filepath.WalkDir(p, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			_, err = os.ReadFile(path)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
