package store_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/store"
	"heddle.dev/heddle/internal/store/storetest"

	"github.com/ncruces/go-sqlite3"
)

func openCounter(t *testing.T, single bool) *store.DB {
	db, err := store.Open(context.Background(), store.Options{Filename: storetest.File(t), SingleConn: single,
		Migrations: []string{`CREATE TABLE counter(n INT); INSERT INTO counter VALUES(0)`}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func count(t *testing.T, r *store.ReadTx) (n int64) {
	t.Helper()
	err := r.Query(context.Background(), `SELECT n FROM counter`, store.Params{}, nil, func(s *sqlite3.Stmt) error {
		n = s.ColumnInt64(0)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestReadTx_numberIsTheSnapshots: the commit's number and the rows belong together,
// and the feed has all commits up to it.
func TestReadTx_numberIsTheSnapshots(t *testing.T) {
	for _, single := range []bool{false, true} {
		db := openCounter(t, single)
		feed := db.NewFeed()
		defer feed.Close()
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				for range 100 {
					if _, err := db.Exec(context.Background(), `UPDATE counter SET n = n + 1`, store.Params{}); err != nil {
						t.Error(err)
					}
				}
			})
		}
		last := uint64(0)
		for last < 200 {
			r, err := db.BeginRead(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			for range 2 {
				if n := count(t, r); uint64(n) != r.Commit {
					t.Errorf("single %v: commit %d has %d", single, r.Commit, n)
				}
			}
			for _, c := range feed.Take(r.Commit) {
				if last++; c.Number != last {
					t.Errorf("single %v: got commit %d, want %d", single, c.Number, last)
				}
			}
			if last != r.Commit {
				t.Errorf("single %v: the feed ends with %d before the snapshot of %d", single, last, r.Commit)
			}
			r.Close()
			if t.Failed() {
				break
			}
		}
		wg.Wait()
		if !t.Failed() && !feed.Empty() {
			t.Error("the feed is not empty")
		}
	}
}

// TestReadTx_readsANewSchema: the statements of the connection know of DDL.
func TestReadTx_readsANewSchema(t *testing.T) {
	db := openCounter(t, false)
	for i := range 3 {
		r, err := db.BeginRead(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		var columns []string
		err = r.Query(context.Background(), `SELECT * FROM counter`, store.Params{}, func(c []string) { columns = c },
			func(*sqlite3.Stmt) error { return nil })
		if err != nil || len(columns) != i+1 {
			t.Errorf("got %v, %v", columns, err)
		}
		err = r.Query(context.Background(), `DELETE FROM counter`, store.Params{}, nil, nil)
		if errcode.Of(err) != errcode.Unsupported {
			t.Errorf("a write: got %v", err)
		}
		if r.Lost() {
			t.Error("the snapshot is lost")
		}
		r.Close()
		sql := fmt.Sprintf(`ALTER TABLE counter ADD COLUMN c%d`, i)
		if _, err := db.Exec(context.Background(), sql, store.Params{}); err != nil {
			t.Fatal(err)
		}
	}
}

// TestFeed_isBounded: a feed that nobody reads becomes one commit, which names all
// tables and columns.
func TestFeed_isBounded(t *testing.T) {
	db := openCounter(t, false)
	if _, err := db.Exec(context.Background(), `CREATE TABLE other(a, b); INSERT INTO other VALUES(1, 1)`,
		store.Params{}); err != nil {
		t.Fatal(err)
	}
	feed := db.NewFeed()
	defer feed.Close()
	for i := range 1200 {
		sql := `UPDATE counter SET n = n + 1`
		if i == 3 {
			sql = `UPDATE other SET b = 2`
		}
		if _, err := db.Exec(context.Background(), sql, store.Params{}); err != nil {
			t.Fatal(err)
		}
	}
	commits := feed.Take(db.CommitNumber())
	if len(commits) > 512 || len(commits) == 0 || commits[len(commits)-1].Number != db.CommitNumber() {
		t.Fatalf("got %d commits", len(commits))
	}
	first := commits[0]
	columns := map[string]string{}
	for _, table := range first.Tables {
		columns[table.Table] = fmt.Sprint(table.Columns, table.HasInsertOrDelete, table.AllRows)
	}
	if columns["counter"] != "[n] false false" || columns["other"] != "[b] false false" || first.Schema {
		t.Errorf("got %v", columns)
	}
	if !feed.Empty() {
		t.Error("taken commits stay")
	}
}
