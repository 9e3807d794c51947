package server_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"heddle.dev/heddle/internal/await"
	"heddle.dev/heddle/sync/logstore"
	"heddle.dev/heddle/sync/logstore/pgstore"
	"heddle.dev/heddle/sync/logstore/pgstore/pgtest"
	"heddle.dev/heddle/sync/logstore/sqlitestore"
	"heddle.dev/heddle/sync/logstore/storetest"
	"heddle.dev/heddle/sync/server"
	"heddle.dev/heddle/sync/wire"
)

// stores opens each store that a server can run on.
var stores = map[string]func(t *testing.T) logstore.Store{
	"model": func(*testing.T) logstore.Store { return storetest.NewModel() },
	"postgres": func(t *testing.T) logstore.Store {
		s, err := pgstore.Open(t.Context(), pgstore.Options{URL: pgtest.Database(t)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return s
	},
	"sqlite": func(t *testing.T) logstore.Store {
		s, err := sqlitestore.Open(sqlitestore.Options{Dir: t.TempDir(), Files: 1})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		return s
	},
}

func TestMain(m *testing.M) { os.Exit(pgtest.Run(m)) }

// over starts a server without sockets over a store.
func over(t *testing.T, store logstore.Store, change func(*server.Options)) *harness {
	t.Helper()
	h := &harness{t: t, o: options(t, change)}
	h.o.Store, h.o.Logger = store, nil
	h.o.Limits.Request, h.o.Limits.Decision = await.Long, await.Long
	h.o.Limits.Store = cmp.Or(h.o.Limits.Store, await.Long)
	srv, err := server.New(h.o)
	if err != nil {
		t.Fatal(err)
	}
	h.srv, h.url, h.client = srv, "http://heddle.test", &http.Client{Transport: memory{srv}}
	t.Cleanup(func() {
		if err := srv.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

var errFault = errors.New("the store fails, for the test")

// A fault at each call of the store, before it took effect and after: what was
// acknowledged is there once, and a device that asks again comes to an end.
func TestServer_faultsOfTheStore(t *testing.T) {
	for name, open := range stores {
		t.Run(name, func(t *testing.T) {
			hit := map[string]int{}
			for _, call := range []string{"Create", "Read", "Commit"} {
				for _, after := range []bool{false, true} {
					for n := 1; ; n++ {
						if !runWithFault(t, open(t), call, after, n) {
							break
						}
						hit[fmt.Sprintf("%s, took effect: %v", call, after)]++
					}
				}
			}
			t.Logf("faults hit: %v", hit)
			for _, call := range []string{"Create", "Read", "Commit"} {
				for _, after := range []bool{false, true} {
					if what := fmt.Sprintf("%s, took effect: %v", call, after); hit[what] == 0 {
						t.Errorf("never hit: %s", what)
					}
				}
			}
		})
	}
}

// runWithFault runs two devices' pushes with a fault at the nth call of a kind, and
// reports whether there were as many.
func runWithFault(t *testing.T, inner logstore.Store, call string, after bool, n int) bool {
	t.Helper()
	calls := 0
	store := &storetest.Faulty{Store: inner, Fault: func(_ context.Context, c string, a bool) error {
		if c == call && a == after {
			if calls++; calls == n {
				return errFault
			}
		}
		return nil
	}}
	h := over(t, store, nil)
	authors := []*author{newAuthor(h, "s", 1), newAuthor(h, "s", 2)}
	for i := range 4 {
		for _, a := range authors {
			parts := a.write(body("x", fmt.Sprint(i), fmt.Sprint(a.id[0], i), "y"))
			if i == 2 {
				whole := parts[0]
				parts = []wire.Part{whole, whole}
				for k := range parts {
					parts[k].Index, parts[k].Total = uint32(k), 2
				}
				parts[0].Bytes, parts[1].Bytes = whole.Bytes[:9], whole.Bytes[9:]
				untilOK(a, parts[0])
			}
			untilOK(a, parts...)
		}
	}
	checkLog(t, over(t, inner, nil), map[wire.ClientID]uint64{{1}: 4, {2}: 4})
	return calls >= n
}

// untilOK pushes until it is acknowledged, as a device does.
func untilOK(a *author, parts ...wire.Part) {
	a.h.t.Helper()
	for range 5 {
		res := a.try(parts...)
		data, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil {
			a.h.t.Fatal(err)
		}
		if res.StatusCode == http.StatusOK {
			m, err := wire.UnmarshalPushResponse(data)
			if whole := int(parts[0].Total) == len(parts); err != nil || whole && m.Decided != parts[0].Counter {
				a.h.t.Fatalf("got %+v, %v", m, err)
			}
			return
		}
		if res.StatusCode < 500 {
			e, _ := wire.UnmarshalError(data)
			a.h.t.Fatalf("got %d %+v", res.StatusCode, e)
		}
	}
	a.h.t.Fatal("it is refused again and again")
}

// checkLog demands that each author's transactions are in the log once, in their
// order, and that their fold has the digest that the server tells.
func checkLog(t *testing.T, h *harness, want map[wire.ClientID]uint64) {
	t.Helper()
	late := newAuthor(h, "s", 99)
	late.catchUp()
	found := map[wire.ClientID]uint64{}
	for _, e := range late.log {
		if e.Counter != found[e.Client]+1 {
			t.Errorf("client %x: counter %d after %d", e.Client[:1], e.Counter, found[e.Client])
		}
		found[e.Client] = e.Counter
	}
	for id, n := range want {
		if found[id] != n {
			t.Errorf("client %x: %d in the log, want %d", id[:1], found[id], n)
		}
	}
	if late.digest.Sum() != h.digest("s", "").Digest {
		t.Errorf("the digest is another than that of the log: %+v", h.digest("s", ""))
	}
}

// Several servers over one store: devices write and follow where they like. Hints
// may be lost: then the heads are read.
func TestServers_overOneStore(t *testing.T) {
	for name, open := range stores {
		for _, lost := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, hints lost: %v", name, lost), func(t *testing.T) {
				inner := open(t)
				var hints, moved atomic.Int64
				var servers []*harness
				for range 3 {
					store := &storetest.Faulty{Store: inner,
						Lose: func(logstore.Hint) bool { hints.Add(1); return lost },
						Fault: func(_ context.Context, call string, after bool) error {
							if call == "Commit" && !after {
								moved.Add(1)
							}
							return nil
						}}
					servers = append(servers, over(t, store, func(o *server.Options) {
						if o.Recheck = 0; lost {
							o.Recheck = time.Millisecond
						}
					}))
				}
				followAndWrite(t, servers)
				if hints.Load() == 0 {
					t.Error("no hint was given")
				}
				t.Logf("%d hints, %d commits tried", hints.Load(), moved.Load())
			})
		}
	}
}

// followAndWrite has six devices write to random servers, and two on each follow.
func followAndWrite(t *testing.T, servers []*harness) {
	t.Helper()
	const writers, each = 6, 12
	var group sync.WaitGroup
	var followers []*author
	for i := range 2 * len(servers) {
		f := newAuthor(servers[i%len(servers)], "s", byte(100+i))
		frames, res := f.pull(t.Context(), "")
		defer res.Body.Close()
		next(t, frames, f.take, func(fr *wire.Frame) bool { return fr.CaughtUp != nil })
		followers = append(followers, f)
		group.Go(func() {
			for f.at.Seq < writers*each {
				fr, err := frames.Next()
				if err != nil {
					t.Error(err)
					return
				}
				f.take(fr)
			}
		})
	}
	want := map[wire.ClientID]uint64{}
	for i := range writers {
		want[wire.ClientID{byte(i + 1)}] = each
		group.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(i)))
			a := newAuthor(servers[0], "s", byte(i+1))
			for n := range each {
				a.h = servers[random.IntN(len(servers))]
				untilOK(a, a.write(body("x", n, fmt.Sprint(i), "text"))...)
			}
		})
	}
	group.Wait()
	checkLog(t, servers[0], want)
	for i, f := range followers {
		if f.digest.Sum() != servers[i%len(servers)].digest("s", "").Digest {
			t.Errorf("follower %d has another digest", i)
		}
	}
}

// A server whose memory is of another past than the store never answers from it:
// neither that a device has diverged, nor that it is behind.
func TestServers_oldMemory(t *testing.T) {
	for name, open := range stores {
		t.Run(name, func(t *testing.T) {
			inner := open(t)
			deaf := &storetest.Faulty{Store: inner, Lose: func(logstore.Hint) bool { return true },
				Fault: func(context.Context, string, bool) error { return nil }}
			old, other := over(t, deaf, nil), over(t, inner, nil)
			a, b := newAuthor(old, "s", 1), newAuthor(other, "s", 2)
			a.push(a.write(body("x", "1"))...)
			a.catchUp()
			for i := range 5 {
				b.push(b.write(body("x", i))...)
				a.h = other
				a.push(a.write(body("x", i))...)
			}
			a.catchUp()
			a.h = old // its head is at 1, and it has seen one transaction of a
			if res := a.push(a.write(body("x", 1))...); res.Decided != 7 || res.Head != 12 {
				t.Errorf("got %+v", res)
			}
			a.catchUp()
			if res := a.push(); res.Decided != 7 || res.Head != 12 {
				t.Errorf("a push of nothing: got %+v", res)
			}
			checkLog(t, old, map[wire.ClientID]uint64{{1}: 7, {2}: 5})
		})
	}
}

// A deleted space is refused for good, and its open streams end; kicked ones end and
// come back.
func TestServer_deletedAndKicked(t *testing.T) {
	for name, open := range stores {
		t.Run(name, func(t *testing.T) {
			store := open(t)
			h := over(t, store, func(o *server.Options) { o.Recheck = 10 * time.Millisecond }) // hints may be lost
			a, b := newAuthor(h, "s", 1), newAuthor(h, "s", 2)
			a.push(a.write(body("x", "1"))...)
			ended := func(do func(context.Context, string) error, code string) {
				t.Helper()
				frames, res := b.pull(t.Context(), "")
				defer res.Body.Close()
				next(t, frames, b.take, func(f *wire.Frame) bool { return f.CaughtUp != nil })
				if err := do(t.Context(), "s"); err != nil {
					t.Fatal(err)
				}
				next(t, frames, nil, func(f *wire.Frame) bool { return f.Error != nil && f.Error.Code == code })
			}
			ended(store.Kick, "HEDDLE_CLOSED")
			ended(store.Kick, "HEDDLE_CLOSED")
			a.push(a.write(body("x", "2"))...)
			b.catchUp()
			ended(store.Delete, "HEDDLE_GONE")
			for range 2 {
				h.refused(a.try(a.write(body("x", "3"))...), 410, "HEDDLE_GONE")
				h.refused(h.post("s", "pull", (&wire.PullRequest{}).Marshal()), 410, "HEDDLE_GONE")
				h.refused(h.do("GET", "/v1/spaces/s/digest", nil), 410, "HEDDLE_GONE")
			}
		})
	}
}

// Pushes that wait for one space share a commit, and each keeps its own errors.
func TestPush_shareACommit(t *testing.T) { synctest.Test(t, testShareACommit) }

func testShareACommit(t *testing.T) {
	commits, held := 0, make(chan struct{})
	store := &storetest.Faulty{Store: storetest.NewModel(), Fault: func(_ context.Context, call string, after bool) error {
		if call == "Commit" && after {
			if commits++; commits == 2 {
				<-held // the others come meanwhile
			}
		}
		return nil
	}}
	h := over(t, store, nil)
	first := newAuthor(h, "s", 1)
	first.push(first.write(body("x", "1"))...)
	var group sync.WaitGroup
	group.Go(func() { first.push(first.write(body("x", "2"))...) })
	synctest.Wait()
	const others = 20
	for i := range others {
		group.Go(func() {
			a := newAuthor(h, "s", byte(2+i))
			if i == 3 { // an error of its own
				a.at = wire.Position{Epoch: wire.Epoch{9}, Seq: 7}
				h.refused(a.try(a.write(body("y", i))...), 409, "HEDDLE_DIVERGED")
			} else if res := a.push(a.write(body("y", "1", fmt.Sprint(i), "z"))...); res.Decided != 1 {
				t.Errorf("got %+v", res)
			}
		})
	}
	synctest.Wait()
	close(held)
	group.Wait()
	if commits != 3 {
		t.Errorf("%d commits, want 3", commits)
	}
	checkLog(t, h, map[wire.ClientID]uint64{{1}: 2, {2}: 1, {6}: 1})
	if d := h.digest("s", ""); d.Seq != 2+others-1 {
		t.Errorf("%d entries", d.Seq)
	}
}
