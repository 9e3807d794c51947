//go:build !js

package opfstest

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"

	"heddle/opfs"
)

var (
	crashImages = flag.Int("crash.images", 500, "images of a power loss, for each journal mode")
	crashSeed   = flag.Uint64("crash.seed", 1, "seed of the images")
)

// owed runs the workload on the disk and returns, for each transaction, when it
// was acknowledged.
func owed(t *testing.T, s Subject, d *Disk, mode Mode, n int) []int {
	t.Helper()
	c, err := Open("test.db", s.Mount(t, opfs.New(d)), mode)
	if err != nil {
		t.Fatal(err)
	}
	var w Workload
	var acked []int
	for i := range n {
		if err := w.Step(c, i); err != nil {
			t.Fatalf("transaction %d: %v", i, err)
		}
		acked = append(acked, d.Now())
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	return acked
}

// survey opens images and returns how many it opened and the failures.
func survey(t *testing.T, s Subject, d *Disk, mode Mode, acked []int, images int) (opened int, failures []string) {
	t.Helper()
	r := rand.New(rand.NewPCG(*crashSeed, uint64(len(mode.String()))))
	points := d.Now() + 1
	per := max(1, (images+points-1)/points)
	d.Images(r, per, func(img Image) bool {
		opened++
		if err := judge(t, s, img, acked); err != nil {
			failures = append(failures, fmt.Sprintf("%s, after %d of %d operations, unflushed %s: %v", mode, img.At, points-1, img.How, err))
		}
		return true
	})
	return opened, failures
}

// judge opens an image with a new VFS and says what it holds of what it owes.
func judge(t *testing.T, s Subject, img Image, acked []int) error {
	t.Helper()
	owes := -1
	for owes+1 < len(acked) && acked[owes+1] <= img.At {
		owes++
	}
	// Every other image recovers without the log's shared memory.
	mode := Mode{Exclusive: img.At%2 == 0}
	c, err := Open("test.db", s.Mount(t, opfs.New(img.Dir)), mode)
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	defer c.Close()
	var w Workload
	n, err := w.Check(c)
	switch {
	case err != nil:
		return err
	case n < owes:
		return fmt.Errorf("holds %d transactions, acknowledged were %d", n+1, owes+1)
	case n > owes+1:
		return fmt.Errorf("holds %d transactions, issued were %d", n+1, owes+2)
	}
	// It goes on from there.
	if err := w.Step(c, n+1); err != nil {
		return fmt.Errorf("the next transaction: %w", err)
	}
	if m, err := w.Check(c); err != nil || m != n+1 {
		return fmt.Errorf("after the next transaction: %d, %w", m, err)
	}
	return nil
}

// TestCrash_powerLoss cuts the power at each operation, with what was not
// flushed lost, kept, reordered or torn. No image may be damaged, hold half a
// transaction, or lack an acknowledged one.
func TestCrash_powerLoss(t *testing.T) {
	s := memorySubject()
	for _, mode := range s.Modes() {
		t.Run(mode.String(), func(t *testing.T) {
			t.Parallel()
			d := NewDisk()
			acked := owed(t, s, d, mode, 24)
			opened, failures := survey(t, s, d, mode, acked, *crashImages)
			t.Logf("%d images at %d points, %d failures", opened, d.Now()+1, len(failures))
			for _, f := range failures[:min(len(failures), 5)] {
				t.Error(f)
			}
		})
	}
}

// TestCrash_besideReader cuts the power while a reader holds the log back, so
// that checkpoints stop halfway and go on later.
func TestCrash_besideReader(t *testing.T) {
	t.Parallel()
	s := memorySubject()
	if !s.SharedMemory {
		t.Skip("no shared memory for WAL on this platform")
	}
	mode := Mode{Journal: "wal"}
	d := NewDisk()
	v := s.Mount(t, opfs.New(d))
	writer, reader := MustOpen(t, "test.db", v, mode), MustOpen(t, "test.db", v, mode)
	var w Workload
	var acked []int
	held, partial := -1, 0
	for i := range 32 {
		if err := w.Step(writer, i); err != nil {
			t.Fatal(err)
		}
		acked = append(acked, d.Now())
		switch i % 8 {
		case 2:
			mustExec(t, reader, "BEGIN; SELECT n FROM state")
			held = i
		case 6:
			if n, err := w.Check(reader); err != nil || n != held {
				t.Fatalf("reader: %d, %v, want %d", n, err, held)
			}
			mustExec(t, reader, "COMMIT")
		}
		if busy, err := Text(writer, "PRAGMA wal_checkpoint(FULL)"); err != nil {
			t.Fatal(err)
		} else if busy == "1" {
			partial++
		}
	}
	opened, failures := survey(t, s, d, mode, acked, *crashImages)
	t.Logf("%d images at %d points, %d checkpoints stopped halfway, %d failures", opened, d.Now()+1, partial, len(failures))
	if partial == 0 {
		t.Error("no checkpoint was held back")
	}
	for _, f := range failures[:min(len(failures), 5)] {
		t.Error(f)
	}
}

// TestCrash_mutant checks that the test above has teeth: with a flush that does
// nothing, images must fail in each mode.
func TestCrash_mutant(t *testing.T) {
	s := memorySubject()
	for _, mode := range s.Modes() {
		t.Run(mode.String(), func(t *testing.T) {
			t.Parallel()
			d := NewDisk()
			d.NoFlush = true
			acked := owed(t, s, d, mode, 24)
			opened, failures := survey(t, s, d, mode, acked, *crashImages/4)
			t.Logf("%d images, %d failures", opened, len(failures))
			if len(failures) < opened/10 {
				t.Errorf("%d images of %d fail without flush: the crash test is blind", len(failures), opened)
			}
		})
	}
}
