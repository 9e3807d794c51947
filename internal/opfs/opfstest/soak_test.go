//go:build !js

package opfstest

import (
	"flag"
	"fmt"
	"sync"
	"testing"
	"time"
)

var (
	soakImages = flag.Int("soak.images", 0, "TestSoak: images of a power loss, over all modes")
	soakSeed   = flag.Uint64("soak.seed", 1, "TestSoak: seed of workloads and images")
)

// soakRound is how many images are taken of one run of the workload.
const soakRound = 1500

// soaked adds up what the modes did.
type soaked struct {
	mu                 sync.Mutex
	tally              tally
	runs, partial      int
	mutants, killed    int
	points, violations int
	survivors, broken  []string
}

func (s *soaked) add(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

// TestSoak runs the crash test on one workload after the other, then the
// mutants and every point of the fault sweep, and prints a row of figures:
//
//	go test ./internal/opfs/opfstest -run '^TestSoak$' -timeout 0 -v -soak.images=100000 -soak.seed=7
func TestSoak(t *testing.T) {
	if *soakImages == 0 {
		t.Skip("runs with -soak.images")
	}
	start := time.Now()
	var all soaked
	var crashed time.Duration
	modes := memorySubject().Modes()
	t.Run("images", func(t *testing.T) {
		for _, mode := range modes {
			t.Run(mode.String(), func(t *testing.T) {
				t.Parallel()
				all.images(t, mode, *soakImages/len(modes))
			})
		}
	})
	crashed = time.Since(start)
	t.Run("mutants", func(t *testing.T) {
		for _, mode := range modes {
			t.Run(mode.String(), func(t *testing.T) {
				t.Parallel()
				all.hunt(mode)
			})
		}
	})
	t.Run("faults", func(t *testing.T) {
		for _, mode := range modes {
			t.Run(mode.String(), func(t *testing.T) {
				t.Parallel()
				all.sweep(t, mode)
			})
		}
	})
	for _, f := range append(all.tally.failures, all.broken...) {
		t.Error(f)
	}
	for _, m := range all.survivors {
		t.Errorf("not caught: %s", m)
	}
	if all.partial == 0 {
		t.Error("no checkpoint was held back by a reader")
	}
	fmt.Printf("\n| seed | images | cut again in recovery | failures | images/s | workloads | checkpoints held back | " +
		"mutants caught | fault points | violations |\n")
	fmt.Printf("|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n")
	fmt.Printf("| %d | %d | %d | %d | %.0f | %d | %d | %d of %d | %d | %d |\n\n", *soakSeed, all.tally.images,
		all.tally.again, all.tally.lost,
		float64(all.tally.images)/crashed.Seconds(), all.runs, all.partial, all.killed, all.mutants, all.points,
		all.violations)
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
			s.points += c.points
			s.violations += len(c.violations)
			for _, err := range c.violations[:min(len(c.violations), 5)] {
				s.broken = append(s.broken, err.Error())
			}
		})
	}
}
