package sqlite3_wasm

import (
	"encoding/binary"
	"unsafe"
)

// Module is one instance of SQLite, for one connection.
type Module struct {
	base int32 // first slot of its exports in the table of the trampolines; 0 once closed
	id   int32 // index in instances
	open int   // database handles that are open
	db   int32 // the first of them
	sp   int32 // Go's own scratch stack, in SQLite's address space

	env     Xenv
	memory  *[]byte // go-sqlite3's view of the linear memory
	static  []byte  // SQLite's data
	stack   []byte  // SQLite's shadow stack
	scratch []byte  // what sp points into
	first   []byte  // heap block reserved for the start
	heap    [][]byte
	used    int64 // bytes of all of these
	shared  map[int32]*shmFile
}

const (
	stackSize   = 1 << 20
	scratchSize = 64 << 10
	blockAlign  = 8 << 10 // Go aligns large objects to its page size
	maxModules  = 1 << 12
)

// instances holds the open modules by id; 0 is not used.
var instances = make([]*Module, 1, 8)

// New instantiates SQLite. It panics if that takes more memory than
// [SetMemoryLimit] allows, as go-sqlite3 does for any want of memory.
func New(env Xenv) *Module {
	m := &Module{env: env, id: freeID()}
	m.static = m.block(staticSize)
	m.stack = m.block(stackSize)
	m.scratch = m.block(scratchSize)
	m.first = m.block(firstBlock)
	if m.static == nil || m.stack == nil || m.scratch == nil || m.first == nil {
		m.fail(errNoMemory)
	}
	m.base = m.id * exportCount
	m.sp = int32(address(m.scratch)) + scratchSize
	low := address(m.stack)
	if rc := engineOpen(abi, m.id, m.base, int32(address(m.static)), int32(low), int32(low+stackSize)); rc != 0 {
		m.fail(linkError(rc))
	}
	instances[m.id] = m
	m.memory = env.Xmemory().Slice()
	setReach(m.memory)
	return m
}

// fail panics, having given back what New took.
func (m *Module) fail(err error) {
	instances[m.id] = nil
	m.giveBack()
	panic(err)
}

// freeID reserves an index of instances.
func freeID() int32 {
	for i := 1; i < len(instances); i++ {
		if instances[i] == nil {
			instances[i] = reserved
			return int32(i)
		}
	}
	if len(instances) == maxModules {
		panic("sqlite3_wasm: too many connections")
	}
	instances = append(instances, reserved)
	return int32(len(instances) - 1)
}

var reserved = new(Module)

// release gives back all that the module took. From then on its methods answer
// zero: go-sqlite3 may still free memory after it closed a connection.
func (m *Module) release() {
	if m.base == 0 {
		return
	}
	engineClose(m.id, m.base)
	instances[m.id] = nil
	m.base = 0
	for file := range m.shared {
		m.shmClose(file)
	}
	m.giveBack()
}

// X__stack_pointer returns the stack pointer of a scratch stack. It is not the
// one SQLite's functions use, so the two never disturb each other.
func (m *Module) X__stack_pointer() *int32 { return &m.sp }

// X__indirect_function_table is needed to load SQLite extensions that are
// themselves modules of Go code, which this engine cannot do.
func (m *Module) X__indirect_function_table() *[]any {
	panic("sqlite3_wasm: extension modules are not supported: they are compiled in")
}

// X_initialize starts SQLite and sets its heap limit.
func (m *Module) X_initialize() {
	guard()
	raw__initialize(m.base)
	raw_sqlite3_hard_heap_limit64(m.base, memoryLimit)
}

// Xsqlite3_open_v2 opens a database. One that failed for want of memory is
// closed at once, since go-sqlite3 panics before it would.
func (m *Module) Xsqlite3_open_v2(zName, ppDB, flags, zVFS int32) int32 {
	guard()
	rc := raw_sqlite3_open_v2(m.base, zName, ppDB, flags, zVFS)
	at := (*m.memory)[uint32(ppDB):]
	db := int32(binary.LittleEndian.Uint32(at))
	if db != 0 && rc&0xFF == codeNoMemory {
		raw_sqlite3_close_v2(m.base, db)
		binary.LittleEndian.PutUint32(at, 0)
		db = 0
	}
	if db != 0 {
		if m.open == 0 {
			m.db = db
		}
		m.open++
	}
	if m.open == 0 {
		m.release()
	}
	return rc
}

// Xsqlite3_close closes a database; with the last one goes the module.
func (m *Module) Xsqlite3_close(db int32) int32 {
	guard()
	return m.closed(db, raw_sqlite3_close(m.base, db))
}

// Xsqlite3_close_v2 closes a database; with the last one goes the module.
func (m *Module) Xsqlite3_close_v2(db int32) int32 {
	guard()
	return m.closed(db, raw_sqlite3_close_v2(m.base, db))
}

func (m *Module) closed(db, rc int32) int32 {
	if rc == 0 && db != 0 && m.open > 0 {
		m.open--
		if m.open == 0 {
			m.release()
		}
	}
	return rc
}

// address returns where a block lies in the linear memory.
func address(block []byte) uint32 {
	return uint32(uintptr(unsafe.Pointer(unsafe.SliceData(block))))
}

type linkError int32

func (e linkError) Error() string {
	switch e {
	case 1:
		return "sqlite3_wasm: this program was built for another sqlite3.wasm"
	case 2:
		return "sqlite3_wasm: linkEngine's attach was not called before the program ran"
	}
	return "sqlite3_wasm: SQLite could not be instantiated"
}

//go:wasmimport engine open
func engineOpen(abi, id, base, static, stackLow, stackHigh int32) int32

//go:wasmimport engine close
func engineClose(id, base int32)

//go:wasmimport engine utc_offset
func engineUTCOffset(unixSeconds float64) int32
