package wasmfile

import "fmt"

// The names under which the first part exports what the others import.
const (
	splitModule    = "first"           // the module of the rest's imports
	splitFunctions = "split.functions" // the table of all parts' functions, by their index; loaders are in slots 0 and 1
	splitLoaded    = "split.loaded"    // 1 once the rest is instantiated
	splitThird     = "split.third"     // 1 once the third part is; it is there if the third part is
)

// Parts are the modules that Split makes of one. Third is nil where the plan has nothing for it.
type Parts struct{ First, Rest, Third []byte }

// Plan says what of a program goes into the first part.
type Plan struct {
	// First says of each function that the program defines whether it belongs to the
	// first part.
	First []bool
	// Third says the same of a third part, of functions that are not in the first one; nil:
	// there is none.
	Third []bool
	// Image is the memory that the data segments have to leave, from address 0 on: see
	// Image. Nil: the segments stay as they are, with the first part.
	Image []byte
	// RestData says of each byte of Image whether only functions of the rest and of the
	// third part read it: it goes with the rest. Nothing may have written to it by then.
	RestData []bool
	// ThirdData says which of those only functions of the third part read: they go with
	// that. Nil: none.
	ThirdData []bool
	// Start is the body of a function that runs when the first part is instantiated, or
	// nil.
	Start []byte
}

// Split divides a program into a first part, with the functions that plan wants,
// and the rest, which is instantiated later into the same memory, tables and
// globals. Exports stay with the first part.
//
// Each part has every function at its old index, so that no code is changed. Where
// the function is in another part, its body passes the call on, through a table
// that holds the functions of all parts by their index. A call that comes before
// the rest is there calls slot 0 of the table first: whoever instantiates the first
// part puts a function there that instantiates the rest, or traps. After the rest
// was instantiated, the global split.loaded has to be set to 1. The same is so of a
// third part, which may come after the rest alone, with slot 1 and split.third.
//
// The rest imports the functions that the program imports, from where the program
// does, and all else from the module "first": the first part's exports.
func Split(file []byte, plan Plan) (Parts, error) {
	s, err := newSplitter(file, plan)
	if err != nil {
		return Parts{}, fmt.Errorf("wasmfile: split: %w", err)
	}
	parts := Parts{First: s.first(), Rest: s.later(rest)}
	if plan.Third != nil {
		parts.Third = s.later(third)
	}
	return parts, nil
}

// part is one that a function is in.
type part int

const (
	first part = iota
	rest
	third
)

type splitter struct {
	*program
	part     []part // of each function
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
	s := &splitter{program: p, plan: plan, part: make([]part, len(p.funcs))}
	for i := range p.bodies {
		switch {
		case plan.First[i]:
		case plan.Third != nil && plan.Third[i]:
			s.part[p.imported+i] = third
		default:
			s.part[p.imported+i] = rest
		}
	}
	if plan.Third != nil && (len(plan.Third) != len(p.bodies) || p.imported < 2) {
		return nil, fmt.Errorf("a third part for %d functions, the program has %d, and imports %d", len(plan.Third),
			len(p.bodies), p.imported)
	}
	s.elements, err = p.readElements()
	return s, err
}

// The index of what the first part has more: behind all that the program has.
func (s *splitter) functions() uint32 { return uint32(s.tables) }
func (s *splitter) loaded() uint32    { return uint32(len(s.globals)) }
func (s *splitter) third() uint32     { return uint32(len(s.globals)) + 1 }
func (s *splitter) ensure() uint32    { return uint32(len(s.funcs)) } // of the first part, and another of the rest
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
	code, types := append(s.bodiesOf(first), s.ensureBody(s.loaded(), 0)), [][]byte{uleb(s.plain())}
	if s.plan.Start != nil {
		code, types = append(code, vec(s.plan.Start)), append(types, uleb(s.plain()))
	}
	more := map[byte][][]byte{
		secFunc:    types,
		secTable:   {concat([]byte{FuncRef, 0}, uleb(uint32(len(s.funcs))))},
		secGlobal:  {flag},
		secExport:  s.exports(),
		secElement: s.slots(first),
	}
	if s.plan.Third != nil {
		more[secGlobal] = append(more[secGlobal], flag)
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
			body = items(segments(s.plan.Image, func(at int) bool { return s.dataPart(at) == first }))
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

// flag is a global number that begins as 0.
var flag = []byte{I32, 1, opI32Const, 0, opEnd}

// later writes the second part, or the third.
func (s *splitter) later(p part) []byte {
	funcs := make([][]byte, 0, len(s.bodies))
	for _, t := range s.funcs[s.imported:] {
		funcs = append(funcs, uleb(t))
	}
	code := s.bodiesOf(p)
	if p == rest && s.plan.Third != nil {
		funcs, code = append(funcs, uleb(s.plain())), append(code, s.ensureBody(s.third(), 1))
	}
	return module(
		section{secType, items(s.typeItems())},
		section{secImport, items(append(s.importedFuncs(), s.importsOfFirst()...))},
		section{secFunc, items(funcs)},
		section{secElement, items(append(s.slots(p), s.elementsOf(p)...))},
		section{secCode, items(code)},
		section{secData, items(segments(s.plan.Image, func(at int) bool { return s.dataPart(at) == p }))},
	)
}

// dataPart is the part that a byte of the image comes with.
func (s *splitter) dataPart(at int) part {
	switch {
	case !s.plan.RestData[at]:
		return first
	case s.plan.ThirdData != nil && s.plan.ThirdData[at]:
		return third
	}
	return rest
}

// exports is what the first part exports for the others.
func (s *splitter) exports() [][]byte {
	export := func(name string, kind byte, index uint32) []byte {
		return concat(str(name), []byte{kind}, uleb(index))
	}
	out := [][]byte{
		export(splitFunctions, KindTable, s.functions()),
		export(splitLoaded, KindGlobal, s.loaded()),
	}
	if s.plan.Third != nil {
		out = append(out, export(splitThird, KindGlobal, s.third()))
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
	out = append(out, imp(splitLoaded, KindGlobal, I32, 1))
	if s.plan.Third != nil {
		out = append(out, imp(splitThird, KindGlobal, I32, 1))
	}
	return out
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

// slots puts a part's own functions into the table of all parts' functions. The rest
// puts those there as well that pass calls on to the third part, until that comes.
func (s *splitter) slots(p part) [][]byte {
	return runs(len(s.funcs), func(i int) (uint32, bool) {
		return uint32(i), i >= s.imported && (s.part[i] == p || p == rest && s.part[i] == third)
	}, s.functions(), 0)
}

// elementsOf puts a later part's own functions into the program's tables, in place
// of those of the first part that pass calls on to them. Where the offset is not a
// number, they stay.
func (s *splitter) elementsOf(p part) [][]byte {
	var out [][]byte
	for _, e := range s.elements {
		if !e.fixed {
			continue
		}
		out = append(out, runs(len(e.funcs), func(i int) (uint32, bool) {
			f := e.funcs[i]
			return f, s.part[f] == p
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
// one that passes the call on, or traps where the part has no call.
func (s *splitter) bodiesOf(p part) [][]byte {
	out, called := make([][]byte, 0, len(s.bodies)), s.called(p)
	for i, body := range s.bodies {
		f := s.imported + i
		waits := p == first || p == rest && s.part[f] == third // for the other part: it stands in a table for it
		switch {
		case s.part[f] == p:
		case waits || called[f]:
			body = s.passOn(f, waits)
		default:
			body = []byte{0, opUnreachable, opEnd}
		}
		out = append(out, vec(body))
	}
	return out
}

// called says which functions a part's code may call by their index: at least those, since whatever looks like an
// instruction that names one counts.
func (s *splitter) called(p part) []bool {
	called := make([]bool, len(s.funcs))
	for i, body := range s.bodies {
		if s.part[s.imported+i] != p {
			continue
		}
		for at, op := range body {
			if op != opCall && op != opReturnCall && op != opRefFunc {
				continue
			}
			if f := (&reader{b: body[at+1:]}).u32(); int64(f) < int64(len(called)) {
				called[f] = true
			}
		}
	}
	return called
}

// passOn is the body of a function that calls the one in another part, which need not
// be there yet where ensure is set.
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

// ensureBody calls a slot where a part is not there yet.
func (s *splitter) ensureBody(loaded uint32, slot int32) []byte {
	return vec(concat([]byte{0}, GlobalGet(loaded), []byte{0x45, 0x04, 0x40}, // i32.eqz, if
		I32Const(slot), []byte{opCallIndirect}, uleb(s.plain()), uleb(s.functions()), []byte{opEnd, opEnd}))
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
