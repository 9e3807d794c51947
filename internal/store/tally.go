package store

import (
	"slices"

	"github.com/ncruces/go-sqlite3"
)

// tallied is what the engine's tally counts instead of the pre-update hook: events
// that would only be counted, and inserts of which only the rowid is noted. A call
// of the hook for each row would cost a bulk load more than all the rest of it.
type tallied struct {
	by    []*touched // of each index that Tally.Add gave
	rows  bool       // some of them note rowids
	while *stmt      // updates are counted while this statement runs
	full  bool       // there is no room for more
}

// tallyAfter is how many rows of a table the hook notes first: for a few the tally
// is slower. Tests lower it.
var tallyAfter = 16

// tallyLike lets the tally count further events like d.
func (cp *capture) tallyLike(tt *touched, d *sqlite3.PreUpdateData, rowids bool) {
	if cp.c.tally == nil || cp.tallied.full || d.BlobWrite() >= 0 || rowids && slices.Contains(cp.tallied.by, tt) {
		return
	}
	if cp.c.tally.Add(d.Table, d.Op, rowids) < 0 {
		cp.tallied.full = true
		return
	}
	cp.tallied.by = append(cp.tallied.by, tt)
	cp.tallied.rows = cp.tallied.rows || rowids
}

// tallyKeysOnly does so for a table whose first keys are noted already.
func (cp *capture) tallyKeysOnly(tt *touched, d *sqlite3.PreUpdateData) {
	k := &tt.keysOnly
	if d.Op == sqlite3.AUTH_UPDATE && !k.allColumns && len(k.columns) < len(tt.t.Columns) {
		// noteColumns has noted what this statement names; another may name others.
		if cp.c.current == nil {
			return
		}
		cp.tallied.while = cp.c.current
	}
	cp.tallyLike(tt, d, false)
}

// begins is called before s runs; nil stands for Heddle's own statements.
func (cp *capture) begins(s *stmt) {
	if cp.tallied.while != nil && cp.tallied.while != s {
		cp.settle()
	}
}

// drain notes the rowids that the tally has collected: before the hook looks at an
// event, since the order counts.
func (cp *capture) drain() {
	if cp.tallied.rows {
		cp.c.tally.Rows(func(i int, rowid int64) { cp.noteNew(cp.tallied.by[i], rowid) })
	}
}

// settle takes over what the tally has counted and empties it: the hook gets every
// event again.
func (cp *capture) settle() {
	if len(cp.tallied.by) > 0 {
		cp.drain()
		for i, tt := range cp.tallied.by {
			tt.keysOnly.more += cp.c.tally.Count(i)
		}
		cp.c.tally.Clear()
	}
	cp.tallied = tallied{}
}
