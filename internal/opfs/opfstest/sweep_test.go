//go:build !js

package opfstest

import (
	"errors"
	"flag"
	"fmt"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/internal/opfs"
)

var sweepEvery = flag.Int("sweep.every", 4, "make every nth call fail; 1 for all")

// allowed are the codes that a fault may surface as.
var allowed = map[Op][]error{
	Write:    {sqlite3.FULL},
	Flush:    {sqlite3.IOERR_FSYNC, sqlite3.IOERR_DELETE},
	Truncate: {sqlite3.IOERR_TRUNCATE, sqlite3.IOERR_DELETE, sqlite3.FULL},
	Size:     {sqlite3.IOERR},
	Read:     {sqlite3.IOERR},
	Opening:  {sqlite3.CANTOPEN},
	Remove:   {sqlite3.IOERR_DELETE},
}

// A sweep is one run of the workload with one fault in it.
type sweep struct {
	vfs   string
	mode  Mode
	dir   *opfs.MemoryDirectory
	f     *Faulty
	c     *sqlite3.Conn
	next  int // the transaction to run
	fault Fault
}

const sweepTxns = 16

func (w *sweep) open() error {
	if w.c != nil {
		return nil
	}
	c, err := Open("test.db", w.vfs, w.mode)
	w.c = c
	return err
}

// run does the workload to its end. A step that fails is tried once more, on
// the same connection.
func (w *sweep) run(t *testing.T) error {
	var model Workload
	for tries := 0; w.next < sweepTxns; {
		err := w.open()
		opened := err == nil
		if opened {
			err = model.Step(w.c, w.next)
		}
		if err == nil {
			w.next++
			tries = 0
			continue
		}
		if w.f.Hits() == 0 {
			return fmt.Errorf("transaction %d: without a fault: %w", w.next, err)
		}
		if !w.allows(err) {
			return fmt.Errorf("transaction %d: untyped: %w", w.next, err)
		}
		if w.fault.Stays {
			if err := w.reads(); opened && err != nil {
				return err
			}
			w.f.clear()
		}
		if tries++; tries > 1 {
			return fmt.Errorf("transaction %d: still failing: %w", w.next, err)
		}
		if !opened {
			continue
		}
		n, err := model.Check(w.c)
		switch {
		case err != nil:
			return fmt.Errorf("transaction %d: after the fault: %w", w.next, err)
		case n == w.next-1:
		case w.undecided(n):
			w.next++
		default:
			return fmt.Errorf("after the fault the database is at %d, acknowledged %d", n, w.next-1)
		}
	}
	return nil
}

// undecided reports whether the database may be at n although transaction n
// failed: with a rollback journal the error can come when the journal is already
// cleared, and the transaction is committed after all.
func (w *sweep) undecided(n int) bool {
	return n == w.next && w.mode.Journal != "wal"
}

// allows reports whether an error is of the kinds that the fault may cause. A
// closed handle is an I/O error, whatever the call.
func (w *sweep) allows(err error) bool {
	if w.fault.How == Closed {
		return errors.Is(err, sqlite3.IOERR) || errors.Is(err, sqlite3.CANTOPEN)
	}
	// Cutting an encrypted file inside of a block writes that block.
	if w.mode.Encrypted && w.fault.Op == Write && errors.Is(err, sqlite3.IOERR_TRUNCATE) {
		return true
	}
	for _, code := range append(allowed[w.fault.Op], sqlite3.CANTOPEN) {
		if errors.Is(err, code) {
			return true
		}
	}
	return false
}

// reads checks that what is there can be read while the disk stays full. (With
// a rollback journal in exclusive mode SQLite first syncs the journal to play
// it back, which must wait for space.)
func (w *sweep) reads() error {
	if w.fault.Op != Write || w.next == 0 || w.mode.Exclusive && w.mode.Journal != "wal" {
		return nil
	}
	n, err := Workload{}.Check(w.c)
	if err != nil || n != w.next-1 && !w.undecided(n) {
		return fmt.Errorf("reading from a full disk: %d, %v, want %d", n, err, w.next-1)
	}
	return nil
}

// clear ends the fault and keeps the count of its hits.
func (f *Faulty) clear() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fault = Fault{}
}

// point runs one fault and then looks at the bytes with a VFS that has seen
// nothing of it. It reports whether the fault was hit.
func point(t *testing.T, s Subject, mode Mode, fault Fault) (bool, error) {
	return pointOn(t, s, mode, fault, NewFaulty(opfs.Memory()))
}

// pointOn does so on an empty directory in memory.
func pointOn(t *testing.T, s Subject, mode Mode, fault Fault, f *Faulty) (bool, error) {
	dir := f.Directory.(*opfs.MemoryDirectory)
	w := &sweep{mode: mode, dir: dir, f: f, fault: fault}
	w.f.Arm(fault)
	w.vfs = s.Mount(t, mode.VFS(w.f))
	err := w.run(t)
	if err != nil {
		err = fmt.Errorf("%s, %s %d %s (stays: %v): %w", mode, fault.Op, fault.Nth, fault.How, fault.Stays, err)
	}
	copied := opfs.Memory()
	if err == nil {
		err = Copy(copied, "test.db", dir, "test.db")
	}
	if w.c != nil {
		w.c.Close() // may meet the fault, too: what matters is the copy
	}
	if err != nil {
		return w.f.Hits() > 0, err
	}
	ends := map[string]*opfs.MemoryDirectory{"killed": copied}
	if fault.Nth%2 == 0 {
		ends["closed"] = dir
	}
	for name, from := range ends {
		c, err := Open("test.db", s.Mount(t, mode.VFS(from)), Mode{Exclusive: true})
		if err != nil {
			return true, fmt.Errorf("%s, %v: reopen %s: %w", mode, fault, name, err)
		}
		n, err := Workload{}.Check(c)
		c.Close()
		if err != nil || n != sweepTxns-1 {
			return true, fmt.Errorf("%s, %v: reopened %s: %d, %v", mode, fault, name, n, err)
		}
	}
	return w.f.Hits() > 0, nil
}

// ways are the faults of each call.
var ways = map[Op][]How{
	Write:    {Throw, Closed, Short, Zero, Huge, Minus, NotANumber},
	Read:     {Throw, Short, Huge, NotANumber},
	Flush:    {Throw, Closed, NotANumber},
	Truncate: {Throw, Closed, Ignored, NotANumber},
	Size:     {Throw, Closed, Minus, NotANumber},
	Opening:  {Throw, Closed, NotANumber},
	Remove:   {Throw, Closed, NotANumber},
}

// swept is what came of the faults of one call.
type swept struct {
	points     int // all of them hit
	violations []error
}

// sweepOp makes the nth call fail in each way, for every stepth n.
func sweepOp(t *testing.T, s Subject, mode Mode, op Op, step int) (c swept) {
	for i, how := range ways[op] {
		for _, stays := range []bool{false, true} {
			if stays && op != Write {
				continue
			}
			// Each way starts at another call, so that together they meet each one.
			for n := 1 + i%step; ; n += step {
				hit, err := point(t, s, mode, Fault{Op: op, How: how, Nth: n, Stays: stays})
				if err != nil {
					c.violations = append(c.violations, err)
				}
				if !hit {
					break // past the last call
				}
				c.points++
			}
		}
	}
	return c
}

// TestSweep makes the nth call fail, for n over the whole workload, in each way
// in which browsers fail: the error is typed, the transaction is undone, the next one
// works, and nothing acknowledged is lost.
func TestSweep(t *testing.T) {
	s := memorySubject()
	for _, mode := range s.Modes() {
		t.Run(mode.String(), func(t *testing.T) {
			t.Parallel()
			for op := range ways {
				// Reading calls much more often, and the rollback journals are not
				// what ships.
				step := *sweepEvery
				if op == Read || op == Write && mode.Journal != "wal" {
					step *= 4
				}
				c := sweepOp(t, s, mode, op, step)
				t.Logf("%s: %d points swept, all hit, %d violations", op, c.points, len(c.violations))
				for _, err := range c.violations {
					t.Error(err)
				}
				if c.points == 0 && op != Remove && op != Truncate {
					t.Errorf("%s: no fault was ever hit", op)
				}
			}
		})
	}
}

// TestSweep_mutants checks that the sweep has teeth: a VFS that does not check
// the counts that it gets must be caught.
func TestSweep_mutants(t *testing.T) {
	s := memorySubject()
	for _, mode := range s.Modes() {
		for _, how := range []How{Short, Zero, Huge, Minus} {
			t.Run(mode.String()+"/a write that "+string(how)+" counts", func(t *testing.T) {
				t.Parallel()
				for n := 1; ; n++ {
					f := NewFaulty(opfs.Memory())
					f.trusted = true
					hit, err := pointOn(t, s, mode, Fault{Op: Write, How: how, Nth: n}, f)
					if err != nil {
						t.Logf("caught by write %d: %v", n, err)
						return
					}
					if !hit {
						t.Fatalf("%d writes, and none of them shows it", n-1)
					}
				}
			})
		}
	}
}

// TestSweep_longRun checks a fault in the middle of a transaction of several
// runs.
func TestSweep_longRun(t *testing.T) {
	s := memorySubject()
	for _, how := range []How{Throw, Short, Zero, Huge} {
		hits := 0
		for n := 1; ; n += 1 + n/3 {
			f := NewFaulty(opfs.Memory())
			c := MustOpen(t, "test.db", s.Mount(t, opfs.New(f)), Mode{Journal: "wal"})
			mustExec(t, c, "CREATE TABLE t(x); INSERT INTO t VALUES ('kept')")
			f.Arm(Fault{Op: Write, How: how, Nth: n})
			err := c.Exec("INSERT INTO t WITH RECURSIVE v(n) AS (VALUES(1) UNION ALL SELECT n+1 FROM v WHERE n<700) SELECT " +
				"randomblob(4000) FROM v")
			if f.Hits() == 0 {
				break
			}
			hits++
			want := "1"
			if err == nil {
				want = "701" // the fault hit a checkpoint, which is tried again
			} else if !errors.Is(err, sqlite3.FULL) {
				t.Fatalf("%s at %d: %v", how, n, err)
			}
			mustText(t, c, "SELECT count(*) FROM t", want)
			mustText(t, c, "PRAGMA integrity_check", "ok")
			mustExec(t, c, "INSERT INTO t VALUES ('next')")
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if hits < 4 {
			t.Fatalf("%s: hit %d times only", how, hits)
		}
	}
}
