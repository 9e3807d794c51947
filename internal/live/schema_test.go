package live

import (
	"context"
	"reflect"
	"strings"
	"testing"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/store"
	"heddle.dev/heddle/internal/store/storetest"
)

// TestEngine_renamedColumns: receivers keep rows by their columns' names, so a
// result whose names differ comes whole.
func TestEngine_renamedColumns(t *testing.T) {
	db, e := open(t)
	exec(t, db, `INSERT INTO log VALUES(1), (2)`)
	s := newSink(t)
	if _, err := e.Subscribe(context.Background(), `SELECT * FROM log`, store.Params{}, s); err != nil {
		t.Fatal(err)
	}
	s.wait(t)
	exec(t, db, `ALTER TABLE log RENAME COLUMN x TO y`)
	s.wait(t)
	exec(t, db, `ALTER TABLE log ADD COLUMN z DEFAULT 3`)
	s.wait(t)
	exec(t, db, `UPDATE log SET z = 4 WHERE y = 1`) // the new column is watched
	s.wait(t)
	s.mu.Lock()
	defer s.mu.Unlock()
	if u := s.updates[1]; !u.Reset || !reflect.DeepEqual(u.Columns, []string{"y"}) || len(u.Runs) != 1 || u.Runs[0].Copy ||
		u.Runs[0].N != 2 {
		t.Errorf("after RENAME COLUMN: %+v", u)
	}
	if u := s.updates[2]; !u.Reset || !reflect.DeepEqual(u.Columns, []string{"y", "z"}) {
		t.Errorf("after ADD COLUMN: %+v", u)
	}
	if want := [][]store.Value{{int64(1), int64(4)}, {int64(2), int64(3)}}; !reflect.DeepEqual(s.rows, want) ||
		s.updates[3].Reset {
		t.Errorf("got %v, %+v", s.rows, s.updates[3])
	}
}

// TestEngine_temporaryTables: their changes are not announced, so a live query
// says at once that it does not see them.
func TestEngine_temporaryTables(t *testing.T) {
	for _, single := range []bool{false, true} {
		db, err := store.Open(context.Background(), store.Options{Filename: storetest.File(t), Migrations: []string{schema},
			SingleConn: single})
		if err != nil {
			t.Fatal(err)
		}
		e := New(db)
		t.Cleanup(func() { e.Close(); db.Close() })
		exec(t, db, `CREATE TEMP TABLE cart(a)`)
		for _, sql := range []string{
			`SELECT * FROM cart`,
			`SELECT * FROM temp.cart`,
			`SELECT count(*) FROM cart`,
			`SELECT * FROM notes WHERE id IN (SELECT a FROM cart)`,
			`SELECT name FROM sqlite_temp_schema`,
		} {
			_, err := e.Subscribe(context.Background(), sql, store.Params{}, newSink(t))
			if errcode.Of(err) != errcode.Unsupported || !strings.Contains(err.Error(), "temporary") {
				t.Errorf("%s: got %v", sql, err)
			}
		}
		s := newSink(t)
		if _, err := e.Subscribe(context.Background(), `SELECT count(*) FROM notes`, store.Params{}, s); err != nil {
			t.Error(err)
		}
		s.wait(t)
	}
}
