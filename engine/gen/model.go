package main

import (
	"fmt"
	"hash/crc32"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"heddle.dev/heddle/engine/internal/wasmfile"
)

// model is all that the generated files say.
type model struct {
	file      *wasmfile.Module
	exports   []fn // SQLite's functions that Go may call, in the order of their slots
	callbacks []fn // Go's functions that SQLite calls, which take the instance's id first
	math      []fn // Go's functions that SQLite calls and that need no instance
	direct    []string
	got       []string
}

// fn is a function of the border.
type fn struct {
	name string
	typ  wasmfile.FuncType
}

// mathNames are the functions of math.h that SQLite imports.
var mathNames = map[string]string{
	"acos": "Acos", "acosh": "Acosh", "asin": "Asin", "asinh": "Asinh", "atan": "Atan", "atan2": "Atan2",
	"atanh": "Atanh", "cos": "Cos", "cosh": "Cosh", "exp": "Exp", "fmod": "Mod", "log": "Log", "log10": "Log10",
	"log2": "Log2", "pow": "Pow", "sin": "Sin", "sinh": "Sinh", "tan": "Tan", "tanh": "Tanh",
}

// linkage are the imports that are no functions.
var linkage = []string{"memory", "__indirect_function_table", "__stack_pointer", "__memory_base", "__table_base"}

func readModel(wasm string) (*model, error) {
	data, err := os.ReadFile(wasm)
	if err != nil {
		return nil, err
	}
	file, err := wasmfile.Parse(data)
	if err != nil {
		return nil, err
	}
	if file.Dylink == nil {
		return nil, fmt.Errorf("%s is not a side module", wasm)
	}
	signatures, err := xenvSignatures()
	if err != nil {
		return nil, err
	}
	m := &model{file: file}
	seen := map[string]bool{}
	for _, imp := range file.Imports {
		var f fn
		switch {
		case imp.Module == "GOT.func" && imp.Kind == wasmfile.KindGlobal:
			m.got = append(m.got, imp.Name)
			f = fn{imp.Name, signatures[imp.Name]}
			if _, ok := signatures[imp.Name]; !ok && mathNames[imp.Name] == "" {
				return nil, fmt.Errorf("GOT.func %s: not in the Xenv of go-sqlite3-wasm", imp.Name)
			}
		case imp.Module == "env" && imp.Kind == wasmfile.KindFunc:
			m.direct = append(m.direct, imp.Name)
			f = fn{imp.Name, imp.Func}
			if want, ok := signatures[imp.Name]; ok && !want.Equal(imp.Func) {
				return nil, fmt.Errorf("%s has another signature in Xenv", imp.Name)
			}
		case imp.Module == "env" && slices.Contains(linkage, imp.Name):
			continue
		default:
			return nil, fmt.Errorf("unexpected import %s.%s", imp.Module, imp.Name)
		}
		if seen[f.name] {
			continue
		}
		seen[f.name] = true
		switch {
		case mathNames[f.name] != "":
			if f.typ.Params == nil {
				f.typ = mathType(f.name)
			}
			m.math = append(m.math, f)
		case f.name == "go_utc_offset":
			m.math = append(m.math, f)
		case f.name == "go_block" || signatures[f.name].Params != nil:
			m.callbacks = append(m.callbacks, f)
		default:
			return nil, fmt.Errorf("unexpected import %s", f.name)
		}
	}
	for _, e := range file.Exports {
		if e.Kind == wasmfile.KindFunc && !strings.HasPrefix(e.Name, "__") {
			m.exports = append(m.exports, fn{e.Name, e.Func})
		}
	}
	byName := func(a, b fn) int { return strings.Compare(a.name, b.name) }
	slices.SortFunc(m.exports, byName)
	slices.SortFunc(m.callbacks, byName)
	slices.SortFunc(m.math, byName)
	slices.Sort(m.got)
	slices.Sort(m.direct)
	return m, nil
}

func mathType(name string) wasmfile.FuncType {
	t := wasmfile.FuncType{Params: []byte{wasmfile.F64}, Results: []byte{wasmfile.F64}}
	if name == "atan2" || name == "fmod" || name == "pow" {
		t.Params = []byte{wasmfile.F64, wasmfile.F64}
	}
	return t
}

// abi identifies all that the parts must agree on.
func (m *model) abi() int32 {
	var s strings.Builder
	fmt.Fprintf(&s, "%d %d %d %d\n", m.file.Dylink.MemSize, m.file.Dylink.MemAlign, m.file.Dylink.TableSize,
		m.file.Dylink.TableAlign)
	for _, list := range [][]fn{m.exports, m.callbacks, m.math} {
		for _, f := range list {
			fmt.Fprintf(&s, "%s %x %x\n", f.name, f.typ.Params, f.typ.Results)
		}
	}
	return int32(crc32.ChecksumIEEE([]byte(s.String())))
}

var (
	xenvBody   = regexp.MustCompile(`(?s)type Xenv = interface \{\n(.*?)\n\}`)
	xenvMethod = regexp.MustCompile(`^\tX(\w+)\((.*)\) ?(\w*)$`)
)

// xenvSignatures reads the signatures of the callbacks from the source of
// go-sqlite3-wasm, at the version of the root go.mod: imports by address have
// none in the module.
func xenvSignatures() (map[string]wasmfile.FuncType, error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/ncruces/go-sqlite3-wasm/v6").Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	source, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(out)), "sqlite3.go"))
	if err != nil {
		return nil, err
	}
	body := xenvBody.FindSubmatch(source)
	if body == nil {
		return nil, fmt.Errorf("go-sqlite3-wasm has no Xenv")
	}
	signatures := map[string]wasmfile.FuncType{}
	for line := range strings.SplitSeq(string(body[1]), "\n") {
		f := xenvMethod.FindStringSubmatch(line)
		if f == nil {
			return nil, fmt.Errorf("cannot read the method %q of Xenv", line)
		}
		if !strings.HasPrefix(f[1], "go_") {
			continue
		}
		t := wasmfile.FuncType{Params: []byte{}}
		pending := 0
		for part := range strings.SplitSeq(f[2], ",") {
			pending++
			if _, typ, ok := strings.Cut(strings.TrimSpace(part), " "); ok {
				for range pending {
					t.Params = append(t.Params, valType(typ))
				}
				pending = 0
			}
		}
		if f[3] != "" {
			t.Results = []byte{valType(f[3])}
		}
		signatures[f[1]] = t
	}
	return signatures, nil
}

func valType(goType string) byte {
	switch goType {
	case "int32":
		return wasmfile.I32
	case "int64":
		return wasmfile.I64
	case "float64":
		return wasmfile.F64
	}
	panic("engine/gen: no value type for " + goType)
}
