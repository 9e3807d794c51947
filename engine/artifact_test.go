package engine_test

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"heddle.dev/heddle/engine/internal/wasmfile"
)

// TestArtifact_checksum checks that the checksums are the files'.
func TestArtifact_checksum(t *testing.T) {
	for _, name := range []string{"sqlite3.wasm", "simd.wasm"} {
		module, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		sum, err := os.ReadFile(name + ".sha256")
		if err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprintf("%x  %s\n", sha256.Sum256(module), name); string(sum) != want {
			t.Errorf("%s.sha256 is %q, the file's is %q", name, sum, want)
		}
	}
}

// TestArtifact_simd: simd.wasm touches no memory but what it is called with. It has no
// data, and no global, which would be the pointer of a stack in the middle of Go's memory.
func TestArtifact_simd(t *testing.T) {
	data, err := os.ReadFile("simd.wasm")
	if err != nil {
		t.Fatal(err)
	}
	file, err := wasmfile.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	if len(file.Imports) != 1 || file.Imports[0].Kind != wasmfile.KindMemory || len(file.Custom) > 0 {
		t.Errorf("imports %v, custom sections %q", file.Imports, file.Custom)
	}
	const types, imports, functions, exports, code = 1, 2, 3, 7, 10
	for rest := data[8:]; len(rest) > 0; {
		size, n := binary.Uvarint(rest[1:])
		if !slices.Contains([]byte{types, imports, functions, exports, code}, rest[0]) {
			t.Errorf("it has a section %d", rest[0])
		}
		rest = rest[1+n+int(size):]
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
