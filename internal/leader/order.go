package leader

import (
	"context"
	"sync"
)

// order keeps a tab's reads and writes in the order in which they arrived: see the
// package comment.
type order struct {
	held func() bool // a long writer has the writer's turn

	mu      sync.Mutex
	changed chan struct{} // closed and replaced at each change
	writes  uint64        // writes that have arrived
	written uint64        // writes that are done with
	reads   uint64        // reads that have arrived
	begun   uint64        // reads that have their snapshot, or are done with
	waiting bool          // a goroutine waits for changed
	waits   bool          // the write at the head waits for its turn, or is a load
}

func (o *order) init(held func() bool) { o.held, o.changed = held, make(chan struct{}) }

// arrive counts a request and returns what it has to wait for.
func (o *order) arrive(write bool) (after uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if write {
		o.writes++
		return o.reads
	}
	o.reads++
	return o.writes
}

// idle reports whether everything that arrived has begun.
func (o *order) idle() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.written == o.writes && o.begun == o.reads
}

func (o *order) set(f func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	f()
	if o.waiting {
		o.waiting = false
		close(o.changed)
		o.changed = make(chan struct{})
	}
}

func (o *order) signal()         { o.set(func() {}) }
func (o *order) writeDone(n int) { o.set(func() { o.written += uint64(n) }) }
func (o *order) readBegun()      { o.set(func() { o.begun++ }) }
func (o *order) setWaits(w bool) { o.set(func() { o.waits = w }) }

// waitToRead returns when the writes before a read are done, or wait for a long
// writer, or ctx has ended.
func (o *order) waitToRead(ctx context.Context, after uint64) {
	o.wait(ctx, func() bool { return o.written >= after || o.waits && o.held() })
}

// waitToWrite returns when the reads before a write have their snapshots, or
// ctx has ended.
func (o *order) waitToWrite(ctx context.Context, after uint64) {
	o.wait(ctx, func() bool { return o.begun >= after })
}

// mayWrite reports whether waitToWrite would return at once.
func (o *order) mayWrite(after uint64) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.begun >= after
}

func (o *order) wait(ctx context.Context, ok func() bool) {
	for {
		o.mu.Lock()
		done, changed := ok(), o.changed
		o.waiting = o.waiting || !done
		o.mu.Unlock()
		if done {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}
