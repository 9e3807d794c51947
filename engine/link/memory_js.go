package sqlite3_wasm

import (
	"encoding/binary"
	"unsafe"
)

// firstBlock is the size of the heap block that each connection starts with. It
// holds what opening a connection takes, and is most of what a small one needs.
const firstBlock = 1 << 20

var (
	memoryLimit int64 = 1 << 30
	memoryUsed  int64
	reach       uint64 // end of the highest block, rounded up to a page of Wasm
)

// SetMemoryLimit sets how many bytes all connections may use in all, for
// SQLite's heap, stacks and static data: 1 GiB unless told otherwise. A new
// connection takes 2.2 MiB. What is in use already stays, also past the limit.
func SetMemoryLimit(bytes int64) { memoryLimit = bytes }

// MemoryUsed returns how many bytes all connections use now.
func MemoryUsed() int64 { return memoryUsed }

// Connections returns how many connections are open now.
func Connections() int {
	n := 0
	for _, m := range instances {
		if m != nil {
			n++
		}
	}
	return n
}

// outOfMemory has the text of go-sqlite3's own panic for want of memory, which
// is of an internal type.
type outOfMemory struct{}

func (outOfMemory) Error() string { return "sqlite3: out of memory" }

var errNoMemory error = outOfMemory{}

// block returns zeroed memory that stays where it is until giveBack, or nil past
// the limit. Go's collector does not move what lies on the heap.
func (m *Module) block(size int) []byte {
	size = (size + blockAlign - 1) &^ (blockAlign - 1)
	if memoryUsed+int64(size) > memoryLimit {
		return nil
	}
	b := make([]byte, size)
	if address(b)%blockAlign != 0 {
		panic("sqlite3_wasm: a large object of Go is not aligned to its page size")
	}
	memoryUsed += int64(size)
	m.used += int64(size)
	extendReach(b)
	return b
}

// extendReach lets go-sqlite3 see a block.
func extendReach(b []byte) {
	const page = 1 << 16
	end := (uint64(address(b)) + uint64(len(b)) + page - 1) &^ (page - 1)
	if end <= reach {
		return
	}
	reach = end
	for _, m := range instances {
		if m != nil && m.memory != nil {
			setReach(m.memory)
		}
	}
}

func (m *Module) giveBack() {
	memoryUsed -= m.used
	m.used = 0
	m.static, m.stack, m.scratch, m.first, m.heap = nil, nil, nil, nil, nil
	m.memory, m.env, m.shared = nil, nil, nil
}

// setReach makes a slice of the linear memory from address 0, so that SQLite's
// addresses index it, up to the end of the highest block that SQLite was ever
// given, so that a bad address panics.
func setReach(s *[]byte) {
	*(*[3]uintptr)(unsafe.Pointer(s)) = [3]uintptr{0, uintptr(reach), uintptr(reach)}
}

// xgo_block serves SQLite's allocator; see engine/build/csrc/blocks.c.
func (m *Module) xgo_block(pBytes int32) int32 {
	at := (*m.memory)[uint32(pBytes):]
	want := int(binary.LittleEndian.Uint32(at))
	b := m.first
	if b != nil && want <= len(b) {
		m.first = nil
	} else if b = m.block(want); b == nil {
		return 0
	}
	m.heap = append(m.heap, b)
	// The slice may have been replaced.
	binary.LittleEndian.PutUint32((*m.memory)[uint32(pBytes):], uint32(len(b)))
	return int32(address(b))
}
