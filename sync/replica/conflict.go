package replica

import (
	"strings"

	"heddle.dev/heddle/sync/fold"
)

// Reasons of a Conflict.
const (
	ConflictMissing  = "missing"  // an accepted transaction of this replica's updated rows that were gone
	ConflictLost     = "lost"     // the server has lost transactions of this replica's, from Counter on, that are kept no longer
	ConflictReplaced = "replaced" // rows that the log which Accept went on with has otherwise than this replica had them
	ConflictDangling = "dangling" // rows whose foreign key names a row that is gone
	// Rows that their table here cannot hold; see [Client.Quarantined].
	ConflictConstraint = "constraint"
	// ConflictKey: a table that the space knows with another primary key than this
	// app, so that it is not synced here. Constraint says which; Keys name the table.
	ConflictKey = "key"
)

// Conflict says that replicas wrote what does not go together. The log has
// settled it alike everywhere; the app may want to look.
type Conflict struct {
	Seq     uint64
	Counter uint64 // of the own transaction, where Reason is ConflictMissing
	Reason  string
	Keys    []Key // at most maxConflictKeys

	// Where Reason is ConflictConstraint: SQLite's result code, which says which
	// kind of constraint it was (SQLITE_CONSTRAINT_NOTNULL, …), and its message.
	Code, Constraint string
}

// maxConflictKeys bounds what one event carries.
const maxConflictKeys = 1000

// report makes conflicts of the rows that were refused: one event for each
// constraint.
func (a *applier) report() {
	events := map[violation]*Conflict{}
	var order []*Conflict
	for _, row := range a.refused {
		e := events[row.violation]
		if e == nil {
			e = &Conflict{Seq: a.pos.Seq, Reason: ConflictConstraint, Code: row.code, Constraint: row.text}
			events[row.violation] = e
			order = append(order, e)
		}
		if len(e.Keys) < maxConflictKeys {
			e.Keys = append(e.Keys, Key{Table: row.table, Key: row.key})
		}
	}
	for _, e := range order {
		a.events = append(a.events, *e)
	}
	if len(a.refused) > 0 {
		a.tx.Undone()
	}
	a.refused = nil
}

// A table is disputed if the log knows it with another primary key than this app.
// The first descriptor in the log counts, whoever wrote it, and a key cannot
// change. Such a table is synced no further here, and nothing else waits for it:
// what the log says of it is kept in heddle_overflow, as of a table that this app
// does not have, and the rows of the app's own table stay local. Transactions of
// this replica's that touch it are decided void.

// dispute leaves tables out that the log knows otherwise, from now on, and tells
// the app of them.
func (a *applier) dispute() {
	all := a.tables
	a.tables = undisputed(all, a.schema)
	a.merged = mergedSchema(a.schema, a.tables)
	for _, t := range sortedTables(all) {
		if a.tables[t.name] == nil {
			a.events = append(a.events, disputeOf(t, a.schema, a.pos.Seq))
		}
	}
}

func disputeOf(t *table, s *fold.Schema, seq uint64) Conflict {
	return Conflict{Seq: seq, Reason: ConflictKey, Keys: []Key{{Table: t.name}}, Constraint: "table " + quoted(t.name) +
		" has the primary key (" + strings.Join(t.key, ", ") + ") here, and the space knows it with (" + strings.Join(s.Key(t.name), ", ") +
		"): it is not synced; make a new table"}
}
