// Package server is Heddle's sync server: an http.Handler that keeps each
// space's log, decides the transactions that clients push, and streams the log
// to clients that pull. docs/PROTOCOL.md is its protocol.
//
// Where the spaces are kept is the store's matter: package logstore says what one
// promises. What is acknowledged has been committed there.
//
//	store, err := sqlitestore.Open(sqlitestore.Options{Dir: "data"})
//	…
//	srv, err := server.New(server.Options{Store: store, Tokens: key})
//	hs := &http.Server{Addr: addr, Handler: srv}
//	hs.RegisterOnShutdown(srv.Drain) // ends the streams, which would never end
//	…
//	hs.Shutdown(ctx)
//	srv.Close()
//	store.Close()
package server

import (
	"container/list"
	"context"
	"crypto/rand"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/logstore"
	"heddle.dev/heddle/sync/server/auth"
	"heddle.dev/heddle/sync/server/mailbox"
)

// Options say how a Server works.
type Options struct {
	Store  logstore.Store // where spaces are kept; the server does not close it
	Dev    bool           // no tokens, any space, pages of this machine: for development
	Tokens auth.Verifier  // verifies tokens; needed without Dev
	// Revoked, if there is one, says whether a token no longer counts. It is asked
	// about each request, and twice a second about each open stream: it must be
	// quick.
	Revoked func(*auth.Grant) bool
	// Origins that may call from a browser, such as "https://app.example"; "*"
	// is any. The server's own origin needs no mention, and with Dev neither do
	// those of this machine.
	Origins []string
	// Decide, if there is one, is asked about each well-formed transaction in
	// its turn: those of the space that come after it wait meanwhile, so it must be
	// quick. An error rejects the transaction: with its code if it is a
	// heddle.Error, else with HEDDLE_REJECTED. ErrUndecided leaves it pending. It
	// may be called again for one transaction, on other rows, and what it said
	// before may come to nothing: it must have no effect outside.
	Decide    func(context.Context, *Decision) error
	Limits    Limits
	Heartbeat time.Duration // between frames of an idle stream; 15 s if 0
	// Recheck is how often the heads of all spaces that are followed are read, in a
	// store that other servers write to as well: a lost hint costs as much. 0: never.
	Recheck  time.Duration
	Observer Observer     // nil: nobody is told
	Logger   *slog.Logger // nil logs nothing
}

// Limits bound what clients may ask for. A zero field has its default.
type Limits struct {
	Body     int           // bytes of a transaction, more is void; wire.MaxBody
	Ops      int           // operations of a transaction, more is void; wire.MaxOps
	Row      int           // bytes of a row's cells, more is void; wire.MaxRow
	Again    int64         // bytes of rows that a transaction touches again, each time counted, more is void; 256 MiB
	Staged   int64         // bytes of unfinished uploads of a space; 256 MiB
	Uploads  int           // unfinished uploads of a space; 1,000
	Log      int64         // bytes of a space's log that are kept, or twice those of its rows if that is more; 16 MiB
	Frame    int           // about how many bytes of rows go into a frame of a snapshot; 2 MiB
	Streams  int           // open pull streams in all; 10,000
	Spaces   int           // spaces whose schema and digest are kept in memory; 256
	Memory   int64         // bytes of the rows that those keep there as well; 64 MiB
	Request  time.Duration // to read a request, or to write a frame, beside what its bytes take at 32 KiB/s; 30 s
	Refused  time.Duration // to read what a refused request still sends, before its connection ends; 2 s
	Decision time.Duration // to decide what a push holds; 60 s
	Store    time.Duration // for a call of the store, beside what large pushes take; 10 s
	Pushes   int           // pushes of a space that wait for their turn; 256
	Zips     int           // compressed streams of a space, more are sent as they are; 256
	Heads    time.Duration // between two heads of a device of a sealed space; 10 s
	// Of a sealed space: entries at the end of the log that are never cut, fewer than seal.Window for tests alone; and how
	// much of it there is since a snapshot when a device is asked for another: entries, bytes, or half of what that has.
	SealedKept    int   // 8,192
	SealedEntries int   // 50,000
	SealedBytes   int64 // 4 MiB
	// What one subject may use: a token's subject, or an address without tokens. A
	// negative one is no limit, as is the default with Dev.
	SubjectStaged  int64 // bytes of unfinished uploads in a space; 64 MiB
	SubjectUploads int   // unfinished uploads in a space; 32
	SubjectStreams int   // open pull streams in all; 100
	SubjectPushes  int   // pushes at once in a space; 16
	SubjectZips    int   // compressed streams in a space; 16
	// What a space may hold; none where they are 0. A token's own quota counts in place
	// of these, and of SubjectStreams and Rate.
	QuotaRows    int64 // rows
	QuotaBytes   int64 // bytes of rows; of the log, in a sealed space
	QuotaDevices int64 // devices that have ever written
	// Rate is how many requests a second one subject may make, with bursts of
	// four times as many; 50. It may be negative, as above.
	Rate float64
}

// Server is an http.Handler. It is safe for concurrent use.
type Server struct {
	o     Options
	store logstore.Store
	log   *slog.Logger
	rate  rate

	leaving  atomic.Bool   // set by DrainOver and Drain: not ready, and no new streams
	drain    chan struct{} // closed by Drain: streams end
	draining sync.Once
	closing  chan struct{} // closed by Close: decisions whose request is gone end

	mu      sync.Mutex        // taken before that of a space, and never while one is held
	spaces  map[string]*space // those that somebody uses, and the warm ones
	warm    *list.List        // of spaces that may have a state in memory, the last used first
	held    int64             // bytes of the rows that those have
	closed  bool
	streams map[*feed]bool
	active  sync.WaitGroup // requests

	hints    hints
	watching sync.WaitGroup

	ready readiness
	tally tally

	challengeKey [32]byte // see sealed.go
	mailboxes    *mailbox.All

	slots   slots
	refused refusedOrigins
}

// New makes a server over a store. The caller closes both, the server first.
func New(o Options) (*Server, error) {
	const op = "server: open"
	if !o.Dev && o.Tokens == nil {
		return nil, errcode.New(errcode.BadParam, op, "a key for tokens is needed, or development mode")
	}
	if o.Store == nil {
		return nil, errcode.New(errcode.BadParam, op, "a store is needed")
	}
	o.Limits.defaults(o.Dev)
	if o.Heartbeat <= 0 {
		o.Heartbeat = 15 * time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Server{
		o: o, store: o.Store, log: o.Logger, rate: rate{buckets: map[string]*bucket{}},
		drain: make(chan struct{}), closing: make(chan struct{}),
		spaces: map[string]*space{}, warm: list.New(), streams: map[*feed]bool{}, hints: newHints(),
		mailboxes: mailbox.New(o.Dev),
	}
	rand.Read(s.challengeKey[:]) // never fails
	go s.watch()
	s.watching.Go(s.watchStore)
	return s, nil
}

// DrainOver makes the server not ready and refuses new streams. Those that are open
// end one after the other, spread over a time, so that their devices come to other
// servers one after the other. Pushes go on. It returns when all have been told to
// end and that time is over, or when ctx ends; Drain ends those that are left.
func (s *Server) DrainOver(ctx context.Context, over time.Duration) {
	s.leaving.Store(true)
	s.mu.Lock()
	feeds := slices.Collect(maps.Keys(s.streams)) // in no order
	s.mu.Unlock()
	began := time.Now()
	for i, f := range feeds {
		if !sleepUntil(ctx, began.Add(over*time.Duration(i+1)/time.Duration(len(feeds)+1))) {
			return
		}
		f.end(errDrained)
	}
	sleepUntil(ctx, began.Add(over))
}

func sleepUntil(ctx context.Context, at time.Time) bool {
	t := time.NewTimer(time.Until(at))
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// Drain ends all open streams at once, so that http.Server.Shutdown can end. Pushes
// go on.
func (s *Server) Drain() {
	s.leaving.Store(true)
	s.draining.Do(func() { close(s.drain) })
}

// Close refuses new requests and waits for those under way.
func (s *Server) Close() error {
	s.Drain()
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.mu.Unlock()
	close(s.closing)
	s.active.Wait()
	s.watching.Wait()
	return nil
}

// acquire returns a space for as long as it is not released.
func (s *Server) acquire(name string) *space {
	s.mu.Lock()
	defer s.mu.Unlock()
	sp := s.spaces[name]
	if sp == nil {
		sp = newSpace(s, name)
		s.spaces[name] = sp
	}
	sp.refs++
	return sp
}

func (s *Server) release(sp *space) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sp.refs--
	s.forget(sp)
}

// forget drops a space that nobody uses and that has nothing in memory. The caller
// holds s.mu.
func (s *Server) forget(sp *space) {
	if sp.refs == 0 && sp.warm == nil {
		delete(s.spaces, sp.name)
	}
}

// warmed notes that a space has a state in memory, with so many bytes of rows, and
// drops the states that were not used for the longest beyond the limits.
func (s *Server) warmed(sp *space, held int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held, sp.held = s.held-sp.held+held, held
	if sp.warm == nil {
		sp.warm = s.warm.PushFront(sp)
	} else {
		s.warm.MoveToFront(sp.warm)
	}
	for s.warm.Len() > s.o.Limits.Spaces || s.held > s.o.Limits.Memory && s.warm.Len() > 1 {
		cold := s.warm.Remove(s.warm.Back()).(*space)
		cold.warm = nil
		s.held, cold.held = s.held-cold.held, 0
		select {
		case cold.turn <- struct{}{}:
			cold.st, cold.sealed = nil, nil
			<-cold.turn
		default: // it is in use, and is noted again after its turn
		}
		s.forget(cold)
	}
}
