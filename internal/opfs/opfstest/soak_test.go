//go:build !js

package opfstest

import (
	"flag"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

var (
	soakImages = flag.Int("soak.images", 0, "TestSoak: images of a power loss, over all modes")
	soakSeed   = flag.Uint64("soak.seed", 1, "TestSoak: seed of workloads and images")
	soakFiles  = flag.String("soak.files", "", "TestSoak: modes with plain or encrypted files alone")
)

// soakRound is how many images are taken of one run of the workload.
const soakRound = 1500

// soaked adds up what modes did, of plain or of encrypted files.
type soaked struct {
	mu                sync.Mutex
	tally             tally
	runs, partial     int
	mutants, killed   int
	points            map[Op]int // faults that were hit, by the call that failed
	violations        int
	survivors, broken []string
}

func (s *soaked) add(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

// TestSoak runs the crash test on one workload after the other, then the
// mutants and every point of the fault sweep, and prints figures:
//
//	go test ./internal/opfs/opfstest -run '^TestSoak$' -timeout 0 -v -soak.images=100000 -soak.seed=7
func TestSoak(t *testing.T) {
	if *soakImages == 0 {
		t.Skip("runs with -soak.images")
	}
	kind := func(m Mode) string {
		if m.Encrypted {
			return "encrypted"
		}
		return "plain"
	}
	modes := slices.DeleteFunc(memorySubject().Modes(), func(m Mode) bool {
		return *soakFiles != "" && kind(m) != *soakFiles
	})
	all := map[string]*soaked{}
	for _, mode := range modes {
		all[kind(mode)] = &soaked{points: map[Op]int{}, tally: tally{cuts: map[string]int{}}}
	}
	each := func(what string, f func(*testing.T, *soaked, Mode)) {
		t.Run(what, func(t *testing.T) {
			for _, mode := range modes {
				t.Run(mode.String(), func(t *testing.T) {
					t.Parallel()
					f(t, all[kind(mode)], mode)
				})
			}
		})
	}
	start := time.Now()
	each("images", func(t *testing.T, s *soaked, mode Mode) { s.images(t, mode, *soakImages/len(modes)) })
	crashed := time.Since(start)
	each("mutants", func(_ *testing.T, s *soaked, mode Mode) { s.hunt(mode) })
	each("faults", func(t *testing.T, s *soaked, mode Mode) { s.sweep(t, mode) })
	images := 0
	for name, s := range all {
		images += s.tally.images
		for _, f := range append(s.tally.failures, s.broken...) {
			t.Error(f)
		}
		for _, m := range s.survivors {
			t.Errorf("not caught: %s", m)
		}
		if s.partial == 0 && s.runs > 0 {
			t.Errorf("%s: no checkpoint was held back by a reader", name)
		}
	}
	t.Logf("%.0f images a second", float64(images)/crashed.Seconds())
	printSoaked(all)
}

// printSoaked prints how often each fault was hit, and what came of it.
func printSoaked(all map[string]*soaked) {
	names := slices.Sorted(maps.Keys(all))
	line := func(cells ...any) {
		fmt.Print("|")
		for _, cell := range cells {
			fmt.Printf(" %v |", cell)
		}
		fmt.Println()
	}
	fmt.Println()
	line("files", "seed", "images", "cut again in recovery", "failures", "workloads", "checkpoints held back",
		"mutants caught", "fault points", "violations")
	fmt.Println("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
	for _, name := range names {
		s := all[name]
		points := 0
		for _, n := range s.points {
			points += n
		}
		line(name, *soakSeed, s.tally.images, s.tally.again, s.tally.lost, s.runs, s.partial,
			fmt.Sprintf("%d of %d", s.killed, s.mutants), points, s.violations)
	}
	fmt.Println()
	head := []any{"files"}
	for _, how := range styles {
		head = append(head, "unflushed "+how)
	}
	ops := slices.Sorted(maps.Keys(ways))
	for _, op := range ops {
		head = append(head, op)
	}
	line(head...)
	fmt.Println("|---" + strings.Repeat("|---:", len(head)-1) + "|")
	for _, name := range names {
		row := []any{name}
		for _, how := range styles {
			row = append(row, all[name].tally.cuts[how])
		}
		for _, op := range ops {
			row = append(row, all[name].points[op])
		}
		line(row...)
	}
	fmt.Println()
}

// images opens that many of a mode, each round of another workload; in WAL with
// shared memory every other one with a reader beside the writer.
func (s *soaked) images(t *testing.T, mode Mode, images int) {
	shared := mode.Journal == "wal" && !mode.Exclusive
	for round := 0; images > 0; round++ {
		w := Workload{Seed: int(*soakSeed%1000)*1000 + round}
		disk := NewDisk(Lies{})
		var h *history
		var err error
		if shared && round%2 == 0 {
			h, err = recordBesideReader(t, disk, w, mode, crashTxns)
		} else {
			h, err = record(disk, w, mode, crashTxns, straight)
		}
		if err != nil {
			t.Fatal(err)
		}
		c := h.survey(random(*soakSeed+uint64(round), mode.String()), min(images, soakRound), straight)
		images -= c.images
		s.add(func() {
			s.runs++
			s.partial += h.partial
			s.tally.images += c.images
			s.tally.again += c.again
			s.tally.lost += c.lost
			for how, n := range c.cuts {
				s.tally.cuts[how] += n
			}
			s.tally.failures = append(s.tally.failures, c.failures...)
		})
	}
}

func (s *soaked) hunt(mode Mode) {
	for i := range mutants {
		m := &mutants[i]
		if !m.matters(mode) {
			continue
		}
		_, how := m.hunt(mode, *soakSeed, soakRound)
		s.add(func() {
			s.mutants++
			if how != "" {
				s.killed++
			} else {
				s.survivors = append(s.survivors, m.name+", "+mode.String())
			}
		})
	}
}

// sweep makes every call fail in every way.
func (s *soaked) sweep(t *testing.T, mode Mode) {
	for op := range ways {
		c := sweepOp(t, memorySubject(), mode, op, 1)
		s.add(func() {
			s.points[op] += c.points
			s.violations += len(c.violations)
			for _, err := range c.violations[:min(len(c.violations), 5)] {
				s.broken = append(s.broken, err.Error())
			}
		})
	}
}
