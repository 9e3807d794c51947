package server_test

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"heddle.dev/heddle/sync/logstore"
	"heddle.dev/heddle/sync/logstore/storetest"
	"heddle.dev/heddle/sync/server"
	"heddle.dev/heddle/sync/wire"
)

// bus is a store of several servers, whose hints carry commits. fate, if there is one,
// says what becomes of a hint on its way to a server.
type bus struct {
	logstore.Store
	fate func(logstore.Hint) []logstore.Hint

	mu       sync.Mutex
	watchers map[*func(logstore.Hint)]bool
}

func newBus(inner logstore.Store) *bus {
	return &bus{Store: inner, watchers: map[*func(logstore.Hint)]bool{}}
}

func (b *bus) Commit(ctx context.Context, space string, w *logstore.WriteSet) error {
	err := b.Store.Commit(ctx, space, w)
	if err == nil && len(w.Entries) > 0 {
		b.send(logstore.Hint{Space: space, Seq: w.Head.Seq,
			News: &logstore.News{Base: w.Base, Entries: slices.Clone(w.Entries), Digest: w.Digest}})
	}
	return err
}

func (b *bus) send(h logstore.Hint) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for f := range b.watchers {
		hints := []logstore.Hint{h}
		if b.fate != nil {
			hints = b.fate(h)
		}
		for _, h := range hints {
			(*f)(h)
		}
	}
}

func (b *bus) Watch(ctx context.Context, f func(logstore.Hint)) error {
	b.mu.Lock()
	b.watchers[&f] = true
	b.mu.Unlock()
	f(logstore.Hint{})
	<-ctx.Done()
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.watchers, &f)
	return ctx.Err()
}

// A server whose hints carry commits brings them to its streams without reading the
// store; what does not come next, or is not what was hashed, is read.
func TestServers_news(t *testing.T) { synctest.Test(t, testNews) }

func testNews(t *testing.T) {
	b := newBus(storetest.NewModel())
	var reads atomic.Int64
	counting := &storetest.Faulty{Store: b, Fault: func(_ context.Context, call string, after bool) error {
		if call == "Read" && !after {
			reads.Add(1)
		}
		return nil
	}}
	one, other := over(t, b, nil), over(t, counting, nil)
	writer, reader := newAuthor(one, "s", 1), newAuthor(other, "s", 2)
	writer.push(writer.write(body("x", 0))...)
	frames, res := reader.pull(t.Context(), "")
	defer res.Body.Close()
	next(t, frames, reader.take, func(f *wire.Frame) bool { return f.CaughtUp != nil })
	comes := func(n int, read bool) {
		t.Helper()
		synctest.Wait()
		before := reads.Load()
		for i := range n {
			at := reader.at.Seq
			writer.push(writer.write(body("x", i))...)
			next(t, frames, reader.take, func(*wire.Frame) bool { return reader.at.Seq == at+1 })
		}
		if got := reads.Load() > before; got != read {
			t.Errorf("the store was read: %v, want %v", got, read)
		}
		if d := other.digest("s", "").Digest; d != reader.digest.Sum() {
			t.Errorf("the digest is %x, and here %x", d, reader.digest.Sum())
		}
	}
	comes(20, false)
	if got := other.srv.Stats(); got.NewsTotal != 20 {
		t.Errorf("%d commits came whole, want 20", got.NewsTotal)
	}
	for name, spoil := range map[string]func(*logstore.News){
		"another past": func(n *logstore.News) { n.Base.Chain[0]++ },
		"a body":       func(n *logstore.News) { n.Entries[0].Body = []byte("other") },
		"nothing":      func(n *logstore.News) { n.Entries = nil },
	} {
		t.Log(name)
		b.fate = func(h logstore.Hint) []logstore.Hint {
			news := *h.News
			news.Entries = slices.Clone(news.Entries)
			spoil(&news)
			h.News = &news
			return []logstore.Hint{h}
		}
		comes(2, true)
	}
	b.fate = nil
	comes(1, false)
}

// Commits that come whole, and are lost, doubled or late: devices write and follow as
// ever.
func TestServers_newsOutOfOrder(t *testing.T) {
	for name, open := range stores {
		t.Run(name, func(t *testing.T) {
			b := newBus(open(t))
			random := rand.New(rand.NewPCG(1, 2))
			var late []logstore.Hint
			hit := map[string]int{}
			b.fate = func(h logstore.Hint) []logstore.Hint {
				given := late
				late = nil
				switch random.IntN(5) {
				case 0:
					hit["lost"]++
					return given
				case 1:
					hit["doubled"]++
					return append(given, h, h)
				case 2:
					hit["late"]++
					late = []logstore.Hint{h}
					return given
				}
				return append([]logstore.Hint{h}, given...)
			}
			var servers []*harness
			for range 3 {
				servers = append(servers, over(t, b, func(o *server.Options) { o.Recheck = time.Millisecond }))
			}
			followAndWrite(t, servers)
			for _, h := range servers {
				hit["news"] += int(h.srv.Stats().NewsTotal)
			}
			t.Log(hit)
			for _, what := range []string{"lost", "doubled", "late", "news"} {
				if hit[what] == 0 {
					t.Errorf("never hit: %s", what)
				}
			}
		})
	}
}
