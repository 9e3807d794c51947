package replica

import (
	"context"
	"errors"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/internal/store"
	"heddle.dev/heddle/sync/fold"
	"heddle.dev/heddle/sync/wire"
)

// A row of the log that its table here cannot hold is quarantined: it is kept
// whole in heddle_overflow, with what refuses it, and the table has no row of
// that key. What the log says of it goes on as for any other row, so the digest
// stays the server's. It is tried again whenever it changes, and when the
// database is opened with another schema.

// place makes the row that a table holds into after, nil for none, and reports
// whether the table refused it and the row is quarantined now. Where it is not,
// [rows.keepUnknown] keeps the cells that the table does not have.
func (r *rows) place(t *table, k rowKey, before, after *fold.Row, s *fold.Schema) (quarantined bool, err error) {
	err = t.write(r.conn, k.key, before, after, s)
	if err == nil {
		return false, nil
	}
	why := refused(err)
	if why == nil || r.sqlite.GetAutocommit() {
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
func (r *rows) quarantine(k rowKey, row *fold.Row, why *violation) error {
	return r.putOverflow(k, true, row.Cells, why)
}

// remove takes a row out of its table. Where a trigger fails on that, it is left
// out with all others.
func (r *rows) remove(t *table, key []wire.Value) error {
	err := r.exec(t.deleteSQL, key...)
	if refused(err) == nil {
		return err
	}
	if _, err := r.sqlite.Config(sqlite3.DBCONFIG_ENABLE_TRIGGER, false); err != nil {
		return sqlError(err, "")
	}
	err = r.exec(t.deleteSQL, key...)
	_, on := r.sqlite.Config(sqlite3.DBCONFIG_ENABLE_TRIGGER, true)
	return errors.Join(err, sqlError(on, ""))
}

// refusedRow is a row that a table has refused.
type refusedRow struct {
	rowKey
	violation
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
	err := rep.db.Query(ctx, `SELECT tbl, key, code, rule, cells FROM heddle_overflow WHERE code IS NOT NULL ORDER BY tbl, key`,
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
