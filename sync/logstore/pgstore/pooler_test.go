package pgstore_test

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"heddle.dev/heddle/internal/await"
	"heddle.dev/heddle/sync/logstore"
	"heddle.dev/heddle/sync/logstore/pgstore"
	"heddle.dev/heddle/sync/logstore/pgstore/pgtest"
	"heddle.dev/heddle/sync/logstore/storetest"
)

// pooled returns a database, by a pooler in transaction mode, and by itself.
func pooled(t *testing.T) (pooler, direct string) {
	t.Helper()
	direct = pgtest.Database(t)
	var ignored []string
	for name := range pgstore.Settings {
		ignored = append(ignored, name)
	}
	slices.Sort(ignored)
	return pgtest.Pooler(t, direct, strings.Join(ignored, ",")) + "&default_query_exec_mode=exec", direct
}

// The suite of every store by a pooler in transaction mode, with hints that do not come
// by it.
func TestStore_pooler(t *testing.T) {
	storetest.Run(t, func(t *testing.T) *storetest.Subject {
		pooler, direct := pooled(t)
		open := func() logstore.Store {
			hints, err := pgstore.OpenHints(direct, nil)
			if err != nil {
				t.Fatal(err)
			}
			s, err := pgstore.Open(t.Context(), pgstore.Options{URL: pooler, Hints: hints})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { s.Close() })
			return s
		}
		subject := &storetest.Subject{Store: open()}
		subject.Reopen = func() logstore.Store {
			if err := subject.Store.Close(); err != nil {
				t.Error(err)
			}
			return open()
		}
		return subject
	})
}

// By the pooler itself nobody hears anything: who watches is told so, and what to do.
func TestWatch_pooler(t *testing.T) {
	pooler, direct := pooled(t)
	s := open(t, pooler)
	deaf := make(chan error, 1)
	go func() { deaf <- s.Watch(t.Context(), func(logstore.Hint) {}) }()
	if err := await.Event(t, deaf, "the end of a watch"); !errors.Is(err, logstore.ErrUnavailable) ||
		!strings.Contains(err.Error(), "a pooler") {
		t.Errorf("got %v", err)
	}
	// Its hints reach others all the same.
	heard := make(chan logstore.Hint, 10)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go open(t, direct).Watch(ctx, func(h logstore.Hint) { heard <- h })
	await.Event(t, heard, "the beginning of a watch")
	pgstore.HintsOf(s).Send(logstore.Hint{Space: "s", Seq: 1})
	if h := await.Event(t, heard, "a hint"); h.Space != "s" || h.Seq != 1 {
		t.Errorf("got %+v", h)
	}
}

// The documentation has the list for PgBouncer.
func TestSettings_documented(t *testing.T) {
	page, err := os.ReadFile("../../../docs/SCALING.md")
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range pgstore.Settings {
		if name == "application_name" {
			continue // PgBouncer knows it
		}
		if !strings.Contains(string(page), "ALTER ROLE heddle SET "+name+" = '"+value+"'") {
			t.Errorf("docs/SCALING.md does not set %s = %s", name, value)
		}
	}
}
