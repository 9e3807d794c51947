package live

import (
	"context"
	"reflect"
	"testing"

	"heddle.dev/heddle/internal/store"
	"heddle.dev/heddle/internal/store/storetest"
)

// TestEngine_fullText follows a search through the triggers that keep its index.
func TestEngine_fullText(t *testing.T) {
	ctx := context.Background()
	db, err := store.Open(ctx, store.Options{Filename: storetest.File(t), Synced: []string{"notes"}, Migrations: []string{`
		CREATE TABLE notes(id TEXT PRIMARY KEY, body TEXT, done INT);
		CREATE VIRTUAL TABLE found USING fts5(body, content='notes');
		CREATE TRIGGER ai AFTER INSERT ON notes BEGIN INSERT INTO found(rowid, body) VALUES(new.rowid, new.body); END;
		CREATE TRIGGER ad AFTER DELETE ON notes BEGIN INSERT INTO found(found, rowid, body) VALUES('delete', old.rowid,
		old.body); END;
		CREATE TRIGGER au AFTER UPDATE OF body ON notes BEGIN
			INSERT INTO found(found, rowid, body) VALUES('delete', old.rowid, old.body);
			INSERT INTO found(rowid, body) VALUES(new.rowid, new.body);
		END;`}})
	if err != nil {
		t.Fatal(err)
	}
	e := New(db)
	defer db.Close()
	defer e.Close()
	s := newSink(t)
	const sql = `SELECT notes.id FROM found JOIN notes ON notes.rowid = found.rowid WHERE found MATCH ? ORDER BY 1`
	if _, err := e.Subscribe(ctx, sql, store.Args("loom"), s); err != nil {
		t.Fatal(err)
	}
	s.wait(t)
	for _, step := range []struct {
		write string
		want  [][]store.Value
	}{
		{`INSERT INTO notes VALUES('a', 'a loom', 0), ('b', 'a shuttle', 0)`, [][]store.Value{{"a"}}},
		{`UPDATE notes SET body = 'the other loom' WHERE id = 'b'`, [][]store.Value{{"a"}, {"b"}}},
		{`DELETE FROM notes WHERE id = 'a'`, [][]store.Value{{"b"}}},
	} {
		exec(t, db, step.write)
		s.wait(t)
		if !reflect.DeepEqual(s.rows, step.want) {
			t.Errorf("%s: got %v, want %v", step.write, s.rows, step.want)
		}
	}
	e.settle(t)
	before := e.runCount()
	exec(t, db, `UPDATE notes SET done = 1`)
	e.settle(t)
	if e.runCount() != before {
		t.Error("a column that the search does not read made it run")
	}
}
