package engine_test

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"heddle.dev/heddle/engine/internal/wasmfile"
)

// TestArtifact_checksum checks that the checksum is the file's.
func TestArtifact_checksum(t *testing.T) {
	module, err := os.ReadFile("sqlite3.wasm")
	if err != nil {
		t.Fatal(err)
	}
	sum, err := os.ReadFile("sqlite3.wasm.sha256")
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("%x  sqlite3.wasm\n", sha256.Sum256(module)); string(sum) != want {
		t.Errorf("sqlite3.wasm.sha256 is %q, the file's is %q", sum, want)
	}
}

// TestArtifact_imports lets nothing in that is not provided: wasm-ld would take
// a missing function of libc for an import, and only a browser would find out.
func TestArtifact_imports(t *testing.T) {
	data, err := os.ReadFile("sqlite3.wasm")
	if err != nil {
		t.Fatal(err)
	}
	file, err := wasmfile.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	linkage := map[string]byte{
		"memory": wasmfile.KindMemory, "__indirect_function_table": wasmfile.KindTable,
		"__stack_pointer": wasmfile.KindGlobal, "__memory_base": wasmfile.KindGlobal, "__table_base": wasmfile.KindGlobal,
	}
	math := strings.Fields("acos acosh asin asinh atan atan2 atanh cos cosh exp fmod log log10 log2 pow sin sinh tan tanh")
	function := func(name string) bool { return strings.HasPrefix(name, "go_") || slices.Contains(math, name) }
	for _, imp := range file.Imports {
		ok := false
		switch imp.Module {
		case "env":
			kind, isLinkage := linkage[imp.Name]
			ok = isLinkage && imp.Kind == kind || imp.Kind == wasmfile.KindFunc && function(imp.Name)
			delete(linkage, imp.Name)
		case "GOT.func":
			ok = imp.Kind == wasmfile.KindGlobal && imp.ValType == wasmfile.I32 && imp.Mutable && function(imp.Name)
		}
		if !ok {
			t.Errorf("unexpected import %s.%s", imp.Module, imp.Name)
		}
	}
	for name := range linkage {
		t.Errorf("env.%s is not imported: the module is not a side module", name)
	}
	if file.Dylink == nil || file.Dylink.MemSize == 0 || file.Dylink.TableSize == 0 {
		t.Errorf("the dylink.0 section says nothing: %+v", file.Dylink)
	}
	if !slices.Equal(file.Custom, []string{"dylink.0"}) {
		t.Errorf("custom sections %q, want dylink.0 only", file.Custom)
	}
	var exports []string
	for _, e := range file.Exports {
		exports = append(exports, e.Name)
	}
	for _, name := range []string{"__set_stack_limits", "__wasm_apply_data_relocs", "_initialize", "sqlite3_preupdate_old",
		"memalign"} {
		if !slices.Contains(exports, name) {
			t.Errorf("%s is not exported", name)
		}
	}
}

// TestGenerated_isFresh checks that the generated files are those of the module.
func TestGenerated_isFresh(t *testing.T) {
	dependsOn(t, "gen", "internal", "link", "wazero/link", "sqlite3.wasm", "../web/src/worker/engine-modules.gen.ts")
	if out, err := exec.Command("go", "run", "./gen", "-root", "..", "-check").CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
