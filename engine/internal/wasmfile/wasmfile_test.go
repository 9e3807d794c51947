package wasmfile

import (
	"os"
	"testing"
)

// TestBuilder_parses writes a module with all that a Builder can and reads it.
func TestBuilder_parses(t *testing.T) {
	add := FuncType{Params: []byte{I32, I64, F64}, Results: []byte{I32}}
	var b Builder
	b.ImportGlobal("link", "id", I32, false)
	f := b.ImportFunc("go", "call", add)
	b.Table("table", 300)
	b.Memory("memory", 70000)
	b.Global("got", true, -5)
	body := append(LocalGet(0), LocalGet(1)...)
	body = append(append(body, LocalGet(2)...), Call(f)...)
	b.Export("again", KindFunc, b.Func(add, body))
	b.Export("zero", KindFunc, b.Func(FuncType{Results: []byte{F64}}, Zero(F64)))
	b.Elements(200, []uint32{f, f})
	m, err := Parse(b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Imports) != 2 || m.Imports[0].Kind != KindGlobal || m.Imports[0].Mutable || !m.Imports[1].Func.Equal(add) {
		t.Errorf("imports %+v", m.Imports)
	}
	want := []Export{
		{Name: "table", Kind: KindTable}, {Name: "memory", Kind: KindMemory}, {Name: "got", Kind: KindGlobal},
		{Name: "again", Kind: KindFunc, Func: add}, {Name: "zero", Kind: KindFunc, Func: FuncType{Results: []byte{F64}}},
	}
	if len(m.Exports) != len(want) {
		t.Fatalf("exports %+v", m.Exports)
	}
	for i, e := range m.Exports {
		if e.Name != want[i].Name || e.Kind != want[i].Kind || !e.Func.Equal(want[i].Func) {
			t.Errorf("export %d is %+v, want %+v", i, e, want[i])
		}
	}
}

func TestLEB128(t *testing.T) {
	for _, v := range []uint32{0, 1, 127, 128, 300, 1 << 20, 1<<32 - 1} {
		if got := (&reader{b: uleb(v)}).u32(); got != v {
			t.Errorf("%d became %d", v, got)
		}
	}
	for v, want := range map[int64]string{0: "\x00", 63: "\x3f", 64: "\xc0\x00", -1: "\x7f", -64: "\x40", -65: "\xbf\x7f",
		128: "\x80\x01"} {
		if got := string(sleb(v)); got != want {
			t.Errorf("%d is %x, want %x", v, got, want)
		}
	}
}

// FuzzParse checks that no file makes Parse panic or allocate beyond its size.
func FuzzParse(f *testing.F) {
	if data, err := os.ReadFile("../../sqlite3.wasm"); err == nil {
		f.Add(data[:8000])
	}
	var b Builder
	b.Export("f", KindFunc, b.Func(FuncType{}, nil))
	f.Add(b.Bytes())
	f.Add([]byte("\x00asm\x01\x00\x00\x00\x02\xff\xff\xff\xff\x0f"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := Parse(data)
		if err == nil && len(m.Imports)+len(m.Exports) > len(data) {
			t.Errorf("%d imports and %d exports in %d bytes", len(m.Imports), len(m.Exports), len(data))
		}
	})
}
