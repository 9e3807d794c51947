// Package sqlite3_wasm stands in for github.com/ncruces/go-sqlite3-wasm/v6 in
// native tests: same Module, New, Xenv and Memory, but SQLite is the file that
// the browser gets, engine/sqlite3.wasm, run by wazero.
//
// It is for tests of that file and links into nothing else. Each connection has
// a memory of its own, so nothing is shared between them, and the OS's VFS must
// not map files or shared memory into it.
package sqlite3_wasm

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
)

// Module is one instance of SQLite, for one connection.
type Module struct {
	env    Xenv
	memory *[]byte
	saved  []byte // go-sqlite3's own memory, which this one replaces
	ctx    context.Context
	envMod api.Module
	gotMod api.Module
	sqlite api.Module
	fns    [len(exportNames)]api.Function
	depth  int // callbacks that are running
	open   int
	gone   bool // closed: go-sqlite3 may still free memory after it closed a connection
	db     int32
	sp     int32
}

type hostFunction struct {
	name            string
	params, results string // value types
	call            func(m *Module, stack []uint64)
}

type moduleKey struct{}

// engine is what all modules share.
type engine struct {
	runtime          wazero.Runtime
	env, got, sqlite wazero.CompiledModule
}

var start = sync.OnceValue(func() *engine {
	e, err := newEngine()
	if err != nil {
		panic(err)
	}
	return e
})

func newEngine() (e *engine, err error) {
	_, here, _, _ := runtime.Caller(0)
	wasm, err := os.ReadFile(filepath.Join(filepath.Dir(here), "..", "..", "sqlite3.wasm"))
	if err != nil {
		return nil, err
	}
	ctx := context.Background()
	e = &engine{runtime: wazero.NewRuntime(ctx)}
	builder := e.runtime.NewHostModuleBuilder("host")
	for _, f := range hostFunctions {
		call := f.call
		builder.NewFunctionBuilder().
			WithGoModuleFunction(api.GoModuleFunc(func(ctx context.Context, _ api.Module, stack []uint64) {
				call(ctx.Value(moduleKey{}).(*Module), stack)
			}), []byte(f.params), []byte(f.results)).Export(f.name)
	}
	if _, err = builder.Instantiate(ctx); err != nil {
		return nil, err
	}
	if e.env, err = e.runtime.CompileModule(ctx, []byte(envModule)); err != nil {
		return nil, fmt.Errorf("env: %w", err)
	}
	if e.got, err = e.runtime.CompileModule(ctx, []byte(gotModule)); err != nil {
		return nil, fmt.Errorf("GOT.func: %w", err)
	}
	if e.sqlite, err = e.runtime.CompileModule(ctx, wasm); err != nil {
		return nil, fmt.Errorf("sqlite3.wasm: %w", err)
	}
	return e, nil
}

// New instantiates SQLite.
func New(env Xenv) *Module {
	m := &Module{env: env, sp: scratchTop}
	m.ctx = context.WithValue(context.Background(), moduleKey{}, m)
	if err := m.instantiate(start()); err != nil {
		panic(err)
	}
	m.memory = env.Xmemory().Slice()
	m.saved = *m.memory
	m.reach()
	return m
}

func (m *Module) instantiate(e *engine) (err error) {
	ctx := experimental.WithImportResolver(m.ctx, func(name string) api.Module {
		switch name {
		case "env":
			return m.envMod
		case "GOT.func":
			return m.gotMod
		}
		return nil // "host" is found by its name
	})
	anonymous := wazero.NewModuleConfig().WithName("").WithStartFunctions()
	if m.envMod, err = e.runtime.InstantiateModule(ctx, e.env, anonymous); err != nil {
		return err
	}
	if m.gotMod, err = e.runtime.InstantiateModule(ctx, e.got, anonymous); err != nil {
		return err
	}
	if m.sqlite, err = e.runtime.InstantiateModule(ctx, e.sqlite, anonymous); err != nil {
		return err
	}
	if _, err = m.sqlite.ExportedFunction("__wasm_apply_data_relocs").Call(m.ctx); err != nil {
		return err
	}
	_, err = m.sqlite.ExportedFunction("__set_stack_limits").Call(m.ctx, stackHigh, stackLow)
	return err
}

// reach makes go-sqlite3 see all of the memory, also after it grew.
func (m *Module) reach() {
	memory := m.envMod.Memory()
	*m.memory, _ = memory.Read(0, memory.Size())
}

// call calls an export of SQLite. A trap panics.
func (m *Module) call(k int, args ...uint64) uint64 {
	if m.gone {
		return 0
	}
	f := m.fns[k]
	if f == nil || m.depth > 0 {
		// A function object is not to be called again while it runs.
		f = m.sqlite.ExportedFunction(exportNames[k])
		if m.depth == 0 {
			m.fns[k] = f
		}
	}
	var stack [16]uint64
	n := copy(stack[:], args)
	if err := f.CallWithStack(m.ctx, stack[:max(n, 1)]); err != nil {
		panic(err)
	}
	return stack[0]
}

// StackIsBack tells whether SQLite's stack pointer is where it was at the start.
func (m *Module) StackIsBack() bool {
	return m.envMod.ExportedGlobal("__stack_pointer").Get() == stackHigh
}

// X__stack_pointer returns the stack pointer of a scratch stack.
func (m *Module) X__stack_pointer() *int32 { return &m.sp }

// X__indirect_function_table is needed to load extension modules.
func (m *Module) X__indirect_function_table() *[]any {
	panic("sqlite3_wasm: extension modules are not supported: they are compiled in")
}

// X_initialize starts SQLite.
func (m *Module) X_initialize() { m.raw__initialize() }

// Xsqlite3_open_v2 opens a database.
func (m *Module) Xsqlite3_open_v2(zName, ppDB, flags, zVFS int32) int32 {
	rc := m.raw_sqlite3_open_v2(zName, ppDB, flags, zVFS)
	if db := int32(binary.LittleEndian.Uint32((*m.memory)[uint32(ppDB):])); db != 0 {
		if m.open == 0 {
			m.db = db
		}
		m.open++
	}
	return rc
}

// Xsqlite3_close closes a database; with the last one goes the module.
func (m *Module) Xsqlite3_close(db int32) int32 { return m.closed(db, m.raw_sqlite3_close(db)) }

// Xsqlite3_close_v2 closes a database; with the last one goes the module.
func (m *Module) Xsqlite3_close_v2(db int32) int32 { return m.closed(db, m.raw_sqlite3_close_v2(db)) }

func (m *Module) closed(db, rc int32) int32 {
	if rc == 0 && db != 0 {
		m.open--
		if m.open == 0 {
			m.gone = true
			*m.memory = m.saved
			for _, mod := range []api.Module{m.sqlite, m.gotMod, m.envMod} {
				mod.Close(m.ctx)
			}
		}
	}
	return rc
}

func (m *Module) xgo_sleep(pVfs, microseconds int32) int32         { return 0 }
func (m *Module) xgo_busy_timeout(count, milliseconds int32) int32 { return 0 }

// xgo_block serves SQLite's allocator; see engine/build/csrc/blocks.c.
func (m *Module) xgo_block(pBytes int32) int32 {
	const page = 64 << 10
	want := binary.LittleEndian.Uint32((*m.memory)[uint32(pBytes):])
	pages := (want + page - 1) / page
	old, ok := m.envMod.Memory().Grow(pages)
	if !ok {
		return 0
	}
	m.reach()
	binary.LittleEndian.PutUint32((*m.memory)[uint32(pBytes):], pages*page)
	return int32(old * page)
}

func goUTCOffset(unixSeconds int64) int32 {
	_, offset := time.Unix(unixSeconds, 0).Local().Zone()
	return int32(offset)
}

// The callbacks recover as those of engine/link do.

func (m *Module) leave(name string, rc *int32, code int32) {
	m.depth--
	if v := recover(); v != nil {
		*rc = m.panicked(v, code)
	}
}

func (m *Module) leaveFunc(name string, ctx int32) {
	m.depth--
	if v := recover(); v != nil {
		m.Xsqlite3_result_error_code(ctx, m.panicked(v, 1))
	}
}

func (m *Module) leaveHook(name string) {
	m.depth--
	if v := recover(); v != nil {
		m.interrupt()
	}
}

func (m *Module) leaveCode(name string, rc *int32, code int32) {
	m.depth--
	if v := recover(); v != nil {
		*rc = code
		m.interrupt()
	}
}

func (m *Module) interrupt() {
	if m.db != 0 {
		m.Xsqlite3_interrupt(m.db)
	}
}

func (m *Module) panicked(v any, code int32) int32 {
	if err, ok := v.(error); ok && err.Error() == "sqlite3: out of memory" {
		return 7 // SQLITE_NOMEM
	}
	return code
}
