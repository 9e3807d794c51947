package store

import (
	"github.com/google/uuid"
	"github.com/ncruces/go-sqlite3"
)

// functions registers Heddle's SQL functions and replaces
// those of SQLite whose results bookkeeping would change.
func (c *conn) functions() error {
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
		"heddle_applying": func(ctx sqlite3.Context, _ ...sqlite3.Value) { ctx.ResultBool(c.apply) },
		"changes":         func(ctx sqlite3.Context, _ ...sqlite3.Value) { ctx.ResultInt64(c.changes()) },
		"total_changes":   func(ctx sqlite3.Context, _ ...sqlite3.Value) { ctx.ResultInt64(c.c.TotalChanges() - c.hidden) },
	} {
		if err := c.c.CreateFunction(name, 0, flags, f); err != nil {
			return err
		}
	}
	return nil
}

// changes is what changes() shows the app.
func (c *conn) changes() int64 {
	if c.keptIsLast {
		return c.kept
	}
	return c.c.Changes()
}

// bookkeeping runs f, which makes Heddle's own writes: last_insert_rowid(),
// changes() and total_changes() do not show them to the app.
func (c *conn) bookkeeping(f func() error) error {
	if c.capture != nil {
		c.capture.begins(nil)
	}
	id, changes, total := c.c.LastInsertRowID(), c.changes(), c.c.TotalChanges()
	defer func() {
		c.c.SetLastInsertRowID(id)
		c.kept, c.keptIsLast = changes, true
		c.hidden += c.c.TotalChanges() - total
	}()
	return f()
}
