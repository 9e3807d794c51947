package store

import "slices"

// Feed holds the commits that its owner has not taken yet. A commit is in the feed in
// the same hold of the mutex as its COMMIT: who reads a snapshot finds all commits of
// that snapshot here.
type Feed struct {
	n    *notices
	wake chan struct{}

	// Guarded by notices.mu.
	list []Commit
	rows bool
}

// maxFeed bounds the commits that a feed holds one by one. Beyond it they become one,
// which names tables and columns, and no rows.
const maxFeed = 512

// NewFeed begins a feed. Close ends it.
func (db *DB) NewFeed() *Feed {
	n := &db.notices
	f := &Feed{n: n, wake: make(chan struct{}, 1)}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.feeds = append(n.feeds, f)
	return f
}

// CarryRows tells whether transactions that begin from now on note the rows that they
// change for the feed: see [TableCommit]. A transaction that nobody wants the rows of
// does not read them. A feed begins without.
func (f *Feed) CarryRows(rows bool) {
	f.n.mu.Lock()
	defer f.n.mu.Unlock()
	f.rows = rows
}

// carryRows reports whether a feed wants the rows of commits.
func (n *notices) carryRows() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.ContainsFunc(n.feeds, func(f *Feed) bool { return f.rows })
}

// Wake has an element when commits have come since it was last received from.
func (f *Feed) Wake() <-chan struct{} { return f.wake }

// Take takes the commits up to the number last, in order. Their slices are shared and
// not to be changed.
func (f *Feed) Take(last uint64) []Commit {
	f.n.mu.Lock()
	defer f.n.mu.Unlock()
	i := 0
	for i < len(f.list) && f.list[i].Number <= last {
		i++
	}
	taken := f.list[:i:i]
	f.list = slices.Clone(f.list[i:])
	return taken
}

// Empty reports whether all commits were taken.
func (f *Feed) Empty() bool {
	f.n.mu.Lock()
	defer f.n.mu.Unlock()
	return len(f.list) == 0
}

// Close ends the feed.
func (f *Feed) Close() {
	f.n.mu.Lock()
	defer f.n.mu.Unlock()
	f.n.feeds = slices.DeleteFunc(slices.Clone(f.n.feeds), func(g *Feed) bool { return g == f })
}

// add is called with notices.mu held.
func (f *Feed) add(c Commit) {
	f.list = append(f.list, c)
	if len(f.list) > maxFeed {
		f.list = []Commit{merged(f.list)}
	}
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// merged is one commit for several: all tables and columns that they touched.
func merged(list []Commit) Commit {
	all := Commit{Number: list[len(list)-1].Number}
	at := map[string]int{}
	for i := range list {
		all.Schema = all.Schema || list[i].Schema
		for _, t := range list[i].Tables {
			j, known := at[t.Table]
			if !known {
				j = len(all.Tables)
				at[t.Table] = j
				all.Tables = append(all.Tables, TableCommit{Table: t.Table, Of: t.Of})
			}
			m := &all.Tables[j]
			// Without columns a change of a table may be any.
			m.HasInsertOrDelete = m.HasInsertOrDelete || t.HasInsertOrDelete || len(t.Columns) == 0
			m.More += len(t.Inserted) + len(t.Updated) + len(t.Deleted) + t.More
			for _, column := range t.Columns {
				if !slices.Contains(m.Columns, column) {
					m.Columns = append(m.Columns, column)
				}
			}
		}
	}
	return all
}
