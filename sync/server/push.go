package server

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/logstore"
	"heddle.dev/heddle/sync/seal"
	"heddle.dev/heddle/sync/wire"
)

// ErrUndecided is what Options.Decide returns, perhaps wrapped, when it cannot
// say now: the transaction stays pending and its author tries again.
var ErrUndecided = errors.New("server: cannot decide now")

// push is a request whose transactions are to be decided.
type push struct {
	ctx    context.Context // bounds its decisions
	caller *caller
	req    *wire.PushRequest
	whole  map[int]*transaction // those that come in one part, by the part's index
	bytes  int                  // of all parts
	ops    int                  // of those

	verified seal.Claim // the last one that was found valid

	// Set in a turn, and set anew where that is repeated.
	res     *wire.PushResponse
	err     error
	joined  map[uint64]*transaction // those whose last part is in the request, by counter
	touched bool                    // the turn would commit something of it

	queued time.Time // when it came to wait for its turn
	steps  []Step    // what it has taken, for the observer

	failed error // it is left out of the turn
	drop   bool  // its client's parts make no sense
	done   chan struct{}
}

// transaction is a body that is whole.
type transaction struct {
	counter uint64
	hash    wire.Hash
	data    []byte // nil: larger than the server takes
	intact  bool   // the hash is that of data
	body    *wire.Body
	err     error // of the decoder
}

func newTransaction(p *wire.Part, data []byte) *transaction {
	t := &transaction{counter: p.Counter, hash: p.BodyHash, data: data, intact: wire.HashBody(data) == p.BodyHash}
	if wire.Sealed(data) {
		t.body = &wire.Body{} // which members alone see
	} else if t.body, t.err = wire.UnmarshalBody(data); t.err != nil {
		t.body = &wire.Body{}
	}
	return t
}

// newPush decodes what is whole, so that nobody waits for that.
func newPush(ctx context.Context, c *caller, req *wire.PushRequest) *push {
	p := &push{ctx: ctx, caller: c, req: req, whole: map[int]*transaction{}, done: make(chan struct{})}
	for i := range req.Parts {
		part := &req.Parts[i]
		p.bytes += len(part.Bytes)
		if part.Total == 1 {
			p.whole[i] = newTransaction(part, part.Bytes)
			p.ops += len(p.whole[i].body.Ops)
		}
	}
	return p
}

// push takes a request's parts and decides every transaction that is whole, in
// the order of its author's counters. It may be repeated: transactions that are
// decided are skipped. Pushes that wait at the same time share a commit; each
// keeps its own errors. request bounds the wait for its turn, ctx the decisions.
func (sp *space) push(
	request, ctx context.Context, c *caller, req *wire.PushRequest,
) (*wire.PushResponse, error) {
	if req.Client == (wire.ClientID{}) {
		return nil, errcode.New(errcode.Protocol, "server: push", "the client has no id")
	}
	p := newPush(ctx, c, req)
	p.queued = time.Now()
	defer func() { c.steps = p.steps }()
	sp.mu.Lock()
	sp.queue = append(sp.queue, p)
	sp.mu.Unlock()
	for {
		var gone error
		select {
		case <-p.done:
		case sp.turn <- struct{}{}:
			runtime.Gosched() // who is about to wait as well shares the turn
			sp.takeTurn()
			select {
			case <-p.done:
			default:
				continue // the turn was of those before it
			}
		case <-request.Done():
			gone = request.Err()
		case <-ctx.Done():
			gone = ctx.Err()
		}
		if gone != nil {
			if sp.withdraw(p) {
				return nil, gone
			}
			<-p.done
		}
		return p.res, p.err
	}
}

// withdraw takes a push back that no turn has taken.
func (sp *space) withdraw(p *push) bool {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	for i := range sp.queue {
		if sp.queue[i] == p {
			sp.queue = append(sp.queue[:i:i], sp.queue[i+1:]...)
			return true
		}
	}
	return false
}

// What a turn takes together. A larger push has a turn of its own.
const (
	turnPushes = 256
	turnBytes  = 1 << 20
	turnOps    = 10_000
)

// take takes the pushes of a turn: those that wait, in order, up to the second one
// of a client.
func (sp *space) take() []*push {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	n, bytes, ops := 0, 0, 0
	clients := map[wire.ClientID]bool{}
	for ; n < min(len(sp.queue), turnPushes); n++ {
		p := sp.queue[n]
		bytes, ops = bytes+p.bytes, ops+p.ops
		if n > 0 && (bytes > turnBytes || ops > turnOps || clients[p.req.Client]) {
			break
		}
		clients[p.req.Client] = true
	}
	taken := append([]*push(nil), sp.queue[:n]...)
	sp.queue = append([]*push(nil), sp.queue[n:]...)
	return taken
}

// takeTurn decides what waits. The caller has taken the turn, which ends.
func (sp *space) takeTurn() {
	t := &turn{sp: sp, o: &sp.s.o, pushes: sp.take()}
	began := time.Now()
	err := errcode.New(errcode.Internal, "server", "a fault of the server")
	defer func() {
		for _, p := range t.pushes {
			p.steps = append([]Step{{"wait", p.queued, began.Sub(p.queued)}}, t.steps...)
			if p.err == nil && p.res == nil {
				p.err = err
			}
			close(p.done)
		}
		sp.endTurn()
	}()
	if e := t.run(); e != nil {
		for _, p := range t.pushes {
			if p.err == nil {
				p.res, p.err = nil, e
			}
		}
	}
}

// endTurn gives the turn back.
func (sp *space) endTurn() {
	held := int64(0)
	if sp.st != nil {
		held = sp.st.rows.size()
	}
	<-sp.turn
	sp.s.warmed(sp, held)
}

// run decides and commits, until a commit stands or fails for good. The first try is
// on what is in memory, if that is all that the pushes need.
func (t *turn) run() error {
	for t.warm = true; ; {
		if t.warm && !t.recall() {
			t.forget()
		}
		if !t.warm {
			if err := t.readAll(); err != nil {
				return err
			}
		}
		if !t.decide() {
			continue // without the one that failed in the middle
		}
		if t.w.Empty() {
			if t.warm && t.answers() {
				t.forget() // nothing proves those answers: they are read first
				continue
			}
			return nil
		}
		if happened, err := t.commit(); err != nil || happened {
			return err
		}
		if t.warm {
			t.forget()
		}
	}
}

// answers reports whether a push is answered with what is known of the space. The
// errors of decide are not, but for what a sealed space refuses.
func (t *turn) answers() bool {
	return slices.ContainsFunc(t.pushes, func(p *push) bool {
		var refused *refusal
		return p.err == nil || errors.As(p.err, &refused)
	})
}

// forget has the next try read the store, and all pushes be in it again. What memory
// has said of them is no answer, also where the store has none.
func (t *turn) forget() {
	t.warm = false
	for _, p := range t.pushes {
		p.err, p.failed, p.drop = nil, nil, false
	}
}

// readAll reads what the pushes need of the store, which has a bound of its own for
// that: what each may take to be decided is not for the others to lose.
func (t *turn) readAll() error {
	defer t.step("read", time.Now())
	ctx, cancel := t.storeContext()
	defer cancel()
	return t.sp.readOrMake(ctx, t.readStore)
}

// storeContext bounds a call of the store for the pushes together.
func (t *turn) storeContext() (context.Context, context.CancelFunc) {
	bound := t.o.Limits.Store
	for _, p := range t.pushes {
		bound += time.Duration(p.ops)*storeRow + time.Duration(p.bytes)*storeMiB/(1<<20)
		for _, tx := range p.joined {
			bound += time.Duration(len(tx.body.Ops))*storeRow + time.Duration(len(tx.data))*storeMiB/(1<<20)
		}
	}
	return context.WithTimeout(context.Background(), bound)
}

// step notes what the turn has done since a moment.
func (t *turn) step(name string, began time.Time) {
	t.steps = append(t.steps, Step{name, began, time.Since(began)})
}

// commit commits what was decided. It is false where that was on another base than
// the head, or on a row's being new that is not.
func (t *turn) commit() (happened bool, err error) {
	defer t.step("commit", time.Now())
	ctx, cancel := t.storeContext()
	defer cancel()
	err = t.sp.s.store.Commit(ctx, t.sp.name, &t.w)
	switch {
	case err == nil:
		t.st.advance(t)
	case errors.Is(err, logstore.ErrMoved):
		t.sp.st = nil
		return false, nil
	case errors.Is(err, logstore.ErrNotNew):
		t.st.met(true)
		return false, nil
	default:
		t.sp.st = nil
		if happened, err = t.happened(err); !happened {
			return false, err
		}
	}
	t.keepSealed()
	t.sp.advance(t.w.Base, &t.w)
	t.sp.s.tally.decided(t.w.Entries)
	return true, nil
}

// happened finds out about a commit whose outcome is not known: a chain hash names
// the whole past. Where the head is another one, it is decided anew, and what was
// decided is found so. The log may have these entries by another server's commit: what
// this one has guessed of rows is not proven then, and the state is the store's.
func (t *turn) happened(cause error) (yes bool, err error) {
	var found logstore.State
	err = t.sp.read(context.Background(), func(v logstore.View) error {
		m, err := v.Meta()
		found = m.State
		return err
	})
	switch {
	case err != nil, found.Head == t.w.Base:
		return false, cause
	case found.Head != t.w.Head:
		return false, nil
	}
	t.w.State = found
	return true, nil
}

func fork(counter uint64) error {
	return errcode.New(errcode.ClientFork, "server: push",
		fmt.Sprintf("this client id has already numbered another transaction %d: the database was copied", counter))
}

// entryBytes is what an entry of the log takes beside its body.
const entryBytes = logstore.EntryBytes
