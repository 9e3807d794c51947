package wasmfile

import (
	"errors"
	"fmt"
)

// Sections of a module, by their ids.
const (
	secCustom  byte = 0
	secType    byte = 1
	secImport  byte = 2
	secFunc    byte = 3
	secTable   byte = 4
	secMemory  byte = 5
	secGlobal  byte = 6
	secExport  byte = 7
	secStart   byte = 8
	secElement byte = 9
	secCode    byte = 10
	secData    byte = 11

	secDataCount byte = 12 // stands before the code
)

// section is one section of a file; its body is a part of the file.
type section struct {
	id   byte
	body []byte
}

// globalType is the type of a global.
type globalType struct{ valType, mutable byte }

// program is a module taken apart as far as its functions can be exchanged: the
// bodies stay bytes, and no index changes.
type program struct {
	sections []section
	types    []FuncType
	imports  []Import
	funcs    []uint32 // the type of each function, imported ones first
	imported int      // how many of funcs are imported
	bodies   [][]byte // of the functions that are not: locals and code
	tables   int
	memories int
	globals  []globalType
}

// parseProgram takes a module apart. It does not validate code.
func parseProgram(file []byte) (*program, error) {
	if len(file) < 8 || string(file[:8]) != header {
		return nil, errNoModule
	}
	p := &program{}
	r := &reader{b: file[8:]}
	for last := secCustom; len(r.b) > 0 && r.err == nil; {
		s := section{r.byte(), r.bytes(r.u32())}
		if s.id != secCustom && s.id != secDataCount {
			if s.id <= last {
				return nil, fmt.Errorf("wasmfile: section %d after section %d", s.id, last)
			}
			last = s.id
		}
		p.sections = append(p.sections, s)
		if err := p.read(s); err != nil {
			return nil, err
		}
	}
	if r.err != nil {
		return nil, r.err
	}
	if len(p.bodies) != len(p.funcs)-p.imported {
		return nil, fmt.Errorf("wasmfile: %d bodies for %d functions", len(p.bodies), len(p.funcs)-p.imported)
	}
	for _, t := range p.funcs {
		if int(t) >= len(p.types) {
			return nil, fmt.Errorf("wasmfile: no type %d", t)
		}
	}
	return p, nil
}

func (p *program) read(s section) error {
	r := &reader{b: s.body}
	switch s.id {
	case secType:
		for range r.count() {
			if tag := r.byte(); tag != 0x60 && r.err == nil {
				return fmt.Errorf("wasmfile: unknown type %#x", tag)
			}
			p.types = append(p.types, FuncType{Params: r.bytes(r.count()), Results: r.bytes(r.count())})
		}
	case secImport:
		if err := p.readImports(r); err != nil {
			return err
		}
	case secFunc:
		for range r.count() {
			p.funcs = append(p.funcs, r.u32())
		}
	case secTable:
		for range r.count() {
			r.byte()
			r.limits()
			p.tables++
		}
	case secMemory:
		for range r.count() {
			r.limits()
			p.memories++
		}
	case secGlobal:
		for range r.count() {
			p.globals = append(p.globals, globalType{r.byte(), r.byte()})
			r.constant()
		}
	case secCode:
		for range r.count() {
			p.bodies = append(p.bodies, r.bytes(r.u32()))
		}
	default:
		return r.err
	}
	if len(r.b) > 0 && r.err == nil {
		return fmt.Errorf("wasmfile: section %d is longer than what it holds", s.id)
	}
	return r.err
}

func (p *program) readImports(r *reader) error {
	for range r.count() {
		imp := Import{Module: r.name(), Name: r.name(), Kind: r.byte()}
		switch imp.Kind {
		case KindFunc:
			t := r.u32()
			if int(t) >= len(p.types) {
				return fmt.Errorf("wasmfile: no type %d", t)
			}
			imp.Func = p.types[t]
			p.funcs = append(p.funcs, t)
		case KindTable:
			r.byte()
			imp.Min = r.limits()
			p.tables++
		case KindMemory:
			imp.Min = r.limits()
			p.memories++
		case KindGlobal:
			g := globalType{r.byte(), r.byte()}
			imp.ValType, imp.Mutable = g.valType, g.mutable != 0
			p.globals = append(p.globals, g)
		default:
			return fmt.Errorf("wasmfile: unknown import kind %d", imp.Kind)
		}
		p.imports = append(p.imports, imp)
	}
	p.imported = len(p.funcs)
	return r.err
}

// constant passes over a constant expression of one instruction.
func (r *reader) constant() {
	switch op := r.byte(); op {
	case opI32Const, opI64Const:
		for r.byte() >= 0x80 && r.err == nil {
		}
	case opGlobalGet:
		r.u32()
	case opF64Const:
		r.bytes(8)
	case 0x43: // f32.const
		r.bytes(4)
	default:
		r.err = errors.Join(r.err, fmt.Errorf("wasmfile: unknown constant expression %#x", op))
	}
	if r.byte() != opEnd && r.err == nil {
		r.err = errors.New("wasmfile: a constant expression of several instructions")
	}
}

// module writes the sections in their order; of those with the same id, each.
func module(sections ...section) []byte {
	out := []byte(header)
	for _, s := range sections {
		out = append(out, s.id)
		out = append(out, vec(s.body)...)
	}
	return out
}

// items is the body of a section: a vector of what is encoded already.
func items(parts [][]byte) []byte { return append(uleb(uint32(len(parts))), concat(parts...)...) }
