package sqlconn

import (
	"heddle.dev/heddle/internal/value"

	"github.com/ncruces/go-sqlite3"
)

// Stmt is a compiled statement with what its compilation told.
type Stmt struct {
	*sqlite3.Stmt
	Effects
	Vacuum bool // it is VACUUM

	sql    string
	names  []string // of the parameters, "" for ?
	simple bool     // the SQL holds this statement alone: it may be cached
}

// Effects is what the authorizer reports of one statement.
type Effects struct {
	ReadsOnly     bool
	Writer        bool   // asks for something that only the writing connection knows
	Schema        bool   // DDL
	Savepoint     string // what it does with one: BEGIN, RELEASE or ROLLBACK; "" if nothing
	SavepointName string
	Temp          bool // it reads a temporary table

	// The columns that it reads and updates of each table of the main schema.
	Reads, Updates map[string]map[string]bool

	functions map[string]bool

	acts bool // it does anything that SQLite asks about
	more bool // it does more than to read and write rows
}

func add(m *map[string]map[string]bool, table, column string) {
	if *m == nil {
		*m = map[string]map[string]bool{}
	}
	cols := (*m)[table]
	if cols == nil {
		cols = map[string]bool{}
		(*m)[table] = cols
	}
	if column != "" {
		cols[column] = true
	}
}

// Scan reads the row that s stands on: INTEGER as int64, REAL as float64, TEXT
// as string, BLOB as []byte (never nil), NULL as nil. dest has one element for
// each column; strings and slices are the caller's to keep.
func Scan(s *sqlite3.Stmt, dest []value.Value) error {
	clear(dest)
	if err := s.Columns(dest...); err != nil {
		return err
	}
	for i, v := range dest {
		if b, ok := v.([]byte); ok && b == nil {
			dest[i] = []byte{}
		}
	}
	return nil
}

// ColumnNames returns the names of a statement's result columns.
func ColumnNames(s *sqlite3.Stmt) []string {
	names := make([]string, s.ColumnCount())
	for i := range names {
		names[i] = s.ColumnName(i)
	}
	return names
}

// stmtCache keeps prepared statements that are not in use. The least recently used
// ones are closed first.
type stmtCache struct {
	list []cached // from the least to the most recently used
}

type cached struct {
	s    *Stmt
	mode Mode
}

const (
	cacheSize = 64

	CacheMaxSQL = 16 << 10 // bytes of a text that is worth keeping
)

func (k *stmtCache) take(sql string, mode Mode) *Stmt {
	for i := len(k.list) - 1; i >= 0; i-- {
		if e := k.list[i]; e.mode == mode && e.s.sql == sql {
			k.list = append(k.list[:i], k.list[i+1:]...)
			return e.s
		}
	}
	return nil
}

func (k *stmtCache) put(s *Stmt, mode Mode) {
	if len(s.sql) > CacheMaxSQL {
		s.Close()
		return
	}
	if len(k.list) >= cacheSize {
		k.list[0].s.Close()
		k.list = append(k.list[:0], k.list[1:]...)
	}
	k.list = append(k.list, cached{s, mode})
}

// ClearCache closes the statements that are not in use: after DDL, what was noted of
// them may be wrong.
func (c *Conn) ClearCache() {
	for _, e := range c.cache.list {
		e.s.Close()
	}
	c.cache.list = nil
}

// Cached takes a statement out of the cache, nil if it is not there.
func (c *Conn) Cached(sql string, mode Mode) *Stmt { return c.cache.take(sql, mode) }

// NumParams is how many parameters the statement has.
func (s *Stmt) NumParams() int { return len(s.names) }
