package capture

import (
	"slices"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/internal/store/sqlconn"
)

// Tally counts events in front of a pre-update hook, which is not called for them.
// It is used inside SQLite only.
type Tally interface {
	// Add keeps further events of op on a table of the main schema from the hook:
	// they are counted, or, if rowids, the new rowid of each is noted. Writes of
	// sqlite3_blob_write are not kept from it. Add returns the event's index: 0, 1, …
	// since Clear; or -1 if there is no room.
	Add(table string, op sqlite3.AuthorizerActionCode, rowids bool) int
	// Count is how many events the i-th has counted.
	Count(i int) int
	// Rows calls row with what was noted, in order, and forgets it. When there is
	// no room for more, events go to the hook.
	Rows(row func(i int, rowid int64))
	// Clear forgets all that was counted, noted and added.
	Clear()
}

// tallied is what the engine's tally counts instead of the pre-update hook: events
// that would only be counted, and inserts of which only the rowid is noted. A call
// of the hook for each row would cost a bulk load more than all the rest of it.
type tallied struct {
	by    []*touched    // of each index that Tally.Add gave
	rows  bool          // some of them note rowids
	while *sqlconn.Stmt // updates are counted while this statement runs
	full  bool          // there is no room for more
}

// TallyAfter is how many rows of a table the hook notes first: for a few the tally
// is slower. Tests lower it.
var TallyAfter = 16

// tallyLike lets the tally count further events like d.
func (cp *Capture) tallyLike(tt *touched, d *sqlite3.PreUpdateData, rowids bool) {
	if cp.tally == nil || cp.tallied.full || d.BlobWrite() >= 0 || rowids && slices.Contains(cp.tallied.by, tt) {
		return
	}
	if cp.tally.Add(d.Table, d.Op, rowids) < 0 {
		cp.tallied.full = true
		return
	}
	cp.tallied.by = append(cp.tallied.by, tt)
	cp.tallied.rows = cp.tallied.rows || rowids
}

// tallyKeysOnly does so for a table whose first keys are noted already.
func (cp *Capture) tallyKeysOnly(tt *touched, d *sqlite3.PreUpdateData) {
	k := &tt.keysOnly
	if d.Op == sqlite3.AUTH_UPDATE && !k.allColumns && len(k.columns) < len(tt.t.Columns) {
		// noteColumns has noted what this statement names; another may name others.
		if cp.c.Current == nil {
			return
		}
		cp.tallied.while = cp.c.Current
	}
	cp.tallyLike(tt, d, false)
}

// Begins is called before s runs; nil stands for Heddle's own statements.
func (cp *Capture) Begins(s *sqlconn.Stmt) {
	if cp.tallied.while != nil && cp.tallied.while != s {
		cp.settle()
	}
}

// drain notes the rowids that the tally has collected: before the hook looks at an
// event, since the order counts.
func (cp *Capture) drain() {
	if cp.tallied.rows {
		cp.tally.Rows(func(i int, rowid int64) { cp.noteNew(cp.tallied.by[i], rowid) })
	}
}

// settle takes over what the tally has counted and empties it: the hook gets every
// event again.
func (cp *Capture) settle() {
	if len(cp.tallied.by) > 0 {
		cp.drain()
		for i, tt := range cp.tallied.by {
			tt.keysOnly.more += cp.tally.Count(i)
			tt.large = tt.large || !tt.full
		}
		cp.tally.Clear()
	}
	cp.tallied = tallied{}
}
