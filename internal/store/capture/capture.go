// Package capture follows a transaction by SQLite's pre-update hook: it tells the net
// difference of each synced row, and which keys and columns of the other tables were
// touched.
//
// It is used inside SQLite, in the words of package store.
package capture

import (
	"heddle.dev/heddle/internal/store/schema"
	"heddle.dev/heddle/internal/store/sqlconn"
	"heddle.dev/heddle/internal/store/sqlerr"
	"heddle.dev/heddle/internal/value"

	"github.com/ncruces/go-sqlite3"
)

// Change is the net difference that a transaction made to one row.
type Change struct {
	Table *schema.Table
	Key   []value.Value // values of the columns Table.Key, or the rowid if there are none
	// Before and After hold a value for each of Table.Columns. A missing row
	// is nil. A changed key is two changes: a delete and an insert.
	Before, After []value.Value
	// Reinserted says that the row was deleted and inserted again under its
	// key (also by INSERT OR REPLACE): it travels as a whole.
	Reinserted bool
}

// Capture follows one transaction. The pre-update hook only notes which rows were
// touched: events alone would be wrong, since a failed statement or ROLLBACK TO
// reverts rows without an event.
//
// https://sqlite.org/c3ref/preupdate_blobwrite.html
type Capture struct {
	schema    *schema.Schema
	c         *sqlconn.Conn
	tally     Tally // nil if the engine has none
	opts      Options
	recording bool // the recorder writes: nothing is captured whole any more
	undone    bool // a statement failed or a savepoint was rolled back: what was noted may not have happened
	tables    map[string]*touched
	order     []*touched
	lastName  string
	last      *touched
	touches   int // rows noted so far, over all tables captured whole
	tallied   tallied
	err       error
}

// touched is what the hook saw of one table.
type touched struct {
	t          *schema.Table
	full       bool
	rows       map[int64]int  // by rowid, index in list
	keys       map[string]int // the same of WITHOUT ROWID tables, by encoded key
	list       []touch
	large      bool            // the commit does not carry its rows
	imageBytes int             // of what was noted for that
	moved      [][]value.Value // keys of rows that are as they were, at another rowid
	keysOnly   keysOnly
}

// touch is a row of a table captured whole.
type touch struct {
	seq     int // order of first touch over all tables
	rowid   int64
	key     []value.Value // WITHOUT ROWID alone
	before  []value.Value // image at the first touch, nil if there was no row
	after   []value.Value // filled before COMMIT
	deleted bool          // a DELETE was seen, so that a present row was inserted again
}

// Options of a capture.
type Options struct {
	Local bool // rows of synced tables are captured whole, for the log
	Rows  bool // the commit carries the rows that differ, as long as they are few: TableCommit.Rows
}

// New follows the transaction that c has begun.
func New(c *sqlconn.Conn, tally Tally, s *schema.Schema, opts Options) *Capture {
	if tally != nil {
		tally.Clear()
	}
	return &Capture{schema: s, c: c, tally: tally, opts: opts, tables: map[string]*touched{}}
}

// table returns what was noted of the named table, nil if it is not followed.
func (cp *Capture) table(name string) *touched {
	if name == cp.lastName {
		return cp.last
	}
	tt, ok := cp.tables[name]
	if !ok {
		if t := cp.schema.Owner(name); t != nil {
			if tt = cp.byTable(t); tt == nil {
				tt = &touched{t: t, full: cp.opts.Local && t.Synced && !t.Virtual, large: !cp.opts.Rows}
				cp.order = append(cp.order, tt)
			}
		}
		cp.tables[name] = tt
	}
	cp.lastName, cp.last = name, tt
	return tt
}

// byTable finds what was noted of t: all shadow tables of a virtual one share it.
func (cp *Capture) byTable(t *schema.Table) *touched {
	for _, tt := range cp.order {
		if tt.t == t || tt.t.Name == t.Name {
			return tt
		}
	}
	return nil
}

// PreUpdate is the hook.
func (cp *Capture) PreUpdate(d sqlite3.PreUpdateData) {
	if cp.err != nil || d.Schema != "main" {
		return
	}
	tt := cp.table(d.Table)
	if tt == nil {
		return
	}
	defer func() {
		if r := recover(); r != nil {
			cp.err = sqlerr.Recovered(r)
		}
	}()
	cp.drain()
	switch {
	case tt.t.Virtual:
		tt.keysOnly.more++
		tt.keysOnly.insertOrDelete = true
		cp.tallyLike(tt, &d, false)
	case !tt.full || cp.recording:
		cp.noteKeysOnly(tt, &d)
		cp.noteImage(tt, &d)
	case tt.t.WithoutRowID:
		cp.noteKey(tt, &d)
	default:
		cp.noteRow(tt, &d)
	}
}

// noteRow notes a row of a rowid table. An insert costs no reading at all: the
// rowid is what the hook is called with.
func (cp *Capture) noteRow(tt *touched, d *sqlite3.PreUpdateData) {
	cp.noteTouch(tt, d)
	if d.Op == sqlite3.AUTH_INSERT && len(tt.list) >= TallyAfter {
		cp.tallyLike(tt, d, true)
	}
}

func (cp *Capture) noteTouch(tt *touched, d *sqlite3.PreUpdateData) {
	if tt.rows == nil {
		tt.rows = map[int64]int{}
	}
	if d.Op != sqlite3.AUTH_INSERT {
		i, seen := tt.rows[d.OldRowID]
		if !seen {
			i = cp.first(tt, touch{rowid: d.OldRowID, before: cp.row(tt.t, d.Old)})
			tt.rows[d.OldRowID] = i
		}
		if d.Op == sqlite3.AUTH_DELETE && d.BlobWrite() < 0 {
			tt.list[i].deleted = true
		}
	}
	if d.Op != sqlite3.AUTH_DELETE {
		cp.noteNew(tt, d.NewRowID)
	}
}

// noteNew notes a rowid that will have a row.
func (cp *Capture) noteNew(tt *touched, rowid int64) {
	if _, seen := tt.rows[rowid]; !seen {
		tt.rows[rowid] = cp.first(tt, touch{rowid: rowid})
	}
}

// noteKey notes a row of a WITHOUT ROWID table, whose rowids mean nothing.
func (cp *Capture) noteKey(tt *touched, d *sqlite3.PreUpdateData) {
	if tt.keys == nil {
		tt.keys = map[string]int{}
	}
	var buf [64]byte
	if d.Op != sqlite3.AUTH_INSERT {
		key := cp.key(tt.t, d.Old)
		enc := value.AppendAll(buf[:0], key)
		i, seen := tt.keys[string(enc)]
		if !seen {
			i = cp.first(tt, touch{key: key, before: cp.row(tt.t, d.Old)})
			tt.keys[string(enc)] = i
		}
		if d.Op == sqlite3.AUTH_DELETE && d.BlobWrite() < 0 {
			tt.list[i].deleted = true
		}
	}
	if d.Op != sqlite3.AUTH_DELETE {
		key := cp.key(tt.t, d.New)
		enc := value.AppendAll(buf[:0], key)
		if _, seen := tt.keys[string(enc)]; !seen {
			tt.keys[string(enc)] = cp.first(tt, touch{key: key})
		}
	}
}

func (cp *Capture) first(tt *touched, t touch) int {
	t.seq = cp.touches
	cp.touches++
	tt.list = append(tt.list, t)
	return len(tt.list) - 1
}

// row copies a row's image out of the hook: values there die with the call.
func (cp *Capture) row(t *schema.Table, get func(int) (sqlite3.Value, error)) []value.Value {
	row := make([]value.Value, len(t.CIDs))
	for i, cid := range t.CIDs {
		row[i] = cp.value(cid, get)
	}
	return row
}

// key copies the values of t's key.
func (cp *Capture) key(t *schema.Table, get func(int) (sqlite3.Value, error)) []value.Value {
	key := make([]value.Value, len(t.Key))
	for i, col := range t.Key {
		key[i] = cp.value(t.CIDs[col], get)
	}
	return key
}

func (cp *Capture) value(cid int, get func(int) (sqlite3.Value, error)) value.Value {
	v, err := get(cid)
	if err != nil {
		if cp.err == nil {
			cp.err = err
		}
		return nil
	}
	switch v.Type() {
	case sqlite3.INTEGER:
		return v.Int64()
	case sqlite3.FLOAT:
		return v.Float()
	case sqlite3.TEXT:
		return v.Text()
	case sqlite3.BLOB:
		return append([]byte{}, v.RawBlob()...)
	default:
		return nil
	}
}

// Undo says that a statement failed or that a savepoint was rolled back: what was
// noted is checked before it is announced.
func (cp *Capture) Undo() { cp.undone = true }

// Record runs f, whose writes are noted by key alone.
func (cp *Capture) Record(f func() error) error {
	cp.recording = true
	if err := f(); err != nil {
		return err
	}
	return cp.err
}

// Tables returns what the transaction did to each table. changes are those that
// Changes has returned.
func (cp *Capture) Tables(changes []Change) (tables []TableCommit, err error) {
	cp.settle()
	for _, tt := range cp.order {
		if cp.undone {
			if err := cp.recheck(tt); err != nil {
				return nil, err
			}
		}
		if tc, ok := tt.event(changes); ok {
			if tc.Rows, tc.AllRows, err = cp.images(tt); err != nil {
				return nil, err
			}
			tables = append(tables, tc)
		}
	}
	return tables, nil
}

// Renew makes the capture look tables up again after DDL. Rows already noted keep
// the table description they were read with: DDL on synced tables is refused outside
// migrations, so theirs has not changed.
func (cp *Capture) Renew(s *schema.Schema) {
	cp.schema = s
	cp.tables = map[string]*touched{}
	cp.lastName, cp.last = "", nil
	for _, tt := range cp.order {
		if t := s.Owner(tt.t.Name); t != nil && !tt.full {
			tt.t, tt.large = t, true
		}
	}
}
