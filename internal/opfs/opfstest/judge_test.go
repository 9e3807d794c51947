//go:build !js

package opfstest

import (
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"
)

// A history is a run of the workload on a disk that remembers.
type history struct {
	w     Workload
	mode  Mode
	disk  *Disk
	held  int   // transactions that were there before it began
	acked []int // for each transaction that it did, when it was acknowledged

	partial int // checkpoints that a reader held back
}

func (h *history) String() string { return fmt.Sprintf("%s, workload %d", h.mode, h.w.Seed) }

// owes is the last transaction acknowledged before operation at; -1 for none.
func (h *history) owes(at int) int {
	n := h.held - 1
	for _, when := range h.acked {
		if when > at {
			break
		}
		n++
	}
	return n
}

// bend lets a mutant come between the VFS and SQLite.
type bend func(vfs.VFS) vfs.VFS

func straight(v vfs.VFS) vfs.VFS { return v }

// record runs n transactions of the workload on the disk and closes.
func record(d *Disk, w Workload, mode Mode, n int, through bend) (*history, error) {
	h := &history{w: w, mode: mode, disk: d}
	c, err := Open("test.db", mount(through(mode.VFS(d))), mode)
	if err != nil {
		return h, err
	}
	defer c.Close()
	for i := range n {
		if err := w.Step(c, i); err != nil {
			return h, fmt.Errorf("transaction %d: %w", i, err)
		}
		h.acked = append(h.acked, d.Now())
	}
	return h, c.Close()
}

// recordBesideReader does so while a reader holds the log back again and again,
// so that checkpoints stop halfway and go on later.
func recordBesideReader(t testing.TB, d *Disk, w Workload, mode Mode, n int) (*history, error) {
	h := &history{w: w, mode: mode, disk: d}
	v := mount(mode.VFS(d))
	writer, reader := MustOpen(t, "test.db", v, mode), MustOpen(t, "test.db", v, mode)
	held := -1
	for i := range n {
		if err := w.Step(writer, i); err != nil {
			return h, fmt.Errorf("transaction %d: %w", i, err)
		}
		h.acked = append(h.acked, d.Now())
		switch i % 8 {
		case 2:
			mustExec(t, reader, "BEGIN; SELECT n FROM state")
			held = i
		case 6:
			if n, err := w.Check(reader); err != nil || n != held {
				return h, fmt.Errorf("reader: %d, %w, want %d", n, err, held)
			}
			mustExec(t, reader, "COMMIT")
		}
		if busy, err := Text(writer, "PRAGMA wal_checkpoint(FULL)"); err != nil {
			return h, err
		} else if busy == "1" {
			h.partial++
		}
	}
	// The process ends here, with the reader in the middle of its snapshot.
	return h, nil
}

// tally is what came of images.
type tally struct {
	images, again, lost int            // opened, of them cut during recovery, and failed
	cuts                map[string]int // those that met unflushed operations, by what became of them
	failures            []string
}

// count counts an image.
func (c *tally) count(img Image) {
	c.images++
	if c.cuts == nil {
		c.cuts = map[string]int{}
	}
	if img.Hit > 0 {
		c.cuts[img.How]++
	}
}

func (c *tally) fail(format string, args ...any) {
	c.lost++
	if len(c.failures) < 5 {
		c.failures = append(c.failures, fmt.Sprintf(format, args...))
	}
}

// survey cuts the power at every point of the history, about images times in
// all. One image in fifty is recovered on a disk that remembers, and the power
// cut again in the middle of that.
func (h *history) survey(r *rand.Rand, images int, through bend) (c tally) {
	points := h.disk.Now() + 1
	per := max(1, (images+points-1)/points)
	h.disk.Images(r, 0, per, func(img Image) bool {
		c.count(img)
		if err := h.judge(img, through); err != nil {
			c.fail("%s, after %d of %d operations, unflushed %s: %v", h, img.At, points-1, img.How, err)
		} else if c.images%50 == 0 {
			h.surveyRecovery(&c, r, img, through)
		}
		return true
	})
	return c
}

// surveyRecovery cuts the power while an image is recovered and goes on.
func (h *history) surveyRecovery(c *tally, r *rand.Rand, img Image, through bend) {
	d := DiskOf(img.Dir)
	start := d.Now()
	// judge has recovered img.Dir and added one transaction: this adds another.
	next := &history{w: h.w, mode: Mode{Exclusive: c.images%100 == 0, Encrypted: h.mode.Encrypted}, disk: d}
	conn, err := Open("test.db", mount(through(h.mode.VFS(d))), next.mode)
	if err == nil {
		next.held, err = h.w.Check(conn)
		next.held++
	}
	if err == nil {
		err = h.w.Step(conn, next.held)
		next.acked = []int{d.Now()}
	}
	if err != nil {
		c.fail("%s, recovered: %v", h, err)
		return
	}
	conn.Close()
	d.Images(r, start, 1, func(img Image) bool {
		c.count(img)
		c.again++
		if err := next.judge(img, through); err != nil {
			c.fail("%s, cut again after %d operations, unflushed %s: %v", h, img.At-start, img.How, err)
		}
		return true
	})
}

// judge opens an image with a new VFS and says what it holds of what it owes.
// Every other one recovers without the log's shared memory; every fourth with a
// reader beside, as the product has.
func (h *history) judge(img Image, through bend) error {
	owes := h.owes(img.At)
	v := mount(through(h.mode.VFS(img.Dir)))
	alone := img.At%2 == 0
	c, err := Open("test.db", v, Mode{Exclusive: alone})
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	defer c.Close()
	n, err := h.w.Check(c)
	switch {
	case err != nil:
		return err
	case n < owes:
		return fmt.Errorf("holds %d transactions, acknowledged were %d", n+1, owes+1)
	case n > owes+1:
		return fmt.Errorf("holds %d transactions, issued were %d", n+1, owes+2)
	}
	if !alone && img.At%4 == 1 && n >= 0 {
		if mode, err := Text(c, "PRAGMA journal_mode"); err == nil && mode == "wal" {
			return h.besideReader(v, c, n)
		}
	}
	// It goes on from there.
	if err := h.w.Step(c, n+1); err != nil {
		return fmt.Errorf("the next transaction: %w", err)
	}
	if m, err := h.w.Check(c); err != nil || m != n+1 {
		return fmt.Errorf("after the next transaction: %d, %w", m, err)
	}
	return nil
}

// besideReader has a second connection keep its snapshot while the writer goes on.
func (h *history) besideReader(v string, c *sqlite3.Conn, n int) error {
	reader, err := Open("test.db", v, Mode{})
	if err != nil {
		return fmt.Errorf("reader: %w", err)
	}
	defer reader.Close()
	if err := reader.Exec("BEGIN; SELECT n FROM state"); err != nil {
		return fmt.Errorf("reader: %w", err)
	}
	if err := h.w.Step(c, n+1); err != nil {
		return fmt.Errorf("the next transaction: %w", err)
	}
	if m, err := h.w.Check(reader); err != nil || m != n {
		return fmt.Errorf("reader beside the next transaction: %d, %w, want %d", m, err, n)
	}
	if err := reader.Exec("COMMIT"); err != nil {
		return fmt.Errorf("reader: %w", err)
	}
	if m, err := h.w.Check(reader); err != nil || m != n+1 {
		return fmt.Errorf("reader after the next transaction: %d, %w", m, err)
	}
	return nil
}

var mounts atomic.Int64

// mount registers v under a name that another may take 4096 images later.
func mount(v vfs.VFS) string {
	name := fmt.Sprintf("opfs-image%d", mounts.Add(1)%4096)
	vfs.Register(name, v)
	return name
}
