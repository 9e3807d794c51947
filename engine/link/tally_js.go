package sqlite3_wasm

import "encoding/binary"

// Tally is a pre-update hook in C that stands before go-sqlite3's: what it was
// told to count, or to note the rowid of, does not cross into Go. It belongs to
// one connection, and is used inside the lock over SQLite only.
type Tally struct{ m *Module }

// NewTally puts the hook before the one that conn, a *sqlite3.Conn of
// go-sqlite3, has set: PreUpdateHook must have been called, and not be called
// again. It returns nil if conn is something else.
func NewTally(conn any) *Tally {
	m, handle := internalsOfConn(conn)
	if m == nil || m.base == 0 {
		return nil
	}
	m.Xheddle_tally_new(handle)
	return &Tally{m}
}

// Add spares Go further events of op (SQLITE_INSERT, SQLITE_UPDATE or
// SQLITE_DELETE) on a table of the main schema: they are counted, or, if rowids,
// the new rowid of each is noted. It returns the number that Count and Rows know
// it by, or -1 if there is no room: then events go on coming.
func (t *Tally) Add(table string, op int, rowids bool) int {
	if len(table) > 63 {
		return -1
	}
	at := t.m.sp - 64
	n := copy((*t.m.memory)[uint32(at):], table)
	(*t.m.memory)[uint32(at)+uint32(n)] = 0
	var r int32
	if rowids {
		r = 1
	}
	return int(t.m.Xheddle_tally_add(at, int32(op), r))
}

// Count is how many events the i-th has counted.
func (t *Tally) Count(i int) int { return int(t.m.Xheddle_tally_count(int32(i))) }

// Rows calls row with what was noted, in order, and forgets it.
func (t *Tally) Rows(row func(i int, rowid int64)) {
	if t.m.base == 0 {
		return
	}
	at := t.m.sp - 4
	n := t.m.Xheddle_tally_rows(at)
	noted := (*t.m.memory)[t.m.load32(at):]
	for k := range uint32(n) {
		row(int(binary.LittleEndian.Uint32(noted[k*16+8:])), int64(binary.LittleEndian.Uint64(noted[k*16:])))
	}
	if n > 0 {
		t.m.Xheddle_tally_taken()
	}
}

// Clear forgets all that was counted, noted and added.
func (t *Tally) Clear() { t.m.Xheddle_tally_clear() }
