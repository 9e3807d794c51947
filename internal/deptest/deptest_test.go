package deptest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "heddle.dev/heddle"

// local returns a package's path in the repository; the root is "heddle".
func local(importPath string) (name string, ours bool) {
	if importPath == module {
		return "heddle", true
	}
	return strings.CutPrefix(importPath, module+"/")
}

// allowed says which of our packages each of our packages may import. A package
// that is not listed takes the rule of its nearest listed parent; the packages
// below "internal/opfs" are helpers of its tests and may import it.
var allowed = map[string][]string{
	"internal/errcode":       {},
	"internal/errcode/gen":   {"internal/errcode", "internal/errcode/gen/codes"},
	"internal/accept":        {},
	"internal/value":         {},
	"internal/deptest":       {},
	"internal/await":         {},
	"internal/diskvfs":       {},
	"internal/growth":        {},
	"internal/opfs":          {"internal/errcode"},
	"internal/opfs/atrest":   {"internal/opfs"},
	"internal/opfs/opfstest": {"internal/opfs", "internal/opfs/atrest", "internal/errcode"},
	"sync/wire":              {"internal/value", "internal/errcode"},
	"sync/fold":              {"sync/wire", "internal/value", "internal/errcode"},
	"sync/seal":              {"sync/wire", "internal/errcode"},
	"sync/seal/native":       {"sync/seal", "internal/errcode"},
	"sync/seal/model":        {},
	"internal/liar":          {"sync/seal", "sync/wire"},
	"internal/store": {"internal/store/capture", "internal/store/migrate", "internal/store/schema",
		"internal/store/script", "internal/store/sqlconn", "internal/store/dbfile", "internal/store/scratch",
		"internal/store/sqlerr", "internal/value", "internal/errcode"},
	"internal/store/capture": {"internal/store/schema", "internal/store/sqlconn", "internal/store/sqlerr",
		"internal/value", "internal/errcode"},
	"internal/store/migrate": {"internal/store/schema", "internal/store/sqlconn", "internal/store/sqlerr",
		"internal/value", "internal/errcode"},
	"internal/store/schema": {"internal/store/sqlconn", "internal/value"},
	"internal/store/script": {"internal/store/sqlconn", "internal/store/dbfile", "internal/store/sqlerr",
		"internal/value", "internal/errcode"},
	"internal/store/sqlconn": {"internal/store/sqlerr", "internal/value", "internal/errcode"},
	"internal/store/dbfile":  {"internal/errcode"},
	"internal/store/scratch": {},
	"internal/store/sqlerr":  {"internal/errcode"},
	"internal/store/salvage": {"internal/store", "internal/store/sqlconn", "internal/store/sqlerr", "internal/value"},
	"internal/store/storetest": {"internal/store", "internal/store/dbfile", "internal/opfs", "internal/await",
		"internal/errcode"},
	"internal/live":                {"internal/live/tap", "internal/store", "internal/value", "internal/errcode"},
	"internal/live/tap":            {"internal/store", "internal/value"},
	"broadcast":                    {"internal/rpc", "internal/store", "internal/errcode"},
	"sync/replica":                 {"internal/store", "sync/fold", "sync/wire", "internal/value", "internal/errcode"},
	"sync/client":                  {"sync/replica", "internal/store", "sync/wire", "internal/errcode"},
	"sync/member":                  {"sync/client", "sync/replica", "sync/seal", "sync/wire", "internal/errcode"},
	"sync/client/nethttp":          {"sync/client", "internal/errcode"},
	"sync/logstore":                {"sync/wire", "internal/errcode"},
	"sync/logstore/sqlitestore":    {"sync/logstore", "sync/fold", "sync/wire", "internal/diskvfs", "internal/errcode"},
	"sync/logstore/pgstore":        {"sync/logstore", "sync/wire", "internal/errcode"},
	"sync/logstore/pgstore/pgtest": {},
	"sync/logstore/natshints":      {"sync/logstore", "sync/wire", "internal/errcode"},
	"sync/logstore/storetest":      {"sync/logstore", "sync/fold", "sync/wire", "internal/await", "internal/errcode"},
	"sync/server": {"sync/server/auth", "sync/server/mailbox", "sync/server/shelf", "sync/logstore",
		"sync/fold", "sync/seal", "sync/seal/native", "sync/wire", "internal/accept", "internal/errcode"},
	"sync/server/mailbox": {"internal/errcode"},
	"sync/server/shelf":   {"sync/logstore", "sync/seal", "internal/errcode"},
	"sync/server/auth":    {"internal/errcode"},
	"sync/server/traces":  {"sync/server", "internal/errcode"},
	"sync/server/metrics": {"sync/server", "sync/logstore", "sync/wire", "internal/errcode"},

	"sync/logstore/natshints/natstest": {},

	"sync/sim": {"internal/opfs", "internal/store", "sync/fold", "sync/wire", "sync/client", "sync/logstore",
		"sync/logstore/sqlitestore", "sync/logstore/storetest", "sync/server", "sync/member", "sync/replica",
		"sync/seal", "sync/seal/native", "internal/errcode"},
	"internal/rpc":         {"internal/value", "internal/errcode"},
	"internal/rpc/gen":     {},
	"internal/rpc/rpctest": {"internal/rpc", "internal/value"},
	"internal/leader": {"internal/rpc", "internal/store", "internal/store/salvage", "internal/live", "broadcast",
		"sync/client", "sync/member", "sync/seal", "internal/opfs", "internal/value", "internal/errcode"},
	"engine":        {},
	"jsbridge":      {"internal/errcode"},
	"cmd/heddle":    {"*"},
	"deploy":        {},
	"deploy/tokens": {"sync/server/auth"},
	// the root
	"heddle": {"internal/store", "internal/live", "sync/client", "sync/client/nethttp", "sync/member", "sync/seal",
		"sync/seal/native", "internal/diskvfs", "internal/value", "internal/errcode"},
	"e2e/nativeclient": {"heddle"},
	"e2e/cluster":      {"sync/logstore/pgstore/pgtest"},
	"e2e/liar":         {"internal/liar", "sync/logstore/sqlitestore", "sync/server"},
	"bench":            {"*"},
	"examples":         {"*"},
}

// onlyIn says which of our packages may import a package from outside.
var onlyIn = map[string][]string{
	"syscall/js":                 {"jsbridge"},
	"github.com/hack-pad/safejs": {"jsbridge"},
	"net/http": {"heddle", "sync/server", "sync/client/nethttp", "sync/sim", "cmd/heddle", "deploy/tokens",
		"bench", "internal/liar", "e2e/liar"},
	"github.com/tetratelabs/wazero":                  {"engine"},
	"github.com/prometheus/client_golang/prometheus": {"sync/server/metrics", "cmd/heddle"},
	"github.com/jackc/pgx/v5":                        {"sync/logstore/pgstore"},
	"github.com/nats-io/nats.go":                     {"sync/logstore/natshints"},
	"github.com/nats-io/nats-server/v2/server":       {"sync/logstore/natshints/natstest"},
}

// forbidden says what the browser's binary must not link, and why.
var forbidden = map[string]string{
	"net/http":              "1.2 MB of brotli; requests go through the browser's fetch",
	"encoding/json":         "reflection; messages are encoded by hand",
	"encoding/gob":          "reflection",
	"database/sql":          "a second layer over the same SQLite",
	"testing":               "test code in production",
	"flag":                  "test code in production",
	"log/slog":              "pulls in encoding/json",
	"html/template":         "the page makes its own HTML",
	"regexp":                "size; SQL's REGEXP is not offered in the browser",
	"os/exec":               "a browser runs no processes",
	module + "/sync/server": "the server",
	"github.com/prometheus/client_golang/prometheus": "metrics of the server",
	"go.opentelemetry.io/otel":                       "traces of the server",
	"github.com/jackc/pgx/v5":                        "a server's database",
	"github.com/nats-io/nats.go":                     "hints between servers",
	// Keys of sealed spaces stay in WebCrypto. What the browser does instead, Go need not.
	module + "/sync/seal/native": "the cryptography of native programs",
	"crypto/hpke":                "119 KiB of brotli; WebCrypto has X25519 and AES-GCM",
	"crypto/ed25519":             "36 KiB of brotli; WebCrypto has it",
	module:                       "the face for native programs, which links net/http",
}

// excused says which packages from outside may import a forbidden one all the
// same: the linker leaves out what is not called.
var excused = map[string][]string{
	"encoding/json": {"github.com/ncruces/go-sqlite3", "github.com/ncruces/go-sqlite3/internal/util",
		"github.com/google/uuid"},
}

type pkg struct {
	ImportPath   string
	Name         string
	Imports      []string
	TestImports  []string
	XTestImports []string
	DepsErrors   []struct{ Err string }
}

// root is the repository: two directories above this one.
func root(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// list runs "go list" in dir for the given GOOS and returns the packages.
func list(t *testing.T, dir, goos string, args ...string) []pkg {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"list", "-e",
		"-json=ImportPath,Name,Imports,TestImports,XTestImports,DepsErrors"}, args...)...)
	cmd.Dir = dir
	cmd.Env = os.Environ()
	if goos == "js" {
		cmd.Env = append(cmd.Env, "GOOS=js", "GOARCH=wasm")
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go %v: %v\n%s", cmd.Args[1:], err, &stderr)
	}
	var pkgs []pkg
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return pkgs
		} else if err != nil {
			t.Fatal(err)
		}
		pkgs = append(pkgs, p)
	}
}

// rule finds the entry of name, or of its nearest listed parent.
func rule(name string) (entry string, ok bool) {
	for entry = name; entry != "."; entry = filepath.Dir(entry) {
		if _, ok := allowed[entry]; ok {
			return entry, true
		}
	}
	return "", false
}

func within(name string, dirs []string) bool {
	return slices.ContainsFunc(dirs, func(d string) bool { return name == d || strings.HasPrefix(name, d+"/") })
}

// check returns what name may not import among imports.
func check(name string, imports []string) (bad []string) {
	entry, ok := rule(name)
	if !ok {
		return []string{"(the package has no entry in the import table)"}
	}
	for _, imp := range imports {
		if ours, ok := local(imp); ok {
			if may := allowed[entry]; !slices.Contains(may, "*") && !slices.Contains(may, ours) &&
				ours != entry && !strings.HasPrefix(ours, entry+"/internal/") {
				bad = append(bad, imp)
			}
		}
		if where, ok := onlyIn[imp]; ok && !within(name, where) {
			bad = append(bad, imp)
		}
	}
	return bad
}

func TestImports_runDownward(t *testing.T) {
	seen := map[string]bool{}
	for _, goos := range []string{"native", "js"} {
		for _, p := range list(t, root(t), goos, "./...") {
			name, _ := local(p.ImportPath)
			entry, _ := rule(name)
			seen[entry] = true
			for _, bad := range check(name, p.Imports) {
				t.Errorf("%s (%s) imports %s, which the import table does not allow", name, goos, bad)
			}
		}
	}
	for entry := range allowed {
		if !seen[entry] && entry != "bench" && entry != "examples" {
			t.Errorf("the import table lists %s, and there is no such package", entry)
		}
	}
}

func TestImports_onlyJsbridgeKnowsJavaScript(t *testing.T) {
	dirs := []string{root(t), filepath.Join(root(t), "wasm"), filepath.Join(root(t), "engine/link")}
	users := 0
	for _, dir := range dirs {
		for _, p := range list(t, dir, "js", "./...") {
			for _, imp := range p.Imports {
				if imp != "syscall/js" && imp != "github.com/hack-pad/safejs" {
					continue
				}
				users++
				if !within(p.ImportPath, []string{"heddle.dev/heddle/jsbridge"}) {
					t.Errorf("%s imports %s; only jsbridge may", p.ImportPath, imp)
				}
			}
		}
	}
	if users == 0 {
		t.Error("nothing imports syscall/js: this test looks at the wrong packages")
	}
}

func TestWasm_linksNothingLarge(t *testing.T) {
	pkgs := list(t, filepath.Join(root(t), "wasm"), "js", "-deps", ".")
	if len(pkgs) < 50 {
		t.Fatalf("go list found %d packages; the binary has more", len(pkgs))
	}
	for _, p := range pkgs {
		for _, imp := range p.Imports {
			why, ok := forbidden[imp]
			if ok && forbidden[p.ImportPath] == "" && !slices.Contains(excused[imp], p.ImportPath) {
				t.Errorf("the browser's binary links %s (%s): %s imports it", imp, why, p.ImportPath)
			}
		}
	}
}

// No SQL is left in the server: where spaces are kept is the store's matter.
func TestServer_linksNoDatabase(t *testing.T) {
	pkgs := list(t, root(t), "native", "-deps", "./sync/server", "./sync/logstore")
	if len(pkgs) < 50 {
		t.Fatalf("go list found %d packages; the server has more", len(pkgs))
	}
	for _, p := range pkgs {
		if strings.HasPrefix(p.ImportPath, "github.com/ncruces/") || strings.HasPrefix(p.ImportPath, "github.com/jackc/") {
			t.Errorf("the server links %s", p.ImportPath)
		}
	}
}

// What tests alone need is in no program.
func TestHeddle_linksNothingOfTests(t *testing.T) {
	pkgs := list(t, root(t), "native", "-deps", "./cmd/heddle")
	if len(pkgs) < 100 {
		t.Fatalf("go list found %d packages; the program has more", len(pkgs))
	}
	for _, p := range pkgs {
		if strings.HasPrefix(p.ImportPath, "github.com/nats-io/nats-server/") || p.ImportPath == "testing" ||
			strings.HasPrefix(p.ImportPath, module) && strings.HasSuffix(p.ImportPath, "test") {
			t.Errorf("heddle links %s", p.ImportPath)
		}
	}
}

func TestCheck_findsWhatItShould(t *testing.T) {
	for _, test := range []struct {
		name    string
		imports []string
		bad     int
	}{
		{"internal/store", []string{"heddle.dev/heddle/internal/errcode", "fmt"}, 0},
		{"internal/store", []string{"heddle.dev/heddle/internal/live"}, 1},
		{"sync/fold", []string{"heddle.dev/heddle/sync/wire", "heddle.dev/heddle/internal/store"}, 1},
		{"sync/client", []string{"net/http"}, 1},
		{"sync/replica", []string{"heddle.dev/heddle/sync/client"}, 1},
		{"internal/leader", []string{"syscall/js"}, 1},
		{"jsbridge", []string{"syscall/js", "github.com/hack-pad/safejs"}, 0},
		{"internal/store/sub", []string{"heddle.dev/heddle/internal/store", "heddle.dev/heddle/internal/live"}, 1},
		{"unheardof", nil, 1},
	} {
		if got := check(test.name, test.imports); len(got) != test.bad {
			t.Errorf("check(%s, %v) = %v, want %d findings", test.name, test.imports, got, test.bad)
		}
	}
}
