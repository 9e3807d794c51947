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
	record *record
	ctx    context.Context
	cancel context.CancelFunc
	order  order
	writes chan *call
	reads  chan *call

	mu       sync.Mutex
	closed   bool
	greeted  bool
	outdated bool // its app does not know all of the schema
	token    bool // the page can be asked for a token
	calls    map[uint32]*call
	txs      map[uint32]*transaction
	loads    map[uint32]*load
	exports  map[uint32]*store.Copy
	lives    map[uint32]*liveQuery
	its      map[uint32]*iteration
	status   gate
	progress gate
}

// call is a request that has not been answered.
type call struct {
	rpc.Request
	s      *Session
	ctx    context.Context
	cancel context.CancelFunc
	after  uint64 // see order
	begun  bool   // a read has told order that it begins
	begins func() // told of it too, if not nil

	inChunks bool // part of the answer was sent before its end

	// Guarded by Session.mu.
	started  bool // a line has taken it
	answered bool
}

// Connect adds a tab. Its requests come to Handle; its replies and events go to
// p. tab names it in announcements, and stays the same from leader to leader.
func (l *Leader) Connect(p Peer, tab string) *Session {
	s := &Session{
		l: l, peer: p, tab: tab, record: l.recordOf(tab),
		writes:  make(chan *call, MaxQueued),
		reads:   make(chan *call, MaxQueued),
		calls:   map[uint32]*call{},
		txs:     map[uint32]*transaction{},
		loads:   map[uint32]*load{},
		exports: map[uint32]*store.Copy{},
		lives:   map[uint32]*liveQuery{},
		its:     map[uint32]*iteration{},
	}
	s.order.init(l.held)
	s.ctx, s.cancel = context.WithCancel(l.ctx)
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		s.closed = true
		s.cancel()
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

// Close says that the tab is gone: its open transaction is rolled back, its
// live queries end, its waiting requests are dropped.
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
	s.cancel()
	for _, q := range lives {
		q.stop()
	}
	s.l.mu.Lock()
	delete(s.l.sessions, s)
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

// Handle takes one message of the tab and returns soon: it waits for nobody.
func (s *Session) Handle(message []byte) {
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
	if q.Method == rpc.MethodHello {
		s.hello(q)
		return
	}
	if !greeted {
		s.send(rpc.ReplyError(q.ID, errcode.New(errcode.Protocol, "leader: handle", "a request before hello")))
		return
	}
	switch q.Method {
	case rpc.MethodCancel:
		s.cancelCall(q.Target)
	case rpc.MethodAck:
		s.ack(q.Target, q.Event)
	case rpc.MethodToken:
		s.l.tokens.answer(s, q.Target, q.Token, q.Err)
	case rpc.MethodLiveStop:
		s.stopLive(q.Target)
	case rpc.MethodCredit:
		s.credit(q.Target, q.Credit)
	default:
		if !s.quick(q) {
			s.enqueue(q)
		}
	}
}

func (s *Session) hello(q rpc.Request) {
	const op = "leader: hello"
	l := s.l
	known := uint32(len(l.config.Migrations))
	switch {
	case q.Hello.Version != rpc.Version:
		s.send(rpc.ReplyError(q.ID, errcode.New(errcode.Protocol, op,
			fmt.Sprintf("this tab speaks version %d, the leading tab version %d: reload the older one", q.Hello.Version, rpc.Version))))
		return
	case q.Hello.Migrations > known:
		// Its page hears of the newer one and makes room.
		s.send(rpc.ReplyError(q.ID, errcode.New(errcode.Outdated, op,
			fmt.Sprintf("the leading tab runs an older version of the app, with %d migrations instead of %d", known, q.Hello.Migrations))))
		return
	}
	s.mu.Lock()
	s.greeted = true
	s.outdated = q.Hello.Migrations < known
	s.token = q.Hello.Token
	s.mu.Unlock()
	l.mu.Lock()
	storage := l.storage
	l.mu.Unlock()
	s.send(rpc.ReplyWelcome(q.ID, rpc.Welcome{
		Version: rpc.Version, Leader: l.env.LeaderID, Storage: storage, Migrations: known,
		Commit: l.db.CommitNumber(), Sync: l.sync != nil, Status: l.status(),
	}))
	s.tellRecovered()
	if q.Hello.Token {
		l.tokens.came(s)
	}
}

// enqueue puts a request into the line that it belongs to.
func (s *Session) enqueue(q rpc.Request) {
	const op = "leader: handle"
	c := &call{Request: q, s: s}
	c.ctx, c.cancel = s.limit(q)
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
	switch c.Method {
	case rpc.MethodTxExec, rpc.MethodTxQuery, rpc.MethodTxBatch, rpc.MethodTxCommit, rpc.MethodTxRollback:
		t := s.txs[c.Target]
		if t == nil {
			return t.over(s.l)
		}
		return put(t.line)
	case rpc.MethodBulkRows, rpc.MethodBulkEnd, rpc.MethodImportPart, rpc.MethodImportEnd:
		d := s.loads[c.Target]
		if d == nil {
			return errcode.New(errcode.TxClosed, op, "the load that this belongs to has ended")
		}
		return put(d.parts)
	case rpc.MethodPing, rpc.MethodClose, rpc.MethodSyncStatus, rpc.MethodSyncNow,
		rpc.MethodSyncPause, rpc.MethodSyncResume, rpc.MethodSyncAccept, rpc.MethodSyncDigest,
		rpc.MethodSyncPending, rpc.MethodSyncRejected, rpc.MethodSyncRetry, rpc.MethodSyncDiscard,
		rpc.MethodSyncDangling, rpc.MethodSyncQuarantined, rpc.MethodSyncExport, rpc.MethodHealth, rpc.MethodExportPart, rpc.MethodExportEnd:
		s.l.spawn(func() { s.run(c, s.side) })
		return nil
	}
	write := c.isWrite()
	line := s.reads
	if write {
		line = s.writes
	}
	if len(line) == cap(line) {
		return put(line)
	}
	if c.Method == rpc.MethodBulkBegin || c.Method == rpc.MethodImportBegin {
		s.loads[c.ID] = newLoad()
	}
	c.after = s.order.arrive(write)
	return put(line)
}

func (c *call) isWrite() bool {
	switch c.Method {
	case rpc.MethodExec, rpc.MethodBatch, rpc.MethodBulkBegin, rpc.MethodImportBegin, rpc.MethodTxBegin, rpc.MethodOutcome:
		return true
	case rpc.MethodQuery:
		return c.Write.Counter != 0
	}
	return false
}

// line serves one line of calls until the session ends.
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
		if c.isBrief() {
			c = s.brief(c)
			continue
		}
		s.run(c, s.writeCall)
		s.order.writeDone(1)
		return
	}
}

func (s *Session) read(c *call) {
	s.order.waitToRead(c.ctx, c.after)
	if c.Method == rpc.MethodIterate {
		s.iterate(c)
		return
	}
	s.run(c, s.readCall)
	c.begin()
}

// begin tells that a read has its snapshot.
func (c *call) begin() {
	if !c.begun {
		c.begun = true
		c.s.order.readBegun()
		if c.begins != nil {
			c.begins()
		}
	}
}

// run runs a call, if nobody has cancelled it, and sends its error.
func (s *Session) run(c *call, f func(*call) error) {
	if c.start() {
		if err := guarded(c, f); err != nil {
			c.fail(err)
		}
	}
	c.finish()
}

// start says that the call's turn has come, and reports whether it still wants
// to run.
func (c *call) start() bool {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	c.started = true
	return !c.answered
}

// guarded runs f for a call that nobody has cancelled.
func guarded(c *call, f func(*call) error) error {
	return whole(c, func(c *call) error {
		if err := c.ctx.Err(); err != nil {
			return errcode.Wrap(err, errcode.Aborted, "leader: handle")
		}
		return f(c)
	})
}

// whole makes an error of a panic of f, and says it as the page is to see it.
func whole(c *call, f func(*call) error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = errcode.New(errcode.Internal, "leader: handle", fmt.Sprintf("a fault of Heddle: %v", r))
		}
	}()
	return c.late(f(c))
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

// cancelCall ends a call: at once if it still waits in a line.
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
