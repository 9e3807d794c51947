package replica

import (
	"context"
	"errors"
	"strings"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/internal/store"
	"heddle.dev/heddle/sync/fold"
	"heddle.dev/heddle/sync/replica/internal/synced"
	"heddle.dev/heddle/sync/wire"
)

// Reasons of a Conflict.
const (
	ConflictMissing  = "missing"  // an accepted transaction of this replica's updated rows that were gone
	ConflictLost     = "lost"     // the server has lost transactions from Counter on, which are kept no longer
	ConflictReplaced = "replaced" // rows that differ between this replica and the log that Accept has chosen
	ConflictDangling = "dangling" // rows whose foreign key names a row that is gone
	// Rows that their table here cannot hold; see [Replica.Quarantined].
	ConflictConstraint = "constraint"
	// ConflictKey: a table that the space knows with another primary key than this
	// app, so that it is not synced here. Constraint says which; Keys name the table.
	ConflictKey = "key"
)

// Conflict reports writes of several replicas that contradict each other. The log
// has settled them in the same way everywhere; the app may want to look.
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
	events := map[synced.Violation]*Conflict{}
	var order []*Conflict
	for _, row := range a.refused {
		e := events[row.Violation]
		if e == nil {
			e = &Conflict{Seq: a.pos.Seq, Reason: ConflictConstraint, Code: row.Code, Constraint: row.Text}
			events[row.Violation] = e
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

// A table is disputed if its primary key in the log differs from this app's. The
// first descriptor in the log counts, and a key cannot change. Such a table is no
// longer synced here, and nothing else waits for it: its rows in the log are kept
// in heddle_overflow, like those of a table that this app does not have, and the
// rows of the app's own table stay local. Transactions of this replica that touch
// it are decided void.

// dispute leaves disputed tables out from now on, and reports them to the app.
func (a *applier) dispute() {
	all := a.tables
	a.tables = synced.Undisputed(all, a.schema)
	a.merged = synced.MergedSchema(a.schema, a.tables)
	for _, t := range synced.Sorted(all) {
		if a.tables[t.Name] == nil {
			a.events = append(a.events, disputeOf(t, a.schema, a.pos.Seq))
		}
	}
}

func disputeOf(t *synced.Table, s *fold.Schema, seq uint64) Conflict {
	return Conflict{Seq: seq, Reason: ConflictKey, Keys: []Key{{Table: t.Name}}, Constraint: "table " +
		synced.Quoted(t.Name) +
		" has the primary key (" + strings.Join(t.Key, ", ") + ") here, and the space knows it with (" +
		strings.Join(s.Key(t.Name), ", ") +
		"): it is not synced; make a new table"}
}

// A row of the log that its table cannot hold is quarantined: it is kept whole in
// heddle_overflow, with the reason, and the table has no row of that key. Entries
// change it like any other row, so the digest equals the server's. The table is
// tried again whenever the row changes, and when the database is opened with
// another schema.

// place makes the row that a table holds into after, nil for none, and reports
// whether the table refused it and the row is quarantined now. Where it is not,
// [rows.keepUnknown] keeps the cells that the table does not have.
func (r *rows) place(t *synced.Table, k rowKey, before, after *fold.Row, s *fold.Schema) (quarantined bool, err error) {
	err = t.Write(r.Conn, k.key, before, after, s)
	if err == nil {
		return false, nil
	}
	why := synced.Refused(err)
	if why == nil || r.SQLite.GetAutocommit() {
		return false, err
	}
	r.refused = append(r.refused, refusedRow{k, *why})
	if before != nil {
		if err := r.remove(t, k.key); err != nil {
			return false, err
		}
	}
	if after == nil {
		return false, nil // a trigger failed on the row's deletion
	}
	return true, r.quarantine(k, after, why)
}

// quarantine keeps a row that its table does not hold.
func (r *rows) quarantine(k rowKey, row *fold.Row, why *synced.Violation) error {
	return r.putOverflow(k, true, row.Cells, why)
}

// remove takes a row out of its table. Where a trigger fails on that, no trigger of
// the table runs.
func (r *rows) remove(t *synced.Table, key []wire.Value) error {
	err := r.Exec(t.DeleteSQL, key...)
	if synced.Refused(err) == nil {
		return err
	}
	if _, err := r.SQLite.Config(sqlite3.DBCONFIG_ENABLE_TRIGGER, false); err != nil {
		return synced.SQLError(err, "")
	}
	err = r.Exec(t.DeleteSQL, key...)
	_, on := r.SQLite.Config(sqlite3.DBCONFIG_ENABLE_TRIGGER, true)
	return errors.Join(err, synced.SQLError(on, ""))
}

// refusedRow is a row that a table has refused.
type refusedRow struct {
	rowKey
	synced.Violation
}

// Quarantined is a row of the space that its table here cannot hold.
type Quarantined struct {
	Key
	Code       string                // as in Conflict
	Constraint string                // as in Conflict
	Cells      map[string]wire.Value // the row beside its key; a column without a cell has its default
}

// Quarantined returns the rows of the space that their tables here cannot hold,
// at most limit of them. Such a row is shown as soon as a change of it, or of
// the schema, makes it fit. To replace it, INSERT a row of its key.
func (rep *Replica) Quarantined(ctx context.Context, limit int) ([]Quarantined, error) {
	var all []Quarantined
	err := rep.db.Query(ctx,
		`SELECT tbl, key, code, rule, cells FROM heddle_overflow WHERE code IS NOT NULL ORDER BY tbl, key`,
		store.Params{}, nil, func(s *sqlite3.Stmt) (err error) {
			q := Quarantined{Code: s.ColumnText(2), Constraint: s.ColumnText(3)}
			if q.Table = s.ColumnText(0); rep.tables[q.Table] == nil || len(all) >= limit {
				return nil
			}
			if q.Key.Key, err = wire.DecodeKey(s.ColumnBlob(1, nil)); err == nil {
				q.Cells, err = wire.DecodeRow(s.ColumnBlob(4, nil))
			}
			if err != nil {
				return damaged("heddle_overflow")
			}
			all = append(all, q)
			return nil
		})
	return all, err
}
