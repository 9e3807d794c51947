package main

import (
	"slices"

	"heddle.dev/heddle/engine/internal/wasmfile"
)

// trampolines is the module that Go imports SQLite from. Each of its functions
// calls the one in slot base+k of its table, where base is its first parameter:
// the first slot of an instance. It is instantiated before Go is; the table is
// filled when SQLite is instantiated. The slots from 0 on hold functions that
// answer zero, for connections that are closed.
func trampolines(m *model) []byte {
	var b wasmfile.Builder
	b.Table("table", uint32(len(m.exports)))
	zero := map[string]uint32{}
	var dead []uint32
	for k, f := range m.exports {
		withBase := wasmfile.FuncType{Params: append([]byte{wasmfile.I32}, f.typ.Params...), Results: f.typ.Results}
		var body []byte
		for i := range f.typ.Params {
			body = append(body, wasmfile.LocalGet(uint32(i+1))...)
		}
		body = append(body, wasmfile.LocalGet(0)...)
		body = append(body, wasmfile.I32Const(int32(k))...)
		body = append(body, wasmfile.I32Add()...)
		body = append(body, wasmfile.CallIndirect(b.Type(f.typ))...)
		b.Export(f.name, wasmfile.KindFunc, b.Func(withBase, body))
	}
	for _, f := range m.exports {
		key := string(f.typ.Params) + ">" + string(f.typ.Results)
		if _, ok := zero[key]; !ok {
			var body []byte
			for _, r := range f.typ.Results {
				body = append(body, wasmfile.Zero(r)...)
			}
			zero[key] = b.Func(f.typ, body)
		}
		dead = append(dead, zero[key])
	}
	b.Elements(0, dead)
	return b.Bytes()
}

// callbackModule is the module, instantiated for each connection, that SQLite
// imports Go from. It adds the connection's id to each call.
func callbackModule(m *model) []byte {
	var b wasmfile.Builder
	id := b.ImportGlobal("link", "id", wasmfile.I32, false)
	withID := func(t wasmfile.FuncType) wasmfile.FuncType {
		return wasmfile.FuncType{Params: append([]byte{wasmfile.I32}, t.Params...), Results: t.Results}
	}
	var imported []uint32
	for _, f := range m.callbacks {
		imported = append(imported, b.ImportFunc("go", f.name, withID(f.typ)))
	}
	for k, f := range m.callbacks {
		body := wasmfile.GlobalGet(id)
		for i := range f.typ.Params {
			body = append(body, wasmfile.LocalGet(uint32(i))...)
		}
		body = append(body, wasmfile.Call(imported[k])...)
		b.Export(f.name, wasmfile.KindFunc, b.Func(f.typ, body))
	}
	return b.Bytes()
}

// layout is where things lie in the memory of an instance under wazero, which
// has a memory of its own.
type layout struct{ static, stackLow, stackHigh, scratch, pages int32 }

func (m *model) layout() (l layout) {
	const page = 64 << 10
	l.static = page
	l.stackLow = (l.static + int32(m.file.Dylink.MemSize) + page - 1) &^ (page - 1)
	l.stackHigh = l.stackLow + 1<<20
	l.scratch = l.stackHigh + page // the scratch stack grows down from here
	l.pages = l.scratch / page
	return l
}

// tableBase leaves slot 0 empty: it is C's null pointer.
const tableBase = 1

// environment is the module "env" under wazero: it imports the functions of the
// host, and exports them with a memory, a table and the globals. The functions
// that SQLite knows by their slot come after SQLite's own in the table.
func environment(m *model) []byte {
	var b wasmfile.Builder
	index := map[string]uint32{}
	for _, f := range slices.Concat(m.callbacks, m.math) {
		index[f.name] = b.ImportFunc("host", f.name, f.typ)
		b.Export(f.name, wasmfile.KindFunc, index[f.name])
	}
	l := m.layout()
	b.Table("__indirect_function_table", tableBase+m.file.Dylink.TableSize+uint32(len(m.got)))
	b.Memory("memory", uint32(l.pages))
	b.Global("__stack_pointer", true, l.stackHigh)
	b.Global("__memory_base", false, l.static)
	b.Global("__table_base", false, tableBase)
	var slots []uint32
	for _, name := range m.got {
		slots = append(slots, index[name])
	}
	b.Elements(int32(tableBase+m.file.Dylink.TableSize), slots)
	return b.Bytes()
}

// gotModule is the module "GOT.func" under wazero: a global for each function
// that SQLite knows by its slot, holding it.
func gotModule(m *model) []byte {
	var b wasmfile.Builder
	for i, name := range m.got {
		b.Global(name, true, int32(tableBase+m.file.Dylink.TableSize)+int32(i))
	}
	return b.Bytes()
}
