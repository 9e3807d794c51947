package sqlconn

import (
	"context"

	"github.com/google/uuid"
	"github.com/ncruces/go-sqlite3"
)

// functions registers Heddle's SQL functions and replaces
// those of SQLite whose results bookkeeping would change.
func (c *Conn) functions() error {
	const flags = sqlite3.INNOCUOUS
	for name, f := range map[string]sqlite3.ScalarFunction{
		"uuid7": func(ctx sqlite3.Context, _ ...sqlite3.Value) {
			id, err := uuid.NewV7()
			if err != nil {
				ctx.ResultError(err)
				return
			}
			ctx.ResultText(id.String())
		},
		"heddle_applying": func(ctx sqlite3.Context, _ ...sqlite3.Value) { ctx.ResultBool(c.Apply) },
		"changes":         func(ctx sqlite3.Context, _ ...sqlite3.Value) { ctx.ResultInt64(c.changes()) },
		"total_changes":   func(ctx sqlite3.Context, _ ...sqlite3.Value) { ctx.ResultInt64(c.TotalChanges() - c.hidden) },
	} {
		if err := c.CreateFunction(name, 0, flags, f); err != nil {
			return err
		}
	}
	return nil
}

// changes is what changes() shows the app.
func (c *Conn) changes() int64 {
	if c.keptIsLast {
		return c.kept
	}
	return c.Conn.Changes()
}

// Bookkeeping runs f, which makes Heddle's own writes: last_insert_rowid(),
// changes() and total_changes() do not show them to the app.
func (c *Conn) Bookkeeping(f func() error) error {
	id, changes, total := c.LastInsertRowID(), c.changes(), c.TotalChanges()
	defer func() {
		c.SetLastInsertRowID(id)
		c.kept, c.keptIsLast = changes, true
		c.hidden += c.TotalChanges() - total
	}()
	return f()
}

// Begins is called before s runs for the app.
func (c *Conn) Begins(s *Stmt) {
	c.Current = s
	if !s.ReadsOnly {
		c.keptIsLast = false
	}
}

// Applying switches the connection to applying entries of the log and back:
// foreign keys off, checks ignored, heddle_applying() true.
func (c *Conn) Applying(on bool) error {
	if c.Apply == on {
		return nil
	}
	defer c.SetInterrupt(c.SetInterrupt(context.Background()))
	if _, err := c.Config(sqlite3.DBCONFIG_ENABLE_FKEY, !on); err != nil {
		return err
	}
	sql := `PRAGMA ignore_check_constraints = off`
	if on {
		sql = `PRAGMA ignore_check_constraints = on`
	}
	c.Apply = on
	return c.Exec(sql)
}
