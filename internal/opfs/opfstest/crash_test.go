//go:build !js

package opfstest

import (
	"flag"
	"math/rand/v2"
	"testing"

	"github.com/ncruces/go-sqlite3/vfs"
)

var (
	crashImages = flag.Int("crash.images", 400, "images of a power loss, for each journal mode")
	crashSeed   = flag.Uint64("crash.seed", 1, "seed of the images")
)

const crashTxns = 24

// random is the source of one survey: the same for the same seed, mode and name.
func random(seed uint64, name string) *rand.Rand {
	var h uint64 = 14695981039346656037 // FNV-1a
	for _, b := range []byte(name) {
		h = (h ^ uint64(b)) * 1099511628211
	}
	return rand.New(rand.NewPCG(seed, h))
}

func (c *tally) report(t *testing.T) {
	t.Helper()
	t.Logf("%d images, %d of them cut again during recovery, %d failures", c.images, c.again, c.lost)
	for _, f := range c.failures {
		t.Error(f)
	}
	if c.images == 0 {
		t.Error("no image was opened")
	}
}

// TestCrash_powerLoss cuts the power at each operation, with what was not
// flushed lost, kept, reordered or torn. No image may be damaged, hold half a
// transaction, or lack an acknowledged one.
func TestCrash_powerLoss(t *testing.T) {
	for _, mode := range memorySubject().Modes() {
		t.Run(mode.String(), func(t *testing.T) {
			t.Parallel()
			h, err := record(NewDisk(Lies{}), Workload{}, mode, crashTxns, straight)
			if err != nil {
				t.Fatal(err)
			}
			c := h.survey(random(*crashSeed, mode.String()), *crashImages, straight)
			c.report(t)
		})
	}
}

// TestCrash_besideReader cuts the power, and with it loses the log's shared
// memory, while a reader holds the log back, so that checkpoints stop halfway
// and go on later.
func TestCrash_besideReader(t *testing.T) {
	if !vfs.SupportsSharedMemory {
		t.Skip("no shared memory for WAL on this platform")
	}
	for _, mode := range []Mode{{Journal: "wal"}, {Journal: "wal", Checksums: true},
		{Journal: "wal", Checksums: true, Encrypted: true}} {
		t.Run(mode.String(), func(t *testing.T) {
			t.Parallel()
			h, err := recordBesideReader(t, NewDisk(Lies{}), Workload{}, mode, 32)
			if err != nil {
				t.Fatal(err)
			}
			if h.partial == 0 {
				t.Error("no checkpoint was held back")
			}
			c := h.survey(random(*crashSeed, "reader"), *crashImages, straight)
			c.report(t)
		})
	}
}

// TestCrash_mutants checks that the tests above have teeth: each of the
// mutants must be caught in each mode that relies on what it breaks.
func TestCrash_mutants(t *testing.T) {
	for _, m := range mutants {
		for _, mode := range memorySubject().Modes() {
			if !m.matters(mode) {
				continue
			}
			t.Run(m.name+"/"+mode.String(), func(t *testing.T) {
				t.Parallel()
				images, how := m.hunt(mode, *crashSeed, 4**crashImages)
				if how == "" {
					t.Errorf("%d images, and none of them shows it", images)
					return
				}
				t.Logf("caught by image %d: %s", images, how)
			})
		}
	}
}
