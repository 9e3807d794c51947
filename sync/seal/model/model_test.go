package model

import (
	"flag"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"sync"
	"testing"
)

var (
	worlds   = flag.Uint64("model.worlds", 1500, "how many worlds to run")
	oneSeed  = flag.Uint64("model.seed", 0, "the world to print")
	seedBase = flag.Uint64("model.base", 1, "the first seed")
)

// runWorld makes and runs the world of a seed; its kind is the seed's too.
func runWorld(seed uint64, without rule) *world {
	w := newWorld(seed, sort(seed%uint64(sorts)), without)
	w.run(60 + w.random.IntN(80))
	return w
}

// TestWorlds: no rule is broken in any world, and no replica of an honest server stops.
func TestWorlds(t *testing.T) {
	var lock sync.Mutex
	hits, perSort := map[string]int{}, map[string]int{}
	var wait sync.WaitGroup
	workers := uint64(runtime.GOMAXPROCS(0))
	for n := range workers {
		wait.Go(func() {
			for seed := *seedBase + n; seed < *seedBase+*worlds; seed += workers {
				w := runWorld(seed, none)
				lock.Lock()
				perSort[w.sort.String()]++
				for what, n := range w.hits {
					hits[what] += n
				}
				for _, v := range w.violations {
					t.Errorf("seed %d (%s): %s", seed, w.sort, v)
				}
				lock.Unlock()
			}
		})
	}
	wait.Wait()
	t.Logf("worlds: %v", perSort)
	for _, what := range slices.Sorted(maps.Keys(hits)) {
		t.Logf("%8d  %s", hits[what], what)
	}
	for _, what := range mustHit {
		if hits[what] == 0 && *worlds >= 1500 {
			t.Errorf("no world has seen: %s", what)
		}
	}
}

// mustHit are the faults without which the worlds show little.
var mustHit = []string{
	"a database is copied", "a replica takes a fork id", "a device is removed", "a new key",
	"a device is let in by a code", "a request comes late", "a void of the server's",
	"the server is put back to a backup", "an admin's word is told", "a replica obeys an admin's word",
	"a device is let in again", "a replica stops by a head",
	"a replica stops: chain", "a replica stops: link", "a replica stops: fork", "a replica stops: forged",
	"a replica stops: anchor",
	"a snapshot is made", "a maker of a snapshot dies in the middle", "a snapshot is proved", "the log is cut",
	"a new device starts from a snapshot", "a new device takes another snapshot than the first",
	"a new device says that it has begun with a lie", "the server swaps chunks", "the server keeps a chunk back",
	"the server alters a snapshot, or mixes two", "the server leaves a Change out",
	"the server shows the Changes of another history", "a snapshot is signed by another", "a snapshot is not proved",
}

// TestWorlds_one runs the world of -model.seed alone, and prints its log.
func TestWorlds_one(t *testing.T) {
	if *oneSeed == 0 {
		t.Skip("no -model.seed")
	}
	w := runWorld(*oneSeed, none)
	t.Logf("%s, restores %v: %v", w.sort, w.restores, w.violations)
	for i, r := range w.replicas {
		_, is := r.self()
		t.Logf("replica %d: device %d, member %v, client %d, %d entries, pending %v", i, r.device.id, is, r.client,
			len(r.log.entries), r.pending)
		t.Logf("    stopped %q, rolled back %v, by a head %v", r.stopped, r.rolledBack, r.headStop)
	}
	if w.server == nil {
		return
	}
	for _, e := range w.server.l.entries {
		t.Log(e)
	}
}

// TestWorlds_samePath: a seed says all.
func TestWorlds_samePath(t *testing.T) {
	for seed := range uint64(30) {
		a, b := runWorld(seed, none), runWorld(seed, none)
		if got, want := fmt.Sprint(b.hits), fmt.Sprint(a.hits); got != want {
			t.Errorf("seed %d: %s, and then %s", seed, want, got)
		}
	}
}
