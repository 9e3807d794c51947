package store

import (
	"context"

	"github.com/ncruces/go-sqlite3"
)

// Outcomes are what became of a tab's latest writes, as the leader encodes it:
// one row a tab, changed in the transactions that it tells of. The app does not
// see it: not in commits, not in changes() or last_insert_rowid(), not in sync.
type Outcomes struct {
	Session string // of the tab
	Kept    []byte
}

// The row of a tab is changed in its place: one page beside those of the write.
const tableOfOutcomes = `CREATE TABLE IF NOT EXISTS heddle_outcome(id INTEGER PRIMARY KEY, session TEXT NOT NULL UNIQUE, kept BLOB NOT NULL);`

const (
	outcomesOf   = `SELECT kept FROM heddle_outcome WHERE session = ?`
	keepOutcomes = `INSERT INTO heddle_outcome(session, kept) VALUES(?, ?) ON CONFLICT(session) DO UPDATE SET kept = excluded.kept`
)

// Outcomes returns what was kept of the session's writes, nil if nothing was.
func (tx *Tx) Outcomes(session string) (kept []byte, err error) {
	err = tx.run("store: outcomes", "", func() error {
		v, err := tx.c.scalar(outcomesOf, session)
		kept, _ = v.([]byte)
		return err
	})
	return kept, err
}

// KeepOutcomes keeps them, if tx commits.
func (tx *Tx) KeepOutcomes(o Outcomes) error {
	return tx.run("store: outcomes", "", func() error {
		return tx.c.bookkeeping(func() error { return tx.c.run(keepOutcomes, o.Session, o.Kept) })
	})
}

// Changed reports whether tx may have changed anything so far.
func (tx *Tx) Changed() bool {
	if tx.schema || tx.notified {
		return true
	}
	total := tx.before
	err := tx.db.inside(context.Background(), tx.c, func() error {
		total = tx.c.c.TotalChanges()
		return nil
	})
	return err != nil || total != tx.before
}

// ForgetOutcomes forgets what was kept of sessions that are dead.
func (db *DB) ForgetOutcomes(ctx context.Context, dead func(session string) bool) error {
	return db.Update(ctx, Origin{Kind: Local}, func(tx *Tx) error {
		return tx.run("store: outcomes", "", func() error {
			var gone []string
			err := tx.c.each(`SELECT session FROM heddle_outcome`, func(s *sqlite3.Stmt) error {
				if session := s.ColumnText(0); dead(session) {
					gone = append(gone, session)
				}
				return nil
			})
			if err != nil {
				return err
			}
			return tx.c.bookkeeping(func() error {
				for _, session := range gone {
					if err := tx.c.run(`DELETE FROM heddle_outcome WHERE session = ?`, session); err != nil {
						return err
					}
				}
				return nil
			})
		})
	})
}

// carryOutcomes makes the outcomes of a copy those of the database that it is
// going to replace, with more: they tell of this place's tabs.
func (c *conn) carryOutcomes(copied *conn, more []Outcomes) error {
	if err := copied.exec(tableOfOutcomes + `DELETE FROM heddle_outcome;`); err != nil {
		return err
	}
	err := c.each(`SELECT session, kept FROM heddle_outcome`, func(s *sqlite3.Stmt) error {
		return copied.run(keepOutcomes, s.ColumnText(0), s.ColumnBlob(1, nil))
	})
	for _, o := range more {
		if err == nil {
			err = copied.run(keepOutcomes, o.Session, o.Kept)
		}
	}
	return err
}
