package sqlite3_wasm

// Codes that callbacks answer: https://sqlite.org/rescode.html
const (
	codeError    = 1
	codeBusy     = 5
	codeNoMemory = 7
)

// OnPanic, if set, is told of each panic in a callback from SQLite (a VFS
// method, an SQL function, a hook), by the callback's name. The panic itself
// ends there: SQLite is answered with an error code.
var OnPanic func(callback string, value any)

// OnProgress, if set, is called now and then while a statement runs, some
// thousand steps of it apart. It must be quick, and may not touch SQLite.
var OnProgress func()

// depth counts the callbacks that are running, and owner is the goroutine that
// runs them, once there is one.
var (
	depth int
	owner uintptr
)

// guard panics if another goroutine is in a callback: SQLite's frames and this
// goroutine's would interleave on the machine's stack and crash the worker.
// Outside of callbacks no other goroutine can be inside SQLite.
func guard() {
	if depth != 0 && owner != goroutine() {
		panic("sqlite3_wasm: two goroutines are inside SQLite: callers must hold one lock over all connections")
	}
}

// goroutine returns something that tells running goroutines apart.
func goroutine() uintptr

func enter(id int32) *Module {
	depth++
	owner = goroutine()
	return instances[id]
}

// leave ends a callback that answers a code.
func (m *Module) leave(name string, rc *int32, code int32) {
	depth--
	if v := recover(); v != nil {
		*rc = m.panicked(name, v, code)
	}
}

// leaveFunc ends a callback that computes an SQL function.
func (m *Module) leaveFunc(name string, ctx int32) {
	depth--
	if v := recover(); v != nil {
		if code := m.panicked(name, v, codeError); code == codeNoMemory {
			raw_sqlite3_result_error_nomem(m.base, ctx)
		} else {
			raw_sqlite3_result_error_code(m.base, ctx, code)
		}
	}
}

// leaveHook ends a callback that has no way to answer an error: the statement
// that called it ends with SQLITE_INTERRUPT.
func (m *Module) leaveHook(name string) {
	depth--
	if v := recover(); v != nil {
		m.panicked(name, v, codeError)
		m.interrupt()
	}
}

// leaveCode is leave for callbacks whose answer cannot say that they failed.
func (m *Module) leaveCode(name string, rc *int32, code int32) {
	depth--
	if v := recover(); v != nil {
		m.panicked(name, v, codeError)
		*rc = code
		m.interrupt()
	}
}

func (m *Module) interrupt() {
	if m.db != 0 && m.base != 0 {
		raw_sqlite3_interrupt(m.base, m.db)
	}
}

func (m *Module) panicked(name string, v any, code int32) int32 {
	if OnPanic != nil {
		OnPanic(name, v)
	}
	if isNoMemory(v) {
		return codeNoMemory
	}
	return code
}

// isNoMemory tells go-sqlite3's panic for want of memory from the others.
func isNoMemory(v any) bool {
	err, ok := v.(error)
	return ok && err.Error() == errNoMemory.Error()
}

// xgo_sleep and xgo_busy_timeout answer at once: nothing waits inside SQLite.
func (m *Module) xgo_sleep(pVfs, microseconds int32) int32 { return 0 }

func (m *Module) xgo_busy_timeout(count, milliseconds int32) int32 { return 0 }

func (m *Module) xgo_progress_handler(arg int32) int32 {
	if OnProgress != nil {
		OnProgress()
	}
	return m.env.Xgo_progress_handler(arg)
}

//go:wasmexport go_utc_offset
func go_utc_offset(unixSeconds int64) int32 { return engineUTCOffset(float64(unixSeconds)) }
