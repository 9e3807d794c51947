package store

import (
	"slices"

	"github.com/ncruces/go-sqlite3"
)

// spared is what the engine's tally keeps from the pre-update hook: events that
// would only be counted, and inserts of which only the rowid is noted. A call of
// the hook for each row would cost a load more than the rest of it.
type spared struct {
	by    []*touched // of each index that Tally.Add gave
	rows  bool       // some of them note rowids
	while *stmt      // updates are counted while this statement runs
	full  bool       // there is no room for more
}

// spareAfter is how many rows of a table are noted one by one first: for a few
// the tally is the longer way. Tests lower it.
var spareAfter = 16

// spare keeps further events like d from the hook.
func (cp *capture) spare(tt *touched, d *sqlite3.PreUpdateData, rowids bool) {
	if cp.c.tally == nil || cp.spared.full || d.BlobWrite() >= 0 || rowids && slices.Contains(cp.spared.by, tt) {
		return
	}
	if cp.c.tally.Add(d.Table, d.Op, rowids) < 0 {
		cp.spared.full = true
		return
	}
	cp.spared.by = append(cp.spared.by, tt)
	cp.spared.rows = cp.spared.rows || rowids
}

// spareCheap does so for a table of which the first keys are noted already.
func (cp *capture) spareCheap(tt *touched, d *sqlite3.PreUpdateData) {
	k := &tt.cheap
	if d.Op == sqlite3.AUTH_UPDATE && !k.allColumns && len(k.columns) < len(tt.t.Columns) {
		// noteColumns has noted what this statement names; another may name others.
		if cp.c.current == nil {
			return
		}
		cp.spared.while = cp.c.current
	}
	cp.spare(tt, d, false)
}

// begins says that s runs from now on; nil is Heddle's own work.
func (cp *capture) begins(s *stmt) {
	if cp.spared.while != nil && cp.spared.while != s {
		cp.settle()
	}
}

// drain notes the rowids that were kept from the hook: before it looks at an
// event, since the order counts.
func (cp *capture) drain() {
	if cp.spared.rows {
		cp.c.tally.Rows(func(i int, rowid int64) { cp.noteNew(cp.spared.by[i], rowid) })
	}
}

// settle takes what was kept from the hook, which then gets every event again.
func (cp *capture) settle() {
	if len(cp.spared.by) > 0 {
		cp.drain()
		for i, tt := range cp.spared.by {
			tt.cheap.more += cp.c.tally.Count(i)
		}
		cp.c.tally.Clear()
	}
	cp.spared = spared{}
}
