// Package wasmfile reads the parts of a WebAssembly binary that say how to link
// it, and writes small modules of imports, trampolines and tables.
//
// https://webassembly.github.io/spec/core/binary/index.html
package wasmfile

import (
	"errors"
	"fmt"
)

// Value types.
const (
	I32     byte = 0x7F
	I64     byte = 0x7E
	F64     byte = 0x7C
	FuncRef byte = 0x70
)

// Kinds of imports and exports.
const (
	KindFunc byte = iota
	KindTable
	KindMemory
	KindGlobal
)

// FuncType is a signature.
type FuncType struct{ Params, Results []byte }

// Equal tells whether two signatures are the same.
func (t FuncType) Equal(u FuncType) bool {
	return string(t.Params) == string(u.Params) && string(t.Results) == string(u.Results)
}

// Import is one entry of the import section.
type Import struct {
	Module, Name string
	Kind         byte
	Func         FuncType // of a function
	ValType      byte     // of a global
	Mutable      bool     // of a global
	Min          uint32   // of a table or memory
}

// Export is one entry of the export section.
type Export struct {
	Name string
	Kind byte
	Func FuncType // of a function
}

// Dylink is the content of a dylink.0 section: what the loader must provide.
//
// https://github.com/WebAssembly/tool-conventions/blob/main/DynamicLinking.md
type Dylink struct {
	MemSize, MemAlign     uint32 // bytes; alignment as a power of two
	TableSize, TableAlign uint32
	Raw                   []byte
}

// Module is what Parse found.
type Module struct {
	Imports []Import
	Exports []Export
	Dylink  *Dylink
	Custom  []string // names of the custom sections, in order
}

// header is how each file of version 1 begins.
const header = "\x00asm\x01\x00\x00\x00"

var (
	errShort    = errors.New("wasmfile: the file ends too early")
	errNoModule = errors.New("wasmfile: not a WebAssembly module of version 1")
)

type reader struct {
	b   []byte
	err error
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.err = errShort
		return 0
	}
	c := r.b[0]
	r.b = r.b[1:]
	return c
}

func (r *reader) u32() uint32 {
	var v uint64
	for shift := 0; shift < 35; shift += 7 {
		c := r.byte()
		v |= uint64(c&0x7F) << shift
		if c < 0x80 {
			break
		}
	}
	return uint32(v)
}

func (r *reader) bytes(n uint32) []byte {
	if uint64(n) > uint64(len(r.b)) {
		r.err = errShort
		r.b = nil
		return nil
	}
	p := r.b[:n]
	r.b = r.b[n:]
	return p
}

func (r *reader) name() string { return string(r.bytes(r.u32())) }

func (r *reader) limits() (min uint32) {
	flag := r.byte()
	min = r.u32()
	if flag&1 != 0 {
		r.u32()
	}
	return min
}

// count reads the length of a vector, each of whose elements takes a byte at
// least, so that a bad file cannot ask for a huge allocation.
func (r *reader) count() uint32 {
	n := r.u32()
	if uint64(n) > uint64(len(r.b)) {
		r.err = errShort
		r.b = nil
		return 0
	}
	return n
}

// Parse reads the sections that concern linking. It does not validate code.
func Parse(file []byte) (*Module, error) {
	p, err := parseProgram(file)
	if err != nil {
		return nil, err
	}
	m := &Module{Imports: p.imports}
	for _, s := range p.sections {
		r := &reader{b: s.body}
		switch s.id {
		case secCustom:
			name := r.name()
			m.Custom = append(m.Custom, name)
			if name == "dylink.0" {
				m.Dylink = parseDylink(r)
			}
		case secExport:
			for range r.count() {
				e := Export{Name: r.name(), Kind: r.byte()}
				index := r.u32()
				if e.Kind == KindFunc && r.err == nil {
					if int(index) >= len(p.funcs) {
						return nil, fmt.Errorf("wasmfile: no function %d", index)
					}
					e.Func = p.types[p.funcs[index]]
				}
				m.Exports = append(m.Exports, e)
			}
		}
		if r.err != nil {
			return nil, r.err
		}
	}
	return m, nil
}

func parseDylink(s *reader) *Dylink {
	d := &Dylink{Raw: s.b}
	for len(s.b) > 0 && s.err == nil {
		id := s.byte()
		sub := &reader{b: s.bytes(s.u32())}
		if id == 1 { // WASM_DYLINK_MEM_INFO
			d.MemSize, d.MemAlign = sub.u32(), sub.u32()
			d.TableSize, d.TableAlign = sub.u32(), sub.u32()
			s.err = errors.Join(s.err, sub.err)
		}
	}
	return d
}
