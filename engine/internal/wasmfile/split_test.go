package wasmfile

import (
	"bytes"
	"testing"
)

// sample is a program of three functions that the parts can be told apart by, with a
// table, a memory and data.
func sample() []byte { return sampleOf(func(*Builder) {}) }

// sampleOf is one that imports more.
func sampleOf(imports func(*Builder)) []byte {
	var b Builder
	unary := FuncType{Params: []byte{I32}, Results: []byte{I32}}
	host := b.ImportFunc("env", "host", unary)
	imports(&b)
	b.Table("table", 3)
	b.Memory("mem", 1)
	b.Global("depth", true, 7)
	one := b.Func(unary, concat(LocalGet(0), Call(host)))
	two := b.Func(unary, concat(LocalGet(0), Call(one)))
	three := b.Func(FuncType{}, nil)
	b.Export("two", KindFunc, two)
	b.Elements(0, []uint32{one, two, three})
	data := items([][]byte{
		concat([]byte{0, opI32Const}, sleb(16), []byte{opEnd}, vec([]byte("first"))),
		concat([]byte{0, opI32Const}, sleb(40), []byte{opEnd}, vec([]byte("rest"))),
	})
	return append(b.Bytes(), concat([]byte{secData}, vec(data))...)
}

func TestSplit(t *testing.T) {
	file := sample()
	image, err := Image(file)
	if err != nil || len(image) != 44 {
		t.Fatalf("the image has %d bytes, %v", len(image), err)
	}
	rest := make([]bool, len(image))
	for at := 40; at < len(rest); at++ {
		rest[at] = true
	}
	plan := Plan{First: []bool{true, false, true}, Image: image, RestData: rest, Start: Count(8, 4, 2, 1)}
	parts, err := Split(file, plan)
	if err != nil {
		t.Fatal(err)
	}
	whole, first, second := parse(t, file), parse(t, parts.First), parse(t, parts.Rest)
	if len(first.funcs) != len(whole.funcs)+2 { // with what calls the loader, and the start
		t.Errorf("the first part has %d functions, the program %d", len(first.funcs), len(whole.funcs))
	}
	if len(second.funcs) != len(whole.funcs) {
		t.Errorf("the rest has %d functions, the program %d", len(second.funcs), len(whole.funcs))
	}
	for i, body := range whole.bodies {
		has, lacks := first, second
		if !plan.First[i] {
			has, lacks = second, first
		}
		if !bytes.Equal(has.bodies[i], body) || bytes.Equal(lacks.bodies[i], body) {
			t.Errorf("function %d is not in its part alone", i)
		}
	}
	if got, _ := Image(parts.First); !bytes.Equal(got, image[:21]) {
		t.Errorf("the first part's data is %q", got)
	}
	if got, _ := Image(parts.Rest); !bytes.Equal(got[40:], image[40:]) || bytes.Contains(got, []byte("first")) {
		t.Errorf("the rest's data is %q", got)
	}
	checkLinkage(t, parts)
}

// TestSplit_third: three parts have each function once; the others pass its calls on, and the rest waits for the third.
func TestSplit_third(t *testing.T) {
	file := sampleOf(func(b *Builder) { b.ImportFunc("env", "other", FuncType{}) })
	image, err := Image(file)
	if err != nil {
		t.Fatal(err)
	}
	plan := Plan{First: []bool{true, false, false}, Third: []bool{true, true, false}, Image: image,
		RestData: make([]bool, len(image))}
	parts, err := Split(file, plan)
	if err != nil {
		t.Fatal(err)
	}
	whole, all := parse(t, file), []*program{parse(t, parts.First), parse(t, parts.Rest), parse(t, parts.Third)}
	for i, in := range []int{0, 2, 1} { // what is wanted in the first and the third is in the first
		for j, p := range all {
			if is := bytes.Equal(p.bodies[i], whole.bodies[i]); is != (j == in) {
				t.Errorf("function %d is in part %d: %v", i, j, is)
			}
		}
	}
	two := whole.imported + 1
	if want := (&splitter{program: whole}).passOn(two, true); !bytes.Equal(all[1].bodies[1], want) {
		t.Errorf("the rest calls the third part by %x, want %x", all[1].bodies[1], want)
	}
	if n := len(all[1].funcs); n != len(whole.funcs)+1 { // with what calls the loader
		t.Errorf("the rest has %d functions, the program %d", n, len(whole.funcs))
	}
	if data, _ := Image(parts.Third); len(data) > 0 {
		t.Errorf("the third part has data: %q", data)
	}
	checkLinkage(t, parts)
	checkLinkage(t, Parts{First: parts.First, Rest: parts.Third})
}

func TestSplit_refusesAThirdPartWithoutASlot(t *testing.T) {
	if _, err := Split(sample(), Plan{First: make([]bool, 3), Third: make([]bool, 3)}); err == nil {
		t.Error("a program with one import has a slot for the loader of a third part")
	}
}

// checkLinkage compares what the rest imports with what the first part exports.
func checkLinkage(t *testing.T, parts Parts) {
	t.Helper()
	first, err := Parse(parts.First)
	if err != nil {
		t.Fatal(err)
	}
	rest, err := Parse(parts.Rest)
	if err != nil {
		t.Fatal(err)
	}
	exports := map[string]byte{}
	for _, e := range first.Exports {
		exports[e.Name] = e.Kind
	}
	for _, imp := range rest.Imports {
		if kind, ok := exports[imp.Name]; imp.Module == splitModule && (!ok || kind != imp.Kind) {
			t.Errorf("the rest imports %s, which the first part does not export", imp.Name)
		}
	}
	if len(rest.Exports) > 0 {
		t.Errorf("the rest exports %v", rest.Exports)
	}
}

func TestSplit_refusesAPlanForAnotherProgram(t *testing.T) {
	if _, err := Split(sample(), Plan{First: []bool{true}}); err == nil {
		t.Error("a plan for one function was taken for a program of three")
	}
}

func TestProfile(t *testing.T) {
	file, err := Profile(sample())
	if err != nil {
		t.Fatal(err)
	}
	m, err := Parse(file)
	if err != nil {
		t.Fatal(err)
	}
	entered := 0
	for _, e := range m.Exports {
		if bytes.HasPrefix([]byte(e.Name), []byte("entered.")) {
			entered++
		}
	}
	if entered != 3 {
		t.Errorf("%d functions note that they were entered", entered)
	}
}

func parse(t *testing.T, file []byte) *program {
	t.Helper()
	p, err := parseProgram(file)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func FuzzSplit(f *testing.F) {
	f.Add(sample())
	f.Fuzz(func(t *testing.T, file []byte) {
		p, err := parseProgram(file)
		if err != nil {
			return
		}
		first := make([]bool, len(p.bodies))
		for i := range first {
			first[i] = i%2 == 0
		}
		parts, err := Split(file, Plan{First: first})
		if err != nil {
			return
		}
		if _, err := parseProgram(parts.First); err != nil {
			t.Errorf("the first part cannot be read: %v", err)
		}
	})
}
