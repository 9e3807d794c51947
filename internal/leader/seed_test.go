package leader

import (
	"path/filepath"
	"reflect"
	"testing"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/rpc"
)

// A database is given its seed once, with what its parameters hold; a seed that
// fails is the error of opening it, and leaves nothing.
func TestLeader_seed(t *testing.T) {
	config := rpc.OpenConfig{Name: "notes", Storage: "persistent", Migrations: []string{notes}}
	env := Env{Filename: "file:" + filepath.ToSlash(filepath.Join(t.TempDir(), "notes.db")), Storage: "best-effort",
		LeaderID: "leader-1", Bounds: unhurried}
	row := rpc.Stmt{SQL: `INSERT INTO notes VALUES('welcome', ?, 1)`, Params: rpc.Params{Positional: []rpc.Value{"Hello"}}}

	config.Seed = []rpc.Stmt{row, row}
	if _, err := Open(t.Context(), config, env); errcode.Of(err) != "SQLITE_CONSTRAINT_PRIMARYKEY" {
		t.Fatalf("a seed that fails: got %v", err)
	}
	config.Seed = []rpc.Stmt{row}
	for i := range 3 {
		l, err := Open(t.Context(), config, env)
		if err != nil {
			t.Fatal(err)
		}
		p := connect(t, l, "a")
		_, rows := p.ask(query("SELECT * FROM notes")).rows()
		want := [][]rpc.Value{{"welcome", "Hello", int64(1)}}
		if i > 0 {
			want = nil
		}
		if len(rows) != len(want) || len(want) > 0 && !reflect.DeepEqual(rows, want) {
			t.Errorf("opened %d times: got %v, want %v", i+1, rows, want)
		}
		p.ask(exec("DELETE FROM notes")).ok()
		p.s.Close()
		if err := l.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}
