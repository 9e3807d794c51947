package sqlite3_wasm

import (
	"encoding/binary"
	"reflect"
)

// Results of [Packer.Read]; others are SQLite's error codes.
const (
	Row  = 100 // SQLITE_ROW: more rows may follow
	Done = 101 // SQLITE_DONE: there are no more
)

// Packer packs result rows into the blocks of internal/rpc, in C: one call for a
// block instead of two for each value. It belongs to one connection and has
// memory of SQLite's until it is closed. As all else here it is used inside the
// lock over SQLite only.
type Packer struct {
	m       *Module
	at      int32
	columns int
}

// NewPacker makes a packer for the rows of stmt, a *sqlite3.Stmt of go-sqlite3
// that has that many columns. It returns nil if stmt is something else or there
// is no memory: rows can be packed in Go then.
func NewPacker(stmt any, columns int) *Packer {
	m, _ := internals(stmt)
	if m == nil || m.base == 0 || columns < 1 {
		return nil
	}
	at := m.Xheddle_pack_new(int32(columns))
	if at == 0 {
		return nil
	}
	return &Packer{m: m, at: at, columns: columns}
}

// Close frees the packer's memory. It may be called after the connection was
// closed, and on nil.
func (p *Packer) Close() {
	if p != nil && p.at != 0 {
		p.m.Xheddle_pack_free(p.at)
		p.at = 0
	}
}

// Read packs the row that stmt stands on, if onRow, and then steps on and packs
// until the block has maxRows rows or about maxBytes bytes, or steps steps were
// made. It returns [Row] if that ended it: stmt stands on a row that is packed
// already. Otherwise it returns [Done] or the error code of sqlite3_step: stmt
// must be reset before it is stepped again, and Reset reports the error.
//
// Stepping is interrupted as ever by the context of the connection.
func (p *Packer) Read(stmt any, onRow bool, maxRows, maxBytes, steps int) (code int) {
	m, handle := internals(stmt)
	if m != p.m || p.at == 0 {
		panic("sqlite3_wasm: the statement is not of the packer's connection")
	}
	var on int32
	if onRow {
		on = 1
	}
	return int(m.Xheddle_pack_rows(p.at, handle, on, int32(maxRows), int32(maxBytes), int32(steps)))
}

// Rows is how many rows wait in the block.
func (p *Packer) Rows() int { return int(p.m.Xheddle_pack_count(p.at)) }

// AppendTo appends the block to message, from its number of columns on (what
// stands before, flags and names, is the caller's), and begins the next one. It
// reports false, having appended nothing, for want of memory.
func (p *Packer) AppendTo(message []byte) ([]byte, bool) {
	block := p.m.sp - 4
	n := p.m.Xheddle_pack_block(p.at, int32(len(message)), block)
	if n < 0 {
		return message, false
	}
	at := binary.LittleEndian.Uint32((*p.m.memory)[uint32(block):])
	return append(message, (*p.m.memory)[at:at+uint32(n)]...), true
}

// internals finds the module and the handle of a *sqlite3.Stmt. go-sqlite3 has
// no way to tell them; TestPacker fails if a version of it keeps them elsewhere.
func internals(stmt any) (m *Module, handle int32) {
	s, handle := structOf(stmt)
	if handle == 0 {
		return nil, 0
	}
	return moduleOf(s.FieldByName("c")), handle
}

// internalsOfConn is the same of a *sqlite3.Conn.
func internalsOfConn(conn any) (m *Module, handle int32) {
	if _, handle = structOf(conn); handle == 0 {
		return nil, 0
	}
	return moduleOf(reflect.ValueOf(conn)), handle
}

// structOf returns what v points to, and its handle; 0 if it has none.
func structOf(v any) (s reflect.Value, handle int32) {
	p := reflect.ValueOf(v)
	if p.Kind() != reflect.Pointer || p.IsNil() || p.Elem().Kind() != reflect.Struct {
		return s, 0
	}
	h := p.Elem().FieldByName("handle")
	if h.Kind() != reflect.Uint32 {
		return s, 0
	}
	return p.Elem(), int32(uint32(h.Uint()))
}

func moduleOf(conn reflect.Value) *Module {
	if conn.Kind() != reflect.Pointer || conn.IsNil() {
		return nil
	}
	wrapper := conn.Elem().FieldByName("wrp")
	if wrapper.Kind() != reflect.Pointer || wrapper.IsNil() {
		return nil
	}
	module := wrapper.Elem().FieldByName("Module")
	if module.Type() != reflect.TypeFor[*Module]() || module.IsNil() {
		return nil
	}
	return (*Module)(module.UnsafePointer())
}
