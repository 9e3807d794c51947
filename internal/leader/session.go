package leader

import (
	"context"
	"fmt"
	"sync"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/rpc"
	"heddle.dev/heddle/internal/store"
)

// Session is one tab. Handle is called by one goroutine at a time.
type Session struct {
	l      *Leader
	peer   Peer
	tab    string
	ctx    context.Context
	end    context.CancelFunc
	order  order
	writes chan *call
	reads  chan *call

	delivery *delivery
	listens  int // Leader.mu guards it

	mu       sync.Mutex
	closed   bool
	greeted  bool
	outdated bool // its app knows only a part of the schema
	canToken bool // the page can be asked for a token
	calls    map[uint32]*call
	txs      map[uint32]*transaction
	loads    map[uint32]*load
	exports  map[uint32]*store.Copy
	lives    map[uint32]*liveQuery
	its      map[uint32]*iteration
	asked    map[uint32]chan<- string // calls that have asked their page something
	status   coalescer
	progress coalescer
}

// call is a request that has not been answered.
type call struct {
	rpc.Request
	s      *Session
	method *method
	tx     *transaction // of a request in LaneTx
	ctx    context.Context
	cancel context.CancelFunc
	after  uint64 // see order
	begun  bool   // order has counted that the read has begun
	begins func() // called then, if not nil

	inChunks bool // part of the answer was sent before its end

	// Guarded by Session.mu.
	started  bool // a queue's goroutine has taken it
	answered bool
}

// Connect adds a tab. Its requests come to Handle; its replies and events go to
// p. tab names it in announcements, and stays the same from leader to leader.
func (l *Leader) Connect(p Peer, tab string) *Session {
	s := &Session{
		l: l, peer: p, tab: tab,
		writes:  make(chan *call, MaxQueued),
		reads:   make(chan *call, MaxQueued),
		calls:   map[uint32]*call{},
		txs:     map[uint32]*transaction{},
		loads:   map[uint32]*load{},
		exports: map[uint32]*store.Copy{},
		lives:   map[uint32]*liveQuery{},
		its:     map[uint32]*iteration{},
		asked:   map[uint32]chan<- string{},
	}
	s.delivery = newDelivery(s)
	s.order.init(l.hasLongWriter)
	s.ctx, s.end = context.WithCancel(l.ctx)
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		s.closed = true
		s.end()
		return s
	}
	l.sessions[s] = struct{}{}
	l.connects++
	l.met[tab] = l.connects
	l.running.Add(2)
	l.mu.Unlock()
	go s.line(s.writes, s.write)
	go s.line(s.reads, s.read)
	return s
}

// Close is called when the tab is gone: its open transaction is rolled back, its live
// queries end, its waiting requests are dropped.
func (s *Session) Close() {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return
	}
	s.closed = true
	lives, exports := s.lives, s.exports
	s.lives, s.exports = nil, nil
	s.mu.Unlock()
	for _, k := range exports {
		k.Close()
	}
	s.end()
	for _, q := range lives {
		q.stop()
	}
	s.l.mu.Lock()
	delete(s.l.sessions, s)
	s.l.listening -= s.listens
	s.listens = 0
	s.l.mu.Unlock()
	s.l.tokens.gone(s)
}

// send sends unless the session is closed.
func (s *Session) send(message []byte) {
	s.mu.Lock()
	closed := s.closed
	s.mu.Unlock()
	if !closed {
		s.peer.Send(message)
	}
}

// Handle takes one message of the tab and returns soon: it does not wait. more says that
// others came with it.
func (s *Session) Handle(message []byte, more bool) {
	q, err := rpc.DecodeRequest(message)
	if err != nil {
		if q.ID != 0 {
			s.send(rpc.ReplyError(q.ID, err))
		}
		return
	}
	s.mu.Lock()
	greeted := s.greeted
	s.mu.Unlock()
	switch lane := q.Lane(); {
	case lane != rpc.LaneHello && !greeted:
		err = errcode.New(errcode.Protocol, "leader: handle", "a request before hello")
	case lane == rpc.LaneHello, lane == rpc.LaneTell:
		c := &call{Request: q, s: s, method: &methods[q.Method]}
		err = dispatch(c)
	case !s.try(q, more):
		s.enqueue(q, &methods[q.Method])
	}
	if err != nil {
		s.send(rpc.ReplyError(q.ID, err))
	}
}

func (s *Session) hello(c *call) error {
	const op = "leader: hello"
	l := s.l
	known := uint32(len(l.config.Migrations))
	switch hello := c.Hello; {
	case hello.Version != rpc.Version:
		return errcode.New(errcode.Protocol, op, fmt.Sprintf(
			"this tab speaks version %d, the leading tab version %d: reload the older one", hello.Version, rpc.Version))
	case hello.Migrations > known:
		// Its page tells the leader's page, which makes room.
		return errcode.New(errcode.Outdated, op, fmt.Sprintf(
			"the leading tab runs an older version of the app, with %d migrations instead of %d", known, hello.Migrations))
	case hello.Migrations == known && hello.Texts != rpc.HashMigrations(l.config.Migrations):
		return errcode.New(errcode.Migration, op,
			"the tab that leads has opened the database with other migrations, as many as these: reload the older tab. "+
				"An applied migration must not change; while you develop, start over: "+
				"close the tabs, and call destroy() with the database's name")
	}
	if before := c.Hello.Leader; before != "" && before != l.env.LeaderID {
		l.db.NumberAbove(c.Hello.Commit)
	}
	s.mu.Lock()
	s.greeted = true
	s.outdated = c.Hello.Migrations < known
	s.canToken = c.Hello.Token
	s.mu.Unlock()
	l.mu.Lock()
	storage := l.storage
	l.mu.Unlock()
	s.send(rpc.ReplyWelcome(c.ID, rpc.Welcome{
		Version: rpc.Version, Leader: l.env.LeaderID, Storage: storage, Migrations: known,
		Commit: l.db.CommitNumber(), Sync: l.sync != nil, Status: l.status(),
	}))
	s.tellRecovered()
	if c.Hello.Token {
		l.tokens.came(s)
	}
	return nil
}

// enqueue puts a request into its queue.
func (s *Session) enqueue(q rpc.Request, m *method) {
	const op = "leader: handle"
	c := &call{Request: q, s: s, method: m}
	c.ctx, c.cancel = s.callContext(q)
	s.mu.Lock()
	var err error
	switch _, twice := s.calls[q.ID]; {
	case s.closed:
		s.mu.Unlock()
		c.cancel()
		return
	case twice:
		err = errcode.New(errcode.Protocol, op, "an id that is still in use")
	default:
		err = s.route(c)
	}
	if err == nil {
		s.calls[q.ID] = c
	}
	s.mu.Unlock()
	if err != nil {
		c.cancel()
		s.send(rpc.ReplyError(q.ID, err))
	}
}

// route is called with the mutex held.
func (s *Session) route(c *call) error {
	const op = "leader: handle"
	put := func(line chan *call) error {
		select {
		case line <- c:
			return nil
		default:
			return errcode.New(errcode.Busy, op, "too many calls of this tab wait already")
		}
	}
	lane := c.Lane()
	switch lane {
	case rpc.LaneTx:
		if c.tx = s.txs[c.Target]; c.tx == nil {
			return c.tx.over(s.l)
		}
		return put(c.tx.line)
	case rpc.LaneLoad:
		d := s.loads[c.Target]
		if d == nil {
			return errcode.New(errcode.TxClosed, op, "the load that this belongs to has ended")
		}
		return put(d.parts)
	case rpc.LaneSide:
		s.l.spawn(func() { s.run(c, dispatch) })
		return nil
	}
	line := s.reads
	if lane == rpc.LaneWrite {
		line = s.writes
	}
	if len(line) == cap(line) {
		return put(line)
	}
	if c.method.load {
		s.loads[c.ID] = newLoad()
	}
	c.after = s.order.arrive(lane == rpc.LaneWrite)
	return put(line)
}

// line serves one queue of calls until the session ends.
func (s *Session) line(line chan *call, serve func(*call)) {
	defer s.l.running.Done()
	for {
		select {
		case c := <-line:
			serve(c)
		case <-s.ctx.Done():
			return
		}
	}
}

func (s *Session) write(c *call) {
	for c != nil {
		s.order.waitToWrite(c.ctx, c.after)
		if c.isGroupable() {
			c = s.groupCommit(c)
			continue
		}
		s.run(c, dispatch)
		s.order.writeDone(1)
		return
	}
}

func (s *Session) read(c *call) {
	s.order.waitToRead(c.ctx, c.after)
	if !c.method.beside {
		s.run(c, dispatch)
		c.begin()
		return
	}
	begun := make(chan struct{})
	c.begins = func() { close(begun) }
	s.l.spawn(func() {
		s.run(c, dispatch)
		c.begin()
	})
	<-begun
}

// begin is called when the call has its snapshot, if it is a read.
func (c *call) begin() {
	if !c.begun && c.Lane() == rpc.LaneRead {
		c.begun = true
		c.s.order.readBegun()
		if c.begins != nil {
			c.begins()
		}
	}
}

// dispatch does what the call's method is for.
func dispatch(c *call) error { return c.method.do(c.s, c) }

// run serves a call, unless it was cancelled, and sends its error.
func (s *Session) run(c *call, f func(*call) error) {
	if c.start() {
		if err := unlessCancelled(c, f); err != nil {
			c.fail(err)
		}
	}
	c.finish()
}

// start is called when the call's turn has come, and reports whether the call is to
// run.
func (c *call) start() bool {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	c.started = true
	return !c.answered
}

// unlessCancelled runs f for a call that was not cancelled.
func unlessCancelled(c *call, f func(*call) error) error {
	return recovering(c, func(c *call) error {
		if err := c.ctx.Err(); err != nil {
			return errcode.Wrap(err, errcode.Aborted, "leader: handle")
		}
		return f(c)
	})
}

// recovering runs f and makes an error of its panic. The error is as the page gets it.
func recovering(c *call, f func(*call) error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = errcode.New(errcode.Internal, "leader: handle", fmt.Sprintf("a fault of Heddle: %v", r))
		}
	}()
	return c.explainTimeout(f(c))
}

// finish forgets the call.
func (c *call) finish() {
	c.s.mu.Lock()
	d := c.s.loads[c.ID]
	delete(c.s.calls, c.ID)
	delete(c.s.loads, c.ID)
	c.s.mu.Unlock()
	c.cancel()
	if d != nil {
		d.drain()
	}
}

// reply sends the call's last message, once.
func (c *call) reply(message []byte) {
	c.s.mu.Lock()
	first := !c.answered
	c.answered = true
	c.s.mu.Unlock()
	if first {
		c.s.send(message)
	}
}

func (c *call) fail(err error) { c.reply(rpc.ReplyError(c.ID, err)) }

func (c *call) done() { c.reply(rpc.Reply(c.ID, rpc.KindResult)) }

func (s *Session) cancel(c *call) error {
	s.cancelCall(c.Target)
	return nil
}

// cancelCall ends a call: at once if it still waits in a queue.
func (s *Session) cancelCall(id uint32) {
	s.mu.Lock()
	c := s.calls[id]
	waiting := c != nil && !c.started
	s.mu.Unlock()
	if c == nil {
		return
	}
	c.cancel()
	if waiting {
		c.fail(errcode.Wrap(context.Canceled, errcode.Aborted, "leader: handle"))
	}
}

func (s *Session) origin() store.Origin { return store.Origin{Kind: store.Local, Tab: s.tab} }
