package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"heddle.dev/heddle/sync/fold"
	"heddle.dev/heddle/sync/wire"
)

// fleet are devices that speak the protocol and trust nobody: each goes to any of
// several servers, and checks all that it is told.
type fleet struct {
	t       *testing.T
	ctx     context.Context
	urls    []string
	busy    []atomic.Int64 // by server: pushes under way
	writing atomic.Bool
	failed  chan struct{} // closed after the first thing that is wrong
	failing sync.Once
	ended   context.Context // ends when the followers know where the logs end
	end     context.CancelFunc
	// losses is how often the database has lost its last commits: then, and only then,
	// may a server tell of less than before.
	losses  atomic.Int64
	group   sync.WaitGroup // writers
	follows sync.WaitGroup

	mu    sync.Mutex
	acked map[string]map[wire.ClientID]uint64 // by space
	count int64                               // of acknowledged transactions
	again int64                               // pushes that were sent again
	lost  int64                               // acknowledged transactions that the database had lost, and got back
	anew  int64                               // followers that began anew after a loss
	moved chan struct{}                       // closed when count grows
}

func newFleet(t *testing.T, ctx context.Context, urls []string) *fleet {
	f := &fleet{t: t, ctx: ctx, urls: urls, busy: make([]atomic.Int64, len(urls)), moved: make(chan struct{}),
		failed: make(chan struct{}), acked: map[string]map[wire.ClientID]uint64{}}
	f.ended, f.end = context.WithCancel(ctx)
	f.writing.Store(true)
	return f
}

// until waits until n more transactions are acknowledged.
func (f *fleet) until(n int64) {
	f.t.Helper()
	f.mu.Lock()
	want := f.count + n
	f.mu.Unlock()
	for {
		f.mu.Lock()
		count, moved := f.count, f.moved
		f.mu.Unlock()
		if count >= want {
			return
		}
		select {
		case <-moved:
		case <-f.failed:
			f.t.FailNow()
		case <-f.ctx.Done():
			f.t.Fatalf("%d of %d transactions were acknowledged: %v", n-(want-count), n, context.Cause(f.ctx))
		}
	}
}

func (f *fleet) total() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.count
}

// post sends a message to a server. An error is one that a device tries again after.
func (f *fleet) post(ctx context.Context, server int, path string, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, "POST", f.urls[server]+"v1/spaces/"+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", wire.MediaType)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	if res.StatusCode == http.StatusOK {
		return res, nil
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, err
	}
	e, err := wire.UnmarshalError(data)
	if err != nil {
		return nil, err
	}
	switch {
	case e.Code == "HEDDLE_DIVERGED" && f.losses.Load() > 0:
		return nil, errDiverged
	case res.StatusCode < 500:
		f.wrong("%s at server %d: %d %+v", path, server, res.StatusCode, e)
	}
	return nil, fmt.Errorf("%d %+v", res.StatusCode, e)
}

// errDiverged says that the server's log is not the one that a device follows.
var errDiverged = errors.New("HEDDLE_DIVERGED")

// patience is how long a device waits for an answer: longer each time that it was too
// short, since a slow machine is no fault.
type patience struct {
	long  time.Duration
	began time.Time
}

func (p *patience) next() time.Duration {
	p.long, p.began = max(p.long, time.Second), time.Now()
	return p.long
}

// tried notes that what next was asked for has ended.
func (p *patience) tried() {
	if time.Since(p.began) >= p.long {
		p.long = min(2*p.long, time.Hour)
	}
}

// writer is a device that writes to a space, and keeps what it wrote.
type writer struct {
	f      *fleet
	space  string
	number int
	id     wire.ClientID
	random *rand.Rand
	sent   [][]byte // pushes, by counter
	acked  uint64   // how many of those are acknowledged
	losses int64    // that it has made up for
}

// write has a device write to a space until the fleet is told to end.
func (f *fleet) write(space string, number int) {
	w := &writer{f: f, space: space, number: number, random: rand.New(rand.NewPCG(1, uint64(number)))}
	binary.BigEndian.PutUint32(w.id[:], uint32(number))
	f.group.Go(func() {
		for at := uint64(1); !f.over(); {
			if at > uint64(len(w.sent)) {
				if !f.writing.Load() {
					break
				}
				w.sent = append(w.sent, w.transaction(at))
			}
			at = w.until(at) + 1
		}
		// What was acknowledged may have been lost since: the last one says so.
		for last := uint64(len(w.sent)); !f.over() && last > 0; {
			at := w.until(last)
			for ; at < last && !f.over(); at = w.until(at + 1) {
			}
			if at == last {
				return
			}
		}
	})
}

// transaction is the writer's next one.
func (w *writer) transaction(counter uint64) []byte {
	shape := &wire.Shape{Kind: wire.Insert, Table: "t", Columns: []string{"v"}, Joins: []wire.Join{wire.JoinLast}}
	b := &wire.Body{Shapes: []*wire.Shape{shape}, Schema: []wire.TableSchema{{Table: "t", Key: []string{"k"},
		Columns: []wire.ColumnSchema{{Name: "v", Group: 1}}}}}
	for i := range 1 + w.random.IntN(3) {
		b.Ops = append(b.Ops, wire.Op{Shape: shape, Key: []wire.Value{int64(w.random.IntN(50))*3 + int64(i)},
			Cells: []wire.Value{fmt.Sprint(w.number, "-", counter)}})
	}
	return (&wire.PushRequest{Client: w.id, Parts: wire.SplitBody(counter, b.Marshal())}).Marshal()
}

// until pushes a transaction until a server tells how many are decided, and returns
// that. There are fewer only where the database has lost some.
func (w *writer) until(counter uint64) (decided uint64) {
	for patience := (patience{}); !w.f.over(); patience.tried() {
		losses := w.f.losses.Load()
		decided, ok := w.f.push(w.random.IntN(len(w.f.urls)), w.space, w.sent[counter-1], patience.next())
		switch {
		case !ok:
			w.f.mu.Lock()
			w.f.again++
			w.f.mu.Unlock()
		case decided >= counter && decided <= uint64(len(w.sent)):
			w.losses = max(w.losses, losses)
			w.ack(decided)
			return decided
		case decided < counter && w.losses < w.f.losses.Load():
			w.losses = losses // what was lost before it was sent
			w.f.mu.Lock()
			w.f.lost += int64(w.acked - min(w.acked, decided))
			w.f.mu.Unlock()
			return decided
		default:
			w.f.wrong("a push of %d: %d are decided, and %d were acknowledged", counter, decided, w.acked)
		}
	}
	return counter
}

func (w *writer) ack(counter uint64) {
	if counter <= w.acked {
		return
	}
	f := w.f
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.acked[w.space] == nil {
		f.acked[w.space] = map[wire.ClientID]uint64{}
	}
	f.acked[w.space][w.id] = counter
	f.count += int64(counter - w.acked)
	w.acked = counter
	close(f.moved)
	f.moved = make(chan struct{})
}

// push sends a push to a server; decided is what that has answered.
func (f *fleet) push(server int, space string, req []byte, patience time.Duration) (decided uint64, ok bool) {
	ctx, cancel := context.WithTimeout(f.ctx, patience)
	defer cancel()
	f.busy[server].Add(1)
	defer f.busy[server].Add(-1)
	res, err := f.post(ctx, server, space+"/push", req)
	if err == nil {
		defer res.Body.Close()
		var data []byte
		if data, err = io.ReadAll(res.Body); err == nil {
			m, err := wire.UnmarshalPushResponse(data)
			if err == nil {
				return m.Decided, true
			}
			f.wrong("a push: got %x, %v", data, err)
		}
	}
	f.pause()
	return 0, false
}

// wrong notes what no server may do: the test ends.
func (f *fleet) wrong(format string, args ...any) {
	f.t.Errorf(format, args...)
	f.failing.Do(func() { close(f.failed) })
}

func (f *fleet) over() bool {
	select {
	case <-f.failed:
		return true
	default:
		return f.ctx.Err() != nil
	}
}

// pause waits before something is tried again.
func (f *fleet) pause() {
	select {
	case <-time.After(20 * time.Millisecond):
	case <-f.ctx.Done():
	}
}

// reader is a device that follows, and folds what it is told.
type reader struct {
	at     wire.Position
	schema fold.Schema
	rows   map[string]*fold.Row
	digest fold.Digest
	last   map[wire.ClientID]uint64 // counters
}

func newReader() *reader {
	return &reader{rows: map[string]*fold.Row{}, last: map[wire.ClientID]uint64{}}
}

// take checks a frame: each entry goes on from the one before, each author's counters
// have no gap, and the digest is that of the fold.
func (r *reader) take(f *wire.Frame) error {
	if f.Hello != nil {
		if r.at.Epoch != (wire.Epoch{}) && r.at.Epoch != f.Hello.Epoch {
			return fmt.Errorf("the epoch is %x, and was %x", f.Hello.Epoch, r.at.Epoch)
		}
		r.at.Epoch = f.Hello.Epoch
	}
	for i := range f.Entries {
		e := &f.Entries[i]
		if e.Seq != r.at.Seq+1 || e.Chain != e.ChainAfter(r.at.Chain) {
			return fmt.Errorf("entry %d after %d breaks the chain", e.Seq, r.at.Seq)
		}
		if e.Counter != r.last[e.Client]+1 {
			return fmt.Errorf("entry %d is number %d of its author, after %d", e.Seq, e.Counter, r.last[e.Client])
		}
		b, err := wire.UnmarshalBody(e.Body)
		if err != nil || e.Outcome != "" || wire.HashBody(e.Body) != e.BodyHash {
			return fmt.Errorf("entry %d: outcome %q, %v", e.Seq, e.Outcome, err)
		}
		r.at.Seq, r.at.Chain, r.last[e.Client] = e.Seq, e.Chain, e.Counter
		r.schema.Apply(b.Schema)
		for _, op := range b.Ops {
			id := string(wire.EncodeKey(op.Key))
			next := fold.Apply(op, r.rows[id], &r.schema)
			r.digest.Remove(op.Shape.Table, op.Key, r.rows[id], &r.schema)
			r.digest.Add(op.Shape.Table, op.Key, next, &r.schema)
			r.rows[id] = next
		}
	}
	if c := f.CaughtUp; c != nil && (c.Seq != r.at.Seq || c.Digest != r.digest.Sum()) {
		return fmt.Errorf("caught up at %d, and here it is %d, or the digests differ", c.Seq, r.at.Seq)
	}
	return nil
}

// follow has a device follow a space, at one server after the other, until it has
// what the fleet's end has left.
func (f *fleet) follow(space string, number int, end <-chan wire.Position) {
	random := rand.New(rand.NewPCG(2, uint64(number)))
	r, losses := newReader(), int64(0)
	f.follows.Go(func() {
		var last wire.Position // the end, once it is known
		for patience := (patience{}); !f.over(); patience.tried() {
			before, known := r.at.Seq, f.losses.Load()
			err := f.stream(r, random.IntN(len(f.urls)), space+"/pull", patience.next(), func() bool {
				select {
				case last = <-end:
				default:
				}
				return last.Seq > 0 && r.at == last
			})
			switch {
			case errors.Is(err, errDiverged) && losses < f.losses.Load():
				// It begins anew, and may meet what is lost once more only if that was after known.
				r, losses = newReader(), known
				f.mu.Lock()
				f.anew++
				f.mu.Unlock()
				continue
			case err != nil:
				f.wrong("follower %d of %s: %v", number, space, err)
				return
			case r.at.Seq > before:
				losses = known
			}
			switch {
			case last.Seq > 0 && r.at == last:
				return
			case last.Seq > 0 && r.at.Seq > last.Seq && losses == f.losses.Load():
				f.wrong("follower %d of %s is at %d, after the end at %d", number, space, r.at.Seq, last.Seq)
				return
			}
			if r.at.Seq > before {
				patience.long = 0
			}
			f.pause()
		}
	})
}

// stream follows at one server until the stream ends, or nothing has come for so long.
// Its error is what no server may tell.
func (f *fleet) stream(r *reader, server int, path string, patience time.Duration, enough func() bool) error {
	ctx, cancel := context.WithCancel(f.ctx)
	defer cancel()
	if f.ended.Err() == nil {
		defer context.AfterFunc(f.ended, cancel)()
	}
	quiet := time.AfterFunc(patience, cancel)
	defer quiet.Stop()
	res, err := f.post(ctx, server, path, (&wire.PullRequest{Position: r.at}).Marshal())
	if errors.Is(err, errDiverged) {
		return err
	}
	if err != nil {
		return nil
	}
	defer res.Body.Close()
	for frames := wire.NewFrameReader(res.Body); !enough(); {
		frame, err := frames.Next()
		if err != nil {
			return nil
		}
		quiet.Reset(patience)
		if frame.Error != nil {
			switch code := frame.Error.Code; code {
			case "HEDDLE_CLOSED", "HEDDLE_SERVER", "HEDDLE_TIMEOUT":
			case "HEDDLE_DIVERGED":
				return errDiverged
			default:
				return fmt.Errorf("the stream of server %d ended with %+v", server, frame.Error)
			}
			return nil
		}
		if err := r.take(frame); err != nil {
			return err
		}
	}
	return nil
}

// finish ends the writers, and demands of each server, from the first entry on, that
// each acknowledged transaction is in the log once, and that all servers and followers
// have the same log.
func (f *fleet) finish(ends map[string][]chan wire.Position) {
	f.t.Helper()
	f.writing.Store(false)
	f.group.Wait()
	for space, acked := range f.acked {
		var end wire.Position
		for server := range f.urls {
			r := newReader()
			for patience := (patience{}); r.at.Seq == 0 || r.at.Seq < end.Seq; patience.tried() {
				if err := f.stream(r, server, space+"/pull?wait=0", patience.next(), func() bool { return false }); err != nil {
					f.t.Fatalf("%s at server %d: %v", space, server, err)
				}
				if f.over() {
					f.t.Fatal(context.Cause(f.ctx))
				}
			}
			if server > 0 && r.at != end {
				f.t.Errorf("%s: server %d ends at %d, %x, another one at %d, %x", space, server, r.at.Seq, r.at.Chain,
					end.Seq, end.Chain)
			}
			end = r.at
			for id, counter := range acked {
				if r.last[id] != counter {
					f.t.Errorf("%s: %d of client %x are acknowledged, and server %d has %d", space, counter, id[:4], server,
						r.last[id])
				}
			}
		}
		for _, c := range ends[space] {
			c <- end
		}
	}
	f.end()
	f.follows.Wait()
}
