package store

import (
	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/value"

	"github.com/ncruces/go-sqlite3"
)

// capture follows one transaction. The pre-update hook only notes which rows were
// touched: events alone would be wrong, since a failed statement or ROLLBACK TO
// reverts rows without an event.
//
// https://sqlite.org/c3ref/preupdate_blobwrite.html
type capture struct {
	db        *DB
	c         *conn
	local     bool
	recording bool // the recorder writes: nothing is captured whole any more
	undone    bool // a statement failed or a savepoint was rolled back: what was noted may not have happened
	tables    map[string]*touched
	order     []*touched
	lastName  string
	last      *touched
	touches   int // rows noted so far, over all tables captured whole
	tallied   tallied
	notified  notified
	err       error
}

// touched is what the hook saw of one table.
type touched struct {
	t        *Table
	full     bool
	rows     map[int64]int  // by rowid, index in list
	keys     map[string]int // the same of WITHOUT ROWID tables, by encoded key
	list     []touch
	moved    [][]Value // keys of rows that are as they were, at another rowid
	keysOnly keysOnly
}

// touch is a row of a table captured whole.
type touch struct {
	seq     int // order of first touch over all tables
	rowid   int64
	key     []Value // WITHOUT ROWID alone
	before  []Value // image at the first touch, nil if there was no row
	after   []Value // filled before COMMIT
	deleted bool    // a DELETE was seen, so that a present row was inserted again
}

func newCapture(db *DB, c *conn, origin Origin) *capture {
	if c.tally != nil {
		c.tally.Clear()
	}
	return &capture{db: db, c: c, local: origin.Kind != Sync, tables: map[string]*touched{}}
}

// table returns what was noted of the named table, nil if it is not followed.
func (cp *capture) table(name string) *touched {
	if name == cp.lastName {
		return cp.last
	}
	tt, ok := cp.tables[name]
	if !ok {
		if t := cp.db.schema.owner(name); t != nil {
			if tt = cp.byTable(t); tt == nil {
				tt = &touched{t: t, full: cp.local && t.Synced && !t.Virtual}
				cp.order = append(cp.order, tt)
			}
		}
		cp.tables[name] = tt
	}
	cp.lastName, cp.last = name, tt
	return tt
}

// byTable finds what was noted of t: all shadow tables of a virtual one share it.
func (cp *capture) byTable(t *Table) *touched {
	for _, tt := range cp.order {
		if tt.t == t || tt.t.Name == t.Name {
			return tt
		}
	}
	return nil
}

// preUpdate is the hook.
func (c *conn) preUpdate(d sqlite3.PreUpdateData) {
	cp := c.capture
	if cp == nil || cp.err != nil || d.Schema != "main" {
		return
	}
	tt := cp.table(d.Table)
	if tt == nil {
		return
	}
	defer func() {
		if r := recover(); r != nil {
			cp.err = recovered(r)
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
	case tt.t.WithoutRowID:
		cp.noteKey(tt, &d)
	default:
		cp.noteRow(tt, &d)
	}
}

// noteRow notes a row of a rowid table. An insert costs no reading at all: the
// rowid is what the hook is called with.
func (cp *capture) noteRow(tt *touched, d *sqlite3.PreUpdateData) {
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
	if d.Op == sqlite3.AUTH_INSERT && len(tt.list) >= tallyAfter {
		cp.tallyLike(tt, d, true)
	}
}

// noteNew notes a rowid that will have a row.
func (cp *capture) noteNew(tt *touched, rowid int64) {
	if _, seen := tt.rows[rowid]; !seen {
		tt.rows[rowid] = cp.first(tt, touch{rowid: rowid})
	}
}

// noteKey notes a row of a WITHOUT ROWID table, whose rowids mean nothing.
func (cp *capture) noteKey(tt *touched, d *sqlite3.PreUpdateData) {
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

func (cp *capture) first(tt *touched, t touch) int {
	t.seq = cp.touches
	cp.touches++
	tt.list = append(tt.list, t)
	return len(tt.list) - 1
}

// row copies a row's image out of the hook: values there die with the call.
func (cp *capture) row(t *Table, get func(int) (sqlite3.Value, error)) []Value {
	row := make([]Value, len(t.cids))
	for i, cid := range t.cids {
		row[i] = cp.value(cid, get)
	}
	return row
}

// key copies the values of t's key.
func (cp *capture) key(t *Table, get func(int) (sqlite3.Value, error)) []Value {
	key := make([]Value, len(t.Key))
	for i, col := range t.Key {
		key[i] = cp.value(t.cids[col], get)
	}
	return key
}

func (cp *capture) value(cid int, get func(int) (sqlite3.Value, error)) Value {
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

// finish is called before COMMIT, inside SQLite. It returns what to announce,
// nil if nothing changed.
func (cp *capture) finish(tx *Tx) (*Commit, error) {
	cp.settle()
	if cp.err != nil {
		return nil, cp.err
	}
	changes, err := cp.changes()
	if err != nil {
		return nil, err
	}
	if r := cp.db.recorder; r != nil && len(changes) > 0 {
		cp.recording = true
		cp.c.held = true
		cp.c.current = nil
		err := cp.c.bookkeeping(func() error { return r.Record(tx, changes) })
		cp.c.held = false
		if err == nil {
			err = cp.err
		}
		if err != nil {
			return nil, err
		}
		if cp.c.c.GetAutocommit() {
			return nil, errcode.New(errcode.Internal, "store: commit", "the recorder ended the transaction")
		}
	}
	cp.settle()
	commit := &Commit{Origin: tx.origin, Schema: tx.schema || cp.c.analyzed}
	for _, tt := range cp.order {
		if cp.undone {
			if err := cp.recheck(tt); err != nil {
				return nil, err
			}
		}
		if tc, ok := tt.event(changes); ok {
			commit.Tables = append(commit.Tables, tc)
		}
	}
	if commit.Notifications = cp.notified.list; len(commit.Tables) == 0 && !commit.Schema &&
		len(commit.Notifications) == 0 {
		return nil, nil
	}
	return commit, nil
}
