package sim

import (
	"encoding/binary"
	"flag"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"heddle.dev/heddle/sync/wire"
)

// manner says how a seed is run.
type manner struct {
	mutant     string // something is broken on purpose
	settings   string // changes of the profile: see profile.set
	verbose    bool   // the trace is kept
	trueClocks bool   // the wall clocks of devices are right, and not years off
}

// sim is one run.
type sim struct {
	manner
	seed    uint64
	p       profile
	began   time.Time
	healed  chan struct{} // closed when the faults end
	stop    chan struct{} // closed at the first violation
	model   *model
	modelMu sync.Mutex
	srv     *host
	app     *app
	keys    *keys // nil in a plain space
	devices []*device
	present []*device      // those that have come to be; set when the faults have ended
	actors  sync.WaitGroup // devices and the host, until the faults end
	group   sync.WaitGroup // all else

	mu         sync.Mutex
	calm       bool
	hash       uint64
	trace      []string
	instant    time.Duration // that of the lines below
	lines      []string
	hits       map[string]int
	tallies    map[string]int
	names      map[wire.ClientID]string
	violations []string
	stuck      bool
	healing    time.Duration

	wordForOthers time.Duration // when an admin that has lost nothing says so for others
}

// healBound is how long after the last fault all must be the same.
const healBound = 10 * time.Minute

// result is what is left of a run.
type result struct {
	hash       uint64
	trace      []string
	hits       map[string]int
	tallies    map[string]int
	violations []string
	stuck      bool
	virtual    time.Duration
	healing    time.Duration
}

// simulate runs a seed.
func simulate(t *testing.T, seed uint64, how manner) (res result) {
	synctest.Test(t, func(t *testing.T) {
		s := &sim{seed: seed, manner: how, began: time.Now(), healed: make(chan struct{}), stop: make(chan struct{}),
			hits: map[string]int{}, tallies: map[string]int{}, names: map[wire.ClientID]string{}}
		s.run()
		s.flush()
		res = result{s.hash, s.trace, s.hits, s.tallies, s.violations, s.stuck, time.Since(s.began), s.healing}
	})
	return res
}

func (s *sim) run() {
	s.p = drawProfile(s.rng("profile"))
	s.p.sealed = s.rng("sealed").IntN(4) == 0
	if err := s.p.set(s.settings); err != nil {
		s.violate("-sim.set: %v", err)
		return
	}
	s.app = newApp(s.rng("app"))
	if s.p.sealed {
		s.hit("sealed space")
		var err error
		if s.keys, err = newKeys(s, s.p.devices); err != nil {
			s.violate("the keys: %v", err)
			return
		}
	}
	s.model = newModel(s)
	s.srv = newHost(s)
	if err := s.srv.start(); err != nil {
		s.violate("the server does not start: %v", err)
		return
	}
	for i := range s.p.devices {
		s.devices = append(s.devices, newDevice(s, i))
	}
	for range s.p.copies {
		s.devices = append(s.devices, newCopy(s, len(s.devices)))
	}
	s.actors.Go(s.srv.run)
	for _, d := range s.devices {
		s.actors.Go(d.live)
	}
	select {
	case <-time.After(s.p.duration):
	case <-s.stop:
	}
	s.mu.Lock()
	s.calm = true
	s.mu.Unlock()
	close(s.healed)
	s.event("all faults end")
	s.actors.Wait()
	all := s.devices
	s.present = slices.DeleteFunc(slices.Clone(all), (*device).absent)
	if !s.failed() {
		s.settle()
	}
	for _, d := range all {
		d.end()
	}
	s.srv.down("killed")
	s.group.Wait()
}

// settle waits until nothing is left to do, and compares.
func (s *sim) settle() {
	healed := time.Now()
	s.wordForOthers = 3 * time.Minute
	for _, final := range []bool{false, true} {
		if final {
			for _, d := range s.present {
				d.upgradeTo(len(s.app.versions))
			}
			if s.failed() {
				return
			}
		}
		for !s.quiet() {
			if s.failed() {
				return
			}
			if time.Since(healed) > healBound {
				s.mu.Lock()
				s.stuck = true
				s.mu.Unlock()
				for _, d := range s.present {
					s.event("stuck: device %d is %+v, %v", d.id, d.c.Status(), d.c.Status().LastError)
				}
				return
			}
			time.Sleep(100 * time.Millisecond)
			s.consents(time.Since(healed))
		}
		for _, d := range s.present {
			d.check(true)
		}
		if !final {
			s.healing = time.Since(healed)
		}
	}
	if s.failed() {
		return
	}
	s.compare()
}

// quiet reports whether every device is live at the log's end with nothing
// pending.
func (s *sim) quiet() bool {
	s.srv.read()
	for _, d := range s.present {
		if st := d.c.Status(); st.State != "live" || st.Pending != 0 || st.Seq != s.model.at.Seq {
			return false
		}
	}
	return true
}

// rng returns a source that depends on the seed and on what it is for alone.
func (s *sim) rng(what string, more ...uint64) *rand.Rand {
	h := fnv.New64a()
	h.Write([]byte(what))
	for _, n := range more {
		h.Write(binary.LittleEndian.AppendUint64(nil, n))
	}
	return rand.New(rand.NewPCG(s.seed, h.Sum64()))
}

func fnv64(s string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(s))
	return h.Sum64()
}

// delay is how long something takes on the way.
func (s *sim) delay(r *rand.Rand) time.Duration {
	d := time.Millisecond + time.Duration(r.ExpFloat64()*float64(s.p.slow)/4)
	if r.IntN(50) == 0 {
		d *= 20
	}
	if s.isCalm() {
		return time.Millisecond + d%(50*time.Millisecond)
	}
	return min(d, 2*time.Minute)
}

var netFaults = []string{
	"blackhole", "refused", "busy proxy", "portal", "repeated", "reply lost", "reply never comes", "cut short",
	"cut with an end",
}

// fault is what becomes of a request, "" if nothing bad.
func (s *sim) fault(r *rand.Rand) string {
	hit, kind := r.IntN(100) < s.p.faults, netFaults[r.IntN(len(netFaults))]
	if !hit || s.isCalm() || s.p.off(kind) {
		return ""
	}
	return kind
}

func (s *sim) isCalm() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calm
}

func (s *sim) spawn(f func()) { s.group.Go(f) }

// later runs f after a while, unless the run ends before.
func (s *sim) later(d time.Duration, f func()) {
	s.spawn(func() {
		time.Sleep(d)
		f()
	})
}

// event writes a line of the trace.
func (s *sim) event(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := time.Since(s.began); now != s.instant {
		s.flush()
		s.instant = now
	}
	s.lines = append(s.lines, line)
}

// flush closes an instant. What several goroutines do in one has no order, so
// its lines are sorted.
func (s *sim) flush() {
	slices.Sort(s.lines)
	for _, line := range s.lines {
		line = fmt.Sprintf("%14v %s", s.instant, line)
		s.hash = (s.hash ^ fnv64(line)) * 1099511628211
		if s.verbose {
			s.trace = append(s.trace, line)
		}
	}
	s.lines = s.lines[:0]
}

// hit counts a fault that took place.
func (s *sim) hit(fault string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hits[fault]++
}

func (s *sim) tally(what string, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tallies[what] += n
}

// violate notes that a promise was broken, and ends the run.
func (s *sim) violate(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	s.event("VIOLATION %s", text)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.violations = append(s.violations, text); len(s.violations) == 1 {
		close(s.stop)
	}
}

func (s *sim) failed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.violations) > 0
}

func (s *sim) nameOf(id wire.ClientID) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if name, ok := s.names[id]; ok {
		return name
	}
	return fmt.Sprintf("%x", id[:4])
}

// Flags of a long run: see the Makefile.
var (
	seeds    = flag.Int("sim.seeds", 40, "how many seeds to run")
	seedBase = flag.Uint64("sim.base", 1, "the first of them")
	doubles  = flag.Int("sim.doubles", 4, "how many seeds to run twice")
	onlySeed = flag.Uint64("sim.trace", 0, "run this seed alone, and print its trace")
	toShrink = flag.Uint64("sim.shrink", 0, "look for a smaller run of this seed that still fails")
	settings = flag.String("sim.set", "", "change the profiles of all seeds: \"devices=2;faults=0\"")
	broken   = flag.String("sim.mutant", "", "with -sim.trace and -sim.shrink: break this on purpose")
)

// totals are the sums over the seeds.
type totals struct {
	mu         sync.Mutex
	seeds      int
	virtual    time.Duration
	healing    []time.Duration
	hits       map[string]int
	tallies    map[string]int
	violations int
	stuck      int
}

func (tt *totals) add(res result) {
	tt.mu.Lock()
	defer tt.mu.Unlock()
	tt.seeds++
	tt.virtual += res.virtual
	tt.healing = append(tt.healing, res.healing)
	for k, n := range res.hits {
		tt.hits[k] += n
	}
	for k, n := range res.tallies {
		tt.tallies[k] += n
	}
	if len(res.violations) > 0 {
		tt.violations++
	} else if res.stuck {
		tt.stuck++
	}
}

func TestSimulation(t *testing.T) {
	how := manner{mutant: *broken, settings: *settings}
	if *toShrink != 0 {
		f, err := shrink(t, *toShrink, how, math.MaxInt, func(line string) { fmt.Println(line) })
		if err != nil {
			t.Fatal(err)
		}
		fmt.Println(f)
		return
	}
	if *onlySeed != 0 {
		how.verbose = true
		res := simulate(t, *onlySeed, how)
		fmt.Println(strings.Join(res.trace, "\n"))
		if len(res.violations) > 0 || res.stuck {
			t.Errorf("seed %d: %q, stuck %v", *onlySeed, res.violations, res.stuck)
		}
		return
	}
	all := &totals{hits: map[string]int{}, tallies: map[string]int{}}
	t.Cleanup(func() { all.print(t) })
	for i := range uint64(*seeds) {
		seed := *seedBase + i
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			res := simulate(t, seed, manner{settings: *settings})
			all.add(res)
			for _, v := range res.violations {
				t.Errorf("seed %d: %s", seed, v)
			}
			if res.stuck && len(res.violations) == 0 {
				t.Errorf("seed %d: stuck %v after the last fault", seed, healBound)
			}
		})
	}
}

// TestSimulation_doublecheck runs seeds twice, the second time with wall clocks
// that are right: the traces are the same, line by line, or a seed would not bring
// a failure back, or something would depend on what a device takes for the time.
func TestSimulation_doublecheck(t *testing.T) {
	for i := range uint64(*doubles) {
		seed := *seedBase + i
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			one, two := simulate(t, seed, manner{verbose: true}), simulate(t, seed, manner{verbose: true, trueClocks: true})
			for i, line := range one.trace {
				if i >= len(two.trace) || two.trace[i] != line {
					t.Fatalf("line %d differs:\n%s\n%s", i, strings.Join(one.trace[max(0, i-6):i+1], "\n"),
						strings.Join(two.trace[max(0, i-6):min(i+1, len(two.trace))], "\n"))
				}
			}
			if one.hash != two.hash || len(one.trace) < 20 {
				t.Errorf("the traces have the hashes %x and %x, and %d lines", one.hash, two.hash, len(one.trace))
			}
		})
	}
}

// What a run of some seeds has to show beside the faults of the network, and a
// longer one as well.
var (
	mustHit = []string{"sealed space",
		"partition in", "partition out", "server down", "upgraded", "restarted", "device clock off",
		"device killed", "device lost", "device torn", "device reordered",
		"hint lost", "store answer lost", "store refuses", "commit undone"}
	rare = []string{"cut in a snapshot", "commit late", "decided on an old head", "row not new", "server frozen",
		"store restored", "server restarted", "server unplugged", "server restored", "server clock set",
		"server killed", "server lost", "server torn", "server reordered",
		"slow decision", "undecided", "device copied", "new key", "accepted", "sealed log cut"}
)

// print writes the lines that `make sim` shows, and fails where the runs do not
// show what they are for.
func (tt *totals) print(t *testing.T) {
	faults := 0
	for _, n := range tt.hits {
		faults += n
	}
	fmt.Printf("seeds %d\n", tt.seeds)
	fmt.Printf("simulated hours %.1f\n", tt.virtual.Hours())
	fmt.Printf("operations %d\n", tt.tallies["statements"])
	fmt.Printf("faults hit %d\n", faults)
	fmt.Printf("violations %d\n", tt.violations)
	fmt.Printf("stuck %d\n", tt.stuck)
	slices.Sort(tt.healing)
	if n := len(tt.healing); n > 0 {
		t.Logf("from the last fault until all were the same: p50 %v, p95 %v, longest %v", tt.healing[n/2],
			tt.healing[n*95/100], tt.healing[n-1])
	}
	must := append(slices.Clone(netFaults), mustHit...)
	if *settings != "" { // which may leave faults out
		must = nil
	} else if tt.seeds >= 400 {
		must = append(must, rare...)
	}
	for _, fault := range must {
		if tt.seeds >= 40 && tt.hits[fault] == 0 {
			t.Errorf("the fault %q was never hit", fault)
		}
	}
	for _, what := range []string{"rows found quarantined", "rows that migrations did not change", "heads told"} {
		if tt.seeds >= 40 && tt.tallies[what] == 0 {
			t.Errorf("nothing was seen of: %s", what)
		}
	}
	for _, k := range sortedKeys(tt.hits) {
		t.Logf("fault %s: %d", k, tt.hits[k])
	}
	for _, k := range sortedKeys(tt.tallies) {
		t.Logf("%s: %d", k, tt.tallies[k])
	}
}
