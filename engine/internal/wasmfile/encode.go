package wasmfile

import "math"

// Opcodes that the small modules use.
const (
	opUnreachable  = 0x00
	opCall         = 0x10
	opReturnCall   = 0x12
	opRefFunc      = 0xD2
	opCallIndirect = 0x11
	opLocalGet     = 0x20
	opGlobalGet    = 0x23
	opI32Const     = 0x41
	opI32Add       = 0x6A
	opI64Const     = 0x42
	opF64Const     = 0x44
	opEnd          = 0x0B
)

// Builder writes a module. Imports come before functions; the order of calls is
// the order of indices.
type Builder struct {
	types    [][]byte
	typeKey  map[string]uint32
	imports  [][]byte
	funcs    [][]byte
	tables   [][]byte
	memories [][]byte
	globals  [][]byte
	exports  [][]byte
	elements [][]byte
	code     [][]byte

	nFuncs, nGlobals uint32
}

// Type returns the index of a signature.
func (b *Builder) Type(t FuncType) uint32 {
	enc := append([]byte{0x60}, vec(t.Params)...)
	enc = append(enc, vec(t.Results)...)
	if i, ok := b.typeKey[string(enc)]; ok {
		return i
	}
	if b.typeKey == nil {
		b.typeKey = map[string]uint32{}
	}
	i := uint32(len(b.types))
	b.types = append(b.types, enc)
	b.typeKey[string(enc)] = i
	return i
}

// ImportFunc imports a function and returns its index.
func (b *Builder) ImportFunc(module, name string, t FuncType) uint32 {
	b.imports = append(b.imports, concat(str(module), str(name), []byte{KindFunc}, uleb(b.Type(t))))
	b.nFuncs++
	return b.nFuncs - 1
}

// ImportGlobal imports a global and returns its index.
func (b *Builder) ImportGlobal(module, name string, valType byte, mutable bool) uint32 {
	mut := byte(0)
	if mutable {
		mut = 1
	}
	b.imports = append(b.imports, concat(str(module), str(name), []byte{KindGlobal, valType, mut}))
	b.nGlobals++
	return b.nGlobals - 1
}

// Table declares a table of functions and exports it.
func (b *Builder) Table(export string, min uint32) {
	i := uint32(len(b.tables))
	b.tables = append(b.tables, concat([]byte{FuncRef, 0}, uleb(min)))
	b.Export(export, KindTable, i)
}

// Memory declares a memory of at least min pages and exports it.
func (b *Builder) Memory(export string, min uint32) {
	b.memories = append(b.memories, concat([]byte{0}, uleb(min)))
	b.Export(export, KindMemory, 0)
}

// Global declares an i32 global and exports it.
func (b *Builder) Global(export string, mutable bool, value int32) {
	mut := byte(0)
	if mutable {
		mut = 1
	}
	b.globals = append(b.globals, concat([]byte{I32, mut, opI32Const}, sleb(int64(value)), []byte{opEnd}))
	b.Export(export, KindGlobal, b.nGlobals)
	b.nGlobals++
}

// Func adds a function with the given body (without its end) and returns its index.
func (b *Builder) Func(t FuncType, body []byte) uint32 {
	b.funcs = append(b.funcs, uleb(b.Type(t)))
	code := concat([]byte{0}, body, []byte{opEnd}) // no locals
	b.code = append(b.code, concat(uleb(uint32(len(code))), code))
	b.nFuncs++
	return b.nFuncs - 1
}

// Export exports the item of that kind and index.
func (b *Builder) Export(name string, kind byte, index uint32) {
	b.exports = append(b.exports, concat(str(name), []byte{kind}, uleb(index)))
}

// Elements puts functions into table 0, from the given slot on.
func (b *Builder) Elements(offset int32, funcs []uint32) {
	seg := concat([]byte{0, opI32Const}, sleb(int64(offset)), []byte{opEnd}, uleb(uint32(len(funcs))))
	for _, f := range funcs {
		seg = append(seg, uleb(f)...)
	}
	b.elements = append(b.elements, seg)
}

// Bytes returns the module.
func (b *Builder) Bytes() []byte {
	out := []byte(header)
	for _, s := range []struct {
		id    byte
		items [][]byte
	}{{1, b.types}, {2, b.imports}, {3, b.funcs}, {4, b.tables}, {5, b.memories}, {6, b.globals}, {7, b.exports},
		{9, b.elements}, {10, b.code}} {
		if len(s.items) == 0 {
			continue
		}
		body := concat(uleb(uint32(len(s.items))), concat(s.items...))
		out = append(out, s.id)
		out = append(out, uleb(uint32(len(body)))...)
		out = append(out, body...)
	}
	return out
}

// Instructions.

// LocalGet pushes a parameter.
func LocalGet(i uint32) []byte { return append([]byte{opLocalGet}, uleb(i)...) }

// GlobalGet pushes a global.
func GlobalGet(i uint32) []byte { return append([]byte{opGlobalGet}, uleb(i)...) }

// Call calls a function.
func Call(i uint32) []byte { return append([]byte{opCall}, uleb(i)...) }

// I32Const pushes a number.
func I32Const(v int32) []byte { return append([]byte{opI32Const}, sleb(int64(v))...) }

// I32Add adds two numbers.
func I32Add() []byte { return []byte{opI32Add} }

// CallIndirect calls the function of table 0 whose slot is on the stack.
func CallIndirect(typ uint32) []byte { return concat([]byte{opCallIndirect}, uleb(typ), []byte{0}) }

// Zero pushes a zero of the given type.
func Zero(valType byte) []byte {
	switch valType {
	case I32:
		return []byte{opI32Const, 0}
	case I64:
		return []byte{opI64Const, 0}
	case F64:
		return append([]byte{opF64Const}, make([]byte, 8)...)
	}
	panic("wasmfile: no zero of this type")
}

// Count is the body of a function that writes n numbers of 32 bits into the memory:
// at address + i*stride the quotient of i and each.
func Count(address, stride, n, each int) []byte {
	const local = 0
	get := LocalGet(local)
	return concat(
		[]byte{1, 1, I32, 0x03, 0x40},              // one local, loop
		get, I32Const(int32(stride)), []byte{0x6C}, // i32.mul
		get, I32Const(int32(each)), []byte{0x6E}, // i32.div_u
		[]byte{0x36, 2}, uleb(uint32(address)), // i32.store
		get, I32Const(1), I32Add(), []byte{0x22, local}, // local.tee
		I32Const(int32(n)), []byte{0x49, 0x0D, 0, opEnd, opEnd}, // i32.lt_u, br_if 0, end of the loop
	)
}

func uleb(v uint32) []byte {
	var out []byte
	for v >= 0x80 {
		out = append(out, byte(v)|0x80)
		v >>= 7
	}
	return append(out, byte(v))
}

func sleb(v int64) []byte {
	var out []byte
	for {
		c := byte(v & 0x7F)
		v >>= 7
		if v == 0 && c&0x40 == 0 || v == -1 && c&0x40 != 0 {
			return append(out, c)
		}
		out = append(out, c|0x80)
	}
}

func str(s string) []byte { return vec([]byte(s)) }

func vec(p []byte) []byte {
	if len(p) > math.MaxInt32 {
		panic("wasmfile: vector too long")
	}
	return append(uleb(uint32(len(p))), p...)
}

func concat(parts ...[]byte) []byte {
	var out []byte
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}
