package capture

import (
	"slices"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/internal/store/schema"
	"heddle.dev/heddle/internal/store/sqlconn"
	"heddle.dev/heddle/internal/value"
)

// MaxKeys bounds the keys that a TableCommit carries.
const MaxKeys = 1000

// TableCommit is what a transaction did to one table. For synced tables of a
// local transaction it is the net difference; otherwise it may name rows that
// ended as they were.
type TableCommit struct {
	Table                      string
	Inserted, Updated, Deleted [][]value.Value // keys as in Change.Key; at most MaxKeys in all
	More                       int             // further rows whose keys are left out
	Columns                    []string        // columns that updates touched; all of them if HasInsertOrDelete
	HasInsertOrDelete          bool
	Of                         *schema.Table // Table, as its rows are described
	Rows                       []RowChange   // the net difference, if AllRows
	AllRows                    bool          // Rows are all rows that differ; else they are too many or too large
}

// keysOnly is what is noted of a table whose rows are not captured: keys of the
// first rows, and the columns.
type keysOnly struct {
	rows           map[string]int // by encoded key, index in list
	list           []rowState
	more           int
	insertOrDelete bool
	allColumns     bool
	columns        map[string]bool
}

// rowState follows one key through the transaction.
type rowState struct {
	key              []value.Value
	existed, present bool
}

// noteKeysOnly notes an event by key, for the first MaxKeys rows of a table.
func (cp *Capture) noteKeysOnly(tt *touched, d *sqlite3.PreUpdateData) {
	k := &tt.keysOnly
	if d.Op == sqlite3.AUTH_UPDATE {
		cp.noteColumns(tt, d)
	} else if d.BlobWrite() >= 0 {
		k.allColumns = true
	} else {
		k.insertOrDelete = true
	}
	if len(k.list) >= MaxKeys {
		k.more++
		cp.tallyKeysOnly(tt, d)
		return
	}
	var old, new []value.Value
	if d.Op != sqlite3.AUTH_INSERT {
		old = cp.hookKey(tt.t, d.Old, d.OldRowID)
	}
	if d.Op != sqlite3.AUTH_DELETE {
		new = cp.hookKey(tt.t, d.New, d.NewRowID)
	}
	if slices.Contains(old, nil) || slices.Contains(new, nil) {
		// Several rows may have such a key: it names none.
		k.more++
		k.insertOrDelete = k.insertOrDelete || !value.EqualAll(old, new)
		return
	}
	switch {
	case old == nil:
		k.state(new, false).present = true
	case new == nil && d.BlobWrite() >= 0:
		k.state(old, true)
	case new == nil:
		k.state(old, true).present = false
	case value.EqualAll(old, new):
		// A rowid that is not the key decides an order all the same.
		k.insertOrDelete = k.insertOrDelete || !tt.t.WithoutRowID && d.OldRowID != d.NewRowID
		k.state(old, true)
	default: // the key changed
		k.insertOrDelete = true
		k.state(old, true).present = false
		k.state(new, false).present = true
	}
}

func (cp *Capture) hookKey(t *schema.Table, get func(int) (sqlite3.Value, error), rowid int64) []value.Value {
	if len(t.Key) == 0 || t.RowIDKey {
		return []value.Value{rowid}
	}
	return cp.key(t, get)
}

func (k *keysOnly) state(key []value.Value, existed bool) *rowState {
	enc := value.AppendAll(nil, key)
	i, ok := k.rows[string(enc)]
	if !ok {
		if k.rows == nil {
			k.rows = map[string]int{}
		}
		i = len(k.list)
		k.rows[string(enc)] = i
		k.list = append(k.list, rowState{key: key, existed: existed, present: existed})
	}
	return &k.list[i]
}

// noteColumns notes which columns an update touches: those that the running
// statement names, else those that differ.
func (cp *Capture) noteColumns(tt *touched, d *sqlite3.PreUpdateData) {
	k := &tt.keysOnly
	if k.allColumns || len(k.columns) == len(tt.t.Columns) {
		return
	}
	if k.columns == nil {
		k.columns = map[string]bool{}
	}
	if s := cp.c.Current; s != nil {
		if named := s.Updates[tt.t.Name]; len(named) > 0 {
			for name := range named {
				k.columns[name] = true
			}
			for i := range tt.t.Columns { // which no statement names
				if col := &tt.t.Columns[i]; col.Generated {
					k.columns[col.Name] = true
				}
			}
			return
		}
	}
	if len(k.list) >= MaxKeys {
		k.allColumns = true
		return
	}
	for i, cid := range tt.t.CIDs {
		name := tt.t.Columns[i].Name
		if !k.columns[name] && !value.Equal(cp.value(cid, d.Old), cp.value(cid, d.New)) {
			k.columns[name] = true
		}
	}
}

// recheck looks which of the noted keys are there.
func (cp *Capture) recheck(tt *touched) error {
	where := tt.t.WhereKey()
	if len(tt.keysOnly.list) == 0 || where == "" {
		return nil
	}
	return cp.with("SELECT 1 FROM main."+sqlite3.QuoteIdentifier(tt.t.Name)+" WHERE "+where, func(s *sqlconn.Stmt) error {
		for i := range tt.keysOnly.list {
			e := &tt.keysOnly.list[i]
			if err := s.Bind(value.Params{Positional: e.key}); err != nil {
				return err
			}
			e.present = s.Step()
			if err := s.Reset(); err != nil {
				return err
			}
		}
		return nil
	})
}

// event makes what is announced of a table. changes are the whole transaction's;
// those of other tables are skipped.
func (tt *touched) event(changes []Change) (tc TableCommit, ok bool) {
	t, k := tt.t, &tt.keysOnly
	tc = TableCommit{Table: t.Name, Of: t, More: k.more, HasInsertOrDelete: k.insertOrDelete}
	cols := make([]bool, len(t.Columns))
	n := 0
	add := func(to *[][]value.Value, key []value.Value) {
		if n++; n <= MaxKeys {
			*to = append(*to, key)
		} else {
			tc.More++
		}
	}
	for _, key := range tt.moved {
		add(&tc.Updated, key)
	}
	for i := range changes {
		ch := &changes[i]
		if ch.Table != t {
			continue
		}
		switch {
		case ch.Before == nil:
			add(&tc.Inserted, ch.Key)
			tc.HasInsertOrDelete = true
		case ch.After == nil:
			add(&tc.Deleted, ch.Key)
			tc.HasInsertOrDelete = true
		default:
			add(&tc.Updated, ch.Key)
			for j := range cols {
				cols[j] = cols[j] || !value.Equal(ch.Before[j], ch.After[j])
			}
		}
		if k.rows != nil { // the recorder wrote it too: a key is reported once
			if j, seen := k.rows[string(value.AppendAll(nil, ch.Key))]; seen {
				k.list[j].existed, k.list[j].present = false, false
			}
		}
	}
	for i := range k.list {
		switch e := &k.list[i]; {
		case e.existed && e.present:
			add(&tc.Updated, e.key)
		case e.present:
			add(&tc.Inserted, e.key)
		case e.existed:
			add(&tc.Deleted, e.key)
		}
	}
	if n == 0 && k.more == 0 {
		return tc, false
	}
	for i := range cols {
		if name := t.Columns[i].Name; cols[i] || k.columns[name] || k.allColumns || tc.HasInsertOrDelete {
			tc.Columns = append(tc.Columns, name)
		}
	}
	return tc, true
}
