package wasmfile

import "fmt"

// The names under which the first part exports what the rest imports.
const (
	splitModule    = "first"           // the module of the rest's imports
	splitFunctions = "split.functions" // the table of both parts' functions, by their index; loader is in slot 0
	splitLoaded    = "split.loaded"    // 1 once the rest is instantiated
)

// Parts are the two modules that Split makes of one.
type Parts struct{ First, Rest []byte }

// Plan says what of a program goes into the first part.
type Plan struct {
	// First says of each function that the program defines whether it belongs to the
	// first part.
	First []bool
	// Image is the memory that the data segments have to leave, from address 0 on: see
	// Image. Nil: the segments stay as they are, with the first part.
	Image []byte
	// RestData says of each byte of Image whether only functions of the rest read it:
	// it goes with them. Nothing may have written to it by then.
	RestData []bool
	// Start is the body of a function that runs when the first part is instantiated, or
	// nil.
	Start []byte
}

// Split divides a program into a first part, with the functions that plan wants,
// and the rest, which is instantiated later into the same memory, tables and
// globals. Exports stay with the first part.
//
// Each part has every function at its old index, so that no code is changed. Where
// the function is in the other part, its body passes the call on, through a table
// that holds the functions of both parts by their index. A call that comes before
// the rest is there calls slot 0 of the table first: whoever instantiates the first
// part puts a function there that instantiates the rest, or traps. After the rest
// was instantiated, the global split.loaded has to be set to 1.
//
// The rest imports the functions that the program imports, from where the program
// does, and all else from the module "first": the first part's exports.
func Split(file []byte, plan Plan) (Parts, error) {
	s, err := newSplitter(file, plan)
	if err != nil {
		return Parts{}, fmt.Errorf("wasmfile: split: %w", err)
	}
	return Parts{First: s.first(), Rest: s.rest()}, nil
}

type splitter struct {
	*program
	inFirst  []bool // of each function
	elements []elements
	plan     Plan
}

func newSplitter(file []byte, plan Plan) (*splitter, error) {
	p, err := parseProgram(file)
	if err != nil {
		return nil, err
	}
	if len(plan.First) != len(p.bodies) {
		return nil, fmt.Errorf("a plan for %d functions, the program has %d", len(plan.First), len(p.bodies))
	}
	s := &splitter{program: p, plan: plan, inFirst: append(make([]bool, p.imported), plan.First...)}
	s.elements, err = p.readElements()
	return s, err
}

// The index of what the first part has more: behind all that the program has.
func (s *splitter) functions() uint32 { return uint32(s.tables) }
func (s *splitter) loaded() uint32    { return uint32(len(s.globals)) }
func (s *splitter) ensure() uint32    { return uint32(len(s.funcs)) }
func (s *splitter) starter() uint32   { return uint32(len(s.funcs)) + 1 }

// plain is the type of a function without parameters and results; it is added.
func (s *splitter) plain() uint32 { return uint32(len(s.types)) }

func (s *splitter) typeItems() [][]byte {
	all := make([][]byte, 0, len(s.types)+1)
	for _, t := range append(s.types[:len(s.types):len(s.types)], FuncType{}) {
		all = append(all, concat([]byte{0x60}, vec(t.Params), vec(t.Results)))
	}
	return all
}

// first writes the first part: the program's sections, with what the rest needs.
func (s *splitter) first() []byte {
	code, types := append(s.bodiesOf(true), s.ensureBody()), [][]byte{uleb(s.plain())}
	if s.plan.Start != nil {
		code, types = append(code, vec(s.plan.Start)), append(types, uleb(s.plain()))
	}
	more := map[byte][][]byte{
		secFunc:    types,
		secTable:   {concat([]byte{FuncRef, 0}, uleb(uint32(len(s.funcs))))},
		secGlobal:  {{I32, 1, opI32Const, 0, opEnd}},
		secExport:  s.exports(),
		secElement: s.slots(true),
	}
	var out []section
	for id := secType; id <= secData; id++ {
		body := s.vector(id, more[id])
		switch {
		case id == secType:
			body = items(s.typeItems())
		case id == secStart && s.plan.Start != nil:
			body = uleb(s.starter())
		case id == secCode:
			body = items(code)
		case id == secData && s.plan.Image != nil:
			body = items(segments(s.plan.Image, func(at int) bool { return !s.plan.RestData[at] }))
		}
		if body != nil {
			out = append(out, section{id, body})
		}
	}
	return module(append(s.customs(), out...)...)
}

// customs are the custom sections without names, which are for tools. Those that
// say how to link a module have to come first.
func (s *splitter) customs() []section {
	var out []section
	for _, sec := range s.sections {
		if sec.id == secCustom && !named(sec, "name") {
			out = append(out, sec)
		}
	}
	return out
}

// vector is the body of the program's section with more items, or nil if there are none.
func (s *splitter) vector(id byte, more [][]byte) []byte {
	for _, sec := range s.sections {
		if sec.id == id {
			return extend(sec, more).body
		}
	}
	if more == nil {
		return nil
	}
	return items(more)
}

// rest writes the second part.
func (s *splitter) rest() []byte {
	funcs := make([][]byte, 0, len(s.bodies))
	for _, t := range s.funcs[s.imported:] {
		funcs = append(funcs, uleb(t))
	}
	return module(
		section{secType, items(s.typeItems())},
		section{secImport, items(append(s.importedFuncs(), s.importsOfFirst()...))},
		section{secFunc, items(funcs)},
		section{secElement, items(append(s.slots(false), s.elementsOfRest()...))},
		section{secCode, items(s.bodiesOf(false))},
		section{secData, items(segments(s.plan.Image, func(at int) bool { return s.plan.RestData[at] }))},
	)
}

// exports is what the first part exports for the rest.
func (s *splitter) exports() [][]byte {
	export := func(name string, kind byte, index uint32) []byte {
		return concat(str(name), []byte{kind}, uleb(index))
	}
	out := [][]byte{
		export(splitFunctions, KindTable, s.functions()),
		export(splitLoaded, KindGlobal, s.loaded()),
	}
	for i := range s.memories {
		out = append(out, export(splitName("memory", i), KindMemory, uint32(i)))
	}
	for i := range s.tables {
		out = append(out, export(splitName("table", i), KindTable, uint32(i)))
	}
	for i := range s.globals {
		out = append(out, export(splitName("global", i), KindGlobal, uint32(i)))
	}
	return out
}

func splitName(what string, i int) string { return fmt.Sprintf("split.%s%d", what, i) }

// importsOfFirst is the same, as imports, in the order of the indices.
func (s *splitter) importsOfFirst() [][]byte {
	imp := func(name string, kind byte, typ ...byte) []byte {
		return concat(str(splitModule), str(name), []byte{kind}, typ)
	}
	var out [][]byte
	for i := range s.memories {
		out = append(out, imp(splitName("memory", i), KindMemory, 0, 0))
	}
	for i := range s.tables {
		out = append(out, imp(splitName("table", i), KindTable, FuncRef, 0, 0))
	}
	out = append(out, imp(splitFunctions, KindTable, FuncRef, 0, 0))
	for i, g := range s.globals {
		out = append(out, imp(splitName("global", i), KindGlobal, g.valType, g.mutable))
	}
	return append(out, imp(splitLoaded, KindGlobal, I32, 1))
}

// importedFuncs is what the program imports of functions, in order.
func (s *splitter) importedFuncs() [][]byte {
	var out [][]byte
	for _, imp := range s.imports {
		if imp.Kind == KindFunc {
			t := s.funcs[len(out)]
			out = append(out, concat(str(imp.Module), str(imp.Name), []byte{KindFunc}, uleb(t)))
		}
	}
	return out
}

// slots puts a part's own functions into the table of both parts' functions.
func (s *splitter) slots(first bool) [][]byte {
	return runs(len(s.funcs), func(i int) (uint32, bool) {
		return uint32(i), i >= s.imported && s.inFirst[i] == first
	}, s.functions(), 0)
}

// elementsOfRest puts the rest's own functions into the program's tables, in place
// of those of the first part that pass calls on to them. Where the offset is not a
// number, they stay.
func (s *splitter) elementsOfRest() [][]byte {
	var out [][]byte
	for _, e := range s.elements {
		if !e.fixed {
			continue
		}
		out = append(out, runs(len(e.funcs), func(i int) (uint32, bool) {
			f := e.funcs[i]
			return f, int(f) >= s.imported && !s.inFirst[f]
		}, e.table, e.offset)...)
	}
	return out
}

// runs makes element segments of the wanted ones of n slots.
func runs(n int, slot func(i int) (f uint32, wanted bool), table uint32, offset int64) [][]byte {
	var out [][]byte
	for i := 0; i < n; i++ {
		start := i
		var funcs [][]byte
		for ; i < n; i++ {
			f, wanted := slot(i)
			if !wanted {
				break
			}
			funcs = append(funcs, uleb(f))
		}
		if len(funcs) > 0 {
			out = append(out, concat([]byte{2}, uleb(table), []byte{opI32Const}, sleb(offset+int64(start)),
				[]byte{opEnd, 0}, items(funcs)))
		}
	}
	return out
}

// bodiesOf is the code of a part: its own functions, and for each other function
// one that passes the call on.
func (s *splitter) bodiesOf(first bool) [][]byte {
	out := make([][]byte, 0, len(s.bodies))
	for i, body := range s.bodies {
		f := s.imported + i
		if s.inFirst[f] != first {
			body = s.passOn(f, first)
		}
		out = append(out, vec(body))
	}
	return out
}

// passOn is the body of a function that calls the one in the other part.
func (s *splitter) passOn(f int, ensure bool) []byte {
	body := []byte{0} // no locals
	if ensure {
		body = append(body, Call(s.ensure())...)
	}
	t := s.funcs[f]
	for i := range s.types[t].Params {
		body = append(body, LocalGet(uint32(i))...)
	}
	return concat(body, I32Const(int32(f)), []byte{opCallIndirect}, uleb(t), uleb(s.functions()), []byte{opEnd})
}

// ensureBody calls slot 0 where the rest is not there yet.
func (s *splitter) ensureBody() []byte {
	return vec(concat([]byte{0}, GlobalGet(s.loaded()), []byte{0x45, 0x04, 0x40}, // i32.eqz, if
		I32Const(0), []byte{opCallIndirect}, uleb(s.plain()), uleb(s.functions()), []byte{opEnd, opEnd}))
}

// elements is an active element segment of functions.
type elements struct {
	table  uint32
	fixed  bool // the offset is a number
	offset int64
	funcs  []uint32
}

func (p *program) readElements() ([]elements, error) {
	var out []elements
	for _, sec := range p.sections {
		if sec.id != secElement {
			continue
		}
		r := &reader{b: sec.body}
		for range r.count() {
			e := elements{}
			switch flag := r.u32(); flag {
			case 0:
			case 2:
				e.table = r.u32()
			default:
				return nil, fmt.Errorf("wasmfile: element segments of kind %d are not known", flag)
			}
			if len(r.b) > 0 && r.b[0] == opI32Const {
				r.byte()
				e.fixed, e.offset = true, r.sleb()
				r.byte()
			} else {
				r.constant()
			}
			if flagged := e.table != 0; flagged {
				r.byte() // the kind of element
			}
			for range r.count() {
				e.funcs = append(e.funcs, r.u32())
			}
			out = append(out, e)
		}
		if r.err != nil {
			return nil, r.err
		}
	}
	return out, nil
}

func (r *reader) sleb() int64 {
	var v int64
	for shift := 0; shift < 64; {
		c := r.byte()
		v |= int64(c&0x7F) << shift
		if shift += 7; c < 0x80 {
			if shift < 64 && c&0x40 != 0 {
				v |= -1 << shift
			}
			break
		}
	}
	return v
}

// Functions counts the functions that a program defines.
func Functions(file []byte) (int, error) {
	p, err := parseProgram(file)
	if err != nil {
		return 0, err
	}
	return len(p.bodies), nil
}

// AppendCustom adds a custom section behind all others.
func AppendCustom(file []byte, name string, content []byte) []byte {
	return concat(file, []byte{secCustom}, vec(concat(str(name), content)))
}

// extend adds items to a section that is a vector.
func extend(s section, more [][]byte) section {
	if len(more) == 0 {
		return s
	}
	r := &reader{b: s.body}
	n := r.u32()
	return section{s.id, concat(uleb(n+uint32(len(more))), r.b, concat(more...))}
}

func named(s section, name string) bool { return (&reader{b: s.body}).name() == name }
