package sqlite3_wasm

import (
	"encoding/binary"
	"runtime"
)

// Run is how far RunRows came.
type Run struct {
	Rows, Bytes     int   // of what it was given
	Changes         int64 // of all rows
	LastInsertRowID int64
}

// Other is what RunRows returns before a row that Go must run, because it alone
// can say what is wrong with a value.
const Other = -1

// RunRows runs stmt, a *sqlite3.Stmt of go-sqlite3 that was reset, for up to max
// rows of parameters, in one call. rows holds them in the encoding of internal/rpc,
// as its decoder checked it: columns values a row. It is read where it lies.
//
// The code is 0 if that many rows ran, [Other], or the error code of
// sqlite3_step: then stmt must be reset, and Reset reports the error. ok is
// false, and nothing was done, if stmt is something else.
func RunRows(stmt any, rows []byte, columns, max int) (run Run, code int, ok bool) {
	m, handle := internals(stmt)
	if m == nil || m.base == 0 || len(rows) == 0 {
		return Run{}, 0, false
	}
	// A callback may be given a parameter, and go-sqlite3 reads it there.
	extendReach(rows)
	// Callbacks use the scratch stack too: what they take lies below.
	const size = 24
	sp := m.sp
	defer func() { m.sp = sp }()
	m.sp = (sp - size) &^ 15
	at := m.sp
	code = int(m.Xheddle_run_rows(handle, int32(address(rows)), int32(len(rows)), int32(columns), int32(max), at))
	runtime.KeepAlive(rows)
	out := (*m.memory)[uint32(at):]
	return Run{
		Changes:         int64(binary.LittleEndian.Uint64(out)),
		LastInsertRowID: int64(binary.LittleEndian.Uint64(out[8:])),
		Bytes:           int(binary.LittleEndian.Uint32(out[16:])),
		Rows:            int(binary.LittleEndian.Uint32(out[20:])),
	}, code, true
}
