package pgstore_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/logstore"
	"heddle.dev/heddle/sync/logstore/pgstore"
	"heddle.dev/heddle/sync/logstore/pgstore/pgtest"
	"heddle.dev/heddle/sync/logstore/storetest"
	"heddle.dev/heddle/sync/wire"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Run(m)) }

// open opens a store on a database, and closes it with the test.
func open(t *testing.T, url string) *pgstore.Store {
	t.Helper()
	s, err := pgstore.Open(t.Context(), pgstore.Options{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// The suite of every store; also without prepared statements, as behind a pooler, and
// where the database is as strict as can be.
func TestStore(t *testing.T) {
	for name, parameters := range map[string]string{
		"usual":        "",
		"exec":         "&default_query_exec_mode=exec",
		"serializable": "&default_transaction_isolation=serializable",
	} {
		t.Run(name, func(t *testing.T) {
			storetest.Run(t, func(t *testing.T) *storetest.Subject {
				url := pgtest.Database(t) + parameters
				subject := &storetest.Subject{Store: open(t, url)}
				subject.Reopen = func() logstore.Store {
					if err := subject.Store.Close(); err != nil {
						t.Error(err)
					}
					return open(t, url)
				}
				return subject
			})
		})
	}
}

// Servers that begin at once make the tables once, and go on with those that are there.
func TestOpen_together(t *testing.T) {
	url := pgtest.Database(t)
	var group sync.WaitGroup
	for range 6 {
		group.Go(func() {
			s, err := pgstore.Open(t.Context(), pgstore.Options{URL: url})
			if err != nil {
				t.Error(err)
				return
			}
			if err := errors.Join(s.Create(t.Context(), "s", wire.Epoch{1}), s.Close()); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if all, err := open(t, url).Spaces(t.Context(), "", 10); err != nil || len(all) != 1 {
		t.Errorf("got %+v, %v", all, err)
	}
	exec(t, url, `UPDATE heddle.format SET version = 99`)
	if _, err := pgstore.Open(t.Context(), pgstore.Options{URL: url}); err == nil ||
		!strings.Contains(err.Error(), "format 99") {
		t.Errorf("tables of a later version: got %v", err)
	}
}

func TestOpen_refuses(t *testing.T) {
	url := pgtest.Database(t)
	for name, test := range map[string]struct{ url, want string }{
		"no URL":               {"host=127.0.0.1", "postgres://"},
		"a parameter":          {url + "&sslmode=perhaps", "sslmode"},
		"commits in memory":    {url + "&synchronous_commit=off", "synchronous_commit"},
		"nobody there":         {"postgres://heddle@127.0.0.1:1/none?sslmode=disable", "connect"},
		"what takes no writes": {url + "&default_transaction_read_only=on", "read only"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := pgstore.Open(t.Context(), pgstore.Options{URL: test.url})
			if err == nil {
				s.Close()
			}
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// exec executes a statement beside the store.
func exec(t *testing.T, url, sql string) {
	t.Helper()
	c, err := pgx.Connect(t.Context(), url)
	if err == nil {
		_, err = c.Exec(t.Context(), sql)
		err = errors.Join(err, c.Close(t.Context()))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// A row that is not what was written is not served.
func TestRead_damagedRow(t *testing.T) {
	url := pgtest.Database(t)
	s := open(t, url)
	id := logstore.RowID{Table: "t", Key: "k"}
	w := &logstore.WriteSet{Base: wire.Position{Epoch: wire.Epoch{1}}}
	w.Head = w.Base
	w.Rows = []logstore.Row{{RowID: id, Cells: []byte("cells")}}
	if err := errors.Join(s.Create(t.Context(), "s", wire.Epoch{1}), s.Commit(t.Context(), "s", w)); err != nil {
		t.Fatal(err)
	}
	exec(t, url, `UPDATE heddle.row SET cells = 'other'`)
	err := s.Read(t.Context(), "s", func(v logstore.View) error {
		for _, err := range v.Scan(logstore.RowID{}, 1) {
			if errcode.Of(err) != errcode.Damaged {
				t.Errorf("scan: got %v", err)
			}
		}
		_, err := v.Rows([]logstore.RowID{id})
		return err
	})
	if errcode.Of(err) != errcode.Damaged {
		t.Errorf("got %v", err)
	}
}

// Hints of one server reach another one, also many at once, and say so where they end.
func TestWatch_others(t *testing.T) {
	url := pgtest.Database(t)
	a, b := open(t, url), open(t, url)
	listening, ended := make(chan struct{}), make(chan error, 1)
	var mu sync.Mutex
	found := map[string]uint64{}
	all := make(chan struct{})
	const spaces = 300
	go func() {
		ended <- b.Watch(t.Context(), func(h logstore.Hint) {
			mu.Lock()
			defer mu.Unlock()
			if h.Space == "" {
				close(listening)
				return
			}
			if found[h.Space] = h.Seq; len(found) == spaces {
				close(all)
			}
		})
	}()
	wait := func(c chan struct{}) {
		t.Helper()
		select {
		case <-c:
		case err := <-ended:
			t.Fatal(err)
		}
	}
	wait(listening)
	var group sync.WaitGroup
	for i := range spaces {
		group.Go(func() {
			name := fmt.Sprintf("%03d%s", i, strings.Repeat("-", wire.MaxSpace-3))
			w := &logstore.WriteSet{Base: wire.Position{Epoch: wire.Epoch{1}}}
			e := wire.Entry{Seq: 1, Client: wire.ClientID{1}, Counter: 1}
			e.Chain = e.ChainAfter(wire.Hash{})
			w.Head = wire.Position{Epoch: wire.Epoch{1}, Seq: 1, Chain: e.Chain}
			w.Entries = []wire.Entry{e}
			if err := errors.Join(a.Create(t.Context(), name, wire.Epoch{1}), a.Commit(t.Context(), name, w)); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	wait(all)
	for name, seq := range found {
		if seq != 1 {
			t.Errorf("%s: got %d", name, seq)
		}
	}
	exec(t, url, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'`)
	if err := <-ended; !errors.Is(err, logstore.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
}
