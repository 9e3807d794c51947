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
}

// A version before goes on with tables of a later one, where that one says so.
func TestOpen_laterTables(t *testing.T) {
	url := pgtest.Database(t)
	s := open(t, url)
	exec(t, url, `ALTER TABLE heddle.log ADD COLUMN later bytea`)
	exec(t, url, `UPDATE heddle.format SET version = 99`)
	for _, s := range []*pgstore.Store{s, open(t, url)} {
		e := wire.Entry{Seq: 1, Client: wire.ClientID{1}, Counter: 1}
		w := &logstore.WriteSet{Base: wire.Position{Epoch: wire.Epoch{1}}, Entries: []wire.Entry{e}}
		w.Head = wire.Position{Epoch: wire.Epoch{1}, Seq: 1}
		name := fmt.Sprintf("%p", s)
		if err := errors.Join(s.Create(t.Context(), name, wire.Epoch{1}), s.Commit(t.Context(), name, w)); err != nil {
			t.Error(err)
		}
	}
	exec(t, url, `UPDATE heddle.format SET least = 98`)
	if _, err := pgstore.Open(t.Context(), pgstore.Options{URL: url}); err == nil ||
		!strings.Contains(err.Error(), "format 99") {
		t.Errorf("tables that it does not know: got %v", err)
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

// Hints by NOTIFY; an operator may end the connection that listens.
func TestHints(t *testing.T) {
	storetest.RunHints(t, func(t *testing.T) *storetest.HintsSubject {
		url := pgtest.Database(t)
		return &storetest.HintsSubject{
			Open: func() logstore.Hints { return pgstore.HintsOf(open(t, url)) },
			Interrupt: func() {
				exec(t, url, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
					WHERE datname = current_database() AND query LIKE 'LISTEN%'`)
			},
		}
	})
}

// A store without LISTEN and NOTIFY: its commits are told by others.
func TestOpen_withHints(t *testing.T) {
	told := &told{hints: make(chan logstore.Hint, 10)}
	s, err := pgstore.Open(t.Context(), pgstore.Options{URL: pgtest.Database(t), Hints: told})
	if err != nil {
		t.Fatal(err)
	}
	e := wire.Entry{Seq: 1, Client: wire.ClientID{1}, Counter: 1, BodyHash: wire.HashBody(nil)}
	e.Chain = e.ChainAfter(wire.Hash{})
	w := &logstore.WriteSet{Base: wire.Position{Epoch: wire.Epoch{1}}, Entries: []wire.Entry{e}}
	w.Head, w.Digest = wire.Position{Epoch: wire.Epoch{1}, Seq: 1, Chain: e.Chain}, wire.Hash{5}
	if err := errors.Join(s.Create(t.Context(), "s", wire.Epoch{1}), s.Commit(t.Context(), "s", w),
		s.Kick(t.Context(), "s"), s.Delete(t.Context(), "s"), s.Close(), s.Close()); err != nil {
		t.Fatal(err)
	}
	close(told.hints)
	if h := <-told.hints; h.Seq != 1 || h.News == nil || h.News.Head() != w.Head || h.News.Digest != w.Digest ||
		!h.News.Proven() {
		t.Errorf("a commit: got %+v", h)
	}
	for range 2 {
		if h := <-told.hints; h.Space != "s" || h.Seq != 0 || h.News != nil {
			t.Errorf("got %+v", h)
		}
	}
	if told.closed != 1 {
		t.Errorf("closed %d times", told.closed)
	}
}

// told are hints that keep what is sent.
type told struct {
	logstore.Hints
	hints  chan logstore.Hint
	closed int
}

func (o *told) Send(h logstore.Hint) { o.hints <- h }
func (o *told) Close() error         { o.closed++; return nil }
