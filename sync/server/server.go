// Package server is Heddle's sync server: an http.Handler that keeps each
// space's log, decides the transactions that clients push, and streams the log
// to clients that pull. docs/PROTOCOL.md is its protocol.
//
// A space is one SQLite file in Options.Dir. What is acknowledged has been
// committed with synchronous=FULL. One process at a time serves a directory.
//
//	srv, err := server.New(server.Options{Dir: "data", Tokens: key})
//	hs := &http.Server{Addr: addr, Handler: srv}
//	hs.RegisterOnShutdown(srv.Drain) // ends the streams, which would never end
//	…
//	hs.Shutdown(ctx)
//	srv.Close()
package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/server/auth"
)

// Options say how a Server works.
type Options struct {
	Dir    string        // where spaces are kept; made if missing
	VFS    string        // SQLite's name for what keeps the files, "" for the platform's; Dir is a path in it
	Dev    bool          // no tokens, any space, pages of this machine: for development
	Tokens auth.Verifier // verifies tokens; needed without Dev
	// Revoked, if there is one, says whether a token no longer counts. It is asked
	// about each request, and twice a second about each open stream: it must be
	// quick.
	Revoked func(*auth.Grant) bool
	// Origins that may call from a browser, such as "https://app.example"; "*"
	// is any. The server's own origin needs no mention, and with Dev neither do
	// those of this machine.
	Origins []string
	// Decide, if there is one, is asked about each well-formed transaction in
	// its turn, inside the space's write lock: it must be quick. An error
	// rejects the transaction: with its code if it is a heddle.Error, else with
	// HEDDLE_REJECTED. ErrUndecided leaves it pending. It may be called twice for one
	// transaction, and must have no effect outside.
	Decide    func(context.Context, *Decision) error
	Limits    Limits
	Heartbeat time.Duration // between frames of an idle stream; 15 s if 0
	Logger    *slog.Logger  // nil logs nothing
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
	Digests  int64         // of how many entries back from the log's end digests are kept; 10,000
	Frame    int           // about how many bytes of rows go into a frame of a snapshot; 2 MiB
	Streams  int           // open pull streams in all; 10,000
	Spaces   int           // spaces kept open when idle; 64
	Request  time.Duration // to read a request, or to write a frame, beside what its bytes take at 32 KiB/s; 30 s
	Refused  time.Duration // to read what a refused request still sends, before its connection ends; 2 s
	Decision time.Duration // to decide what a push holds; 60 s
	Pushes   int           // pushes of a space that wait for their turn; 256
	Zips     int           // compressed streams of a space, more are sent as they are; 256
	// What one subject may use: a token's subject, or an address without tokens. A
	// negative one is no limit, as is the default with Dev.
	SubjectStaged  int64 // bytes of unfinished uploads in a space; 64 MiB
	SubjectUploads int   // unfinished uploads in a space; 32
	SubjectStreams int   // open pull streams in all; 100
	SubjectPushes  int   // pushes at once in a space; 16
	SubjectZips    int   // compressed streams in a space; 16
	// Rate is how many requests a second one subject may make, with bursts of
	// four times as many; 50. It may be negative, as above.
	Rate float64
}

// Server is an http.Handler. It is safe for concurrent use.
type Server struct {
	o    Options
	log  *slog.Logger
	rate *rate
	lock *conn // holds the directory

	drain    chan struct{} // closed by Drain: streams end
	draining sync.Once
	closing  chan struct{} // closed by Close: decisions whose request is gone end

	mu      sync.Mutex
	spaces  map[string]*space
	opening map[string]chan struct{} // closed when the open has ended
	closed  bool
	streams map[*feed]bool
	active  sync.WaitGroup // requests

	slots   slots
	refused refusedOrigins
}

// New opens the directory. The caller closes the Server.
func New(o Options) (*Server, error) {
	const op = "server: open"
	if !o.Dev && o.Tokens == nil {
		return nil, errcode.New(errcode.BadParam, op, "a key for tokens is needed, or development mode")
	}
	if o.Dir == "" {
		return nil, errcode.New(errcode.BadParam, op, "a data directory is needed")
	}
	o.Limits.defaults(o.Dev)
	if o.Heartbeat <= 0 {
		o.Heartbeat = 15 * time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	dir := o.Dir
	if o.VFS == "" {
		var err error
		if dir, err = filepath.Abs(o.Dir); err != nil {
			return nil, errcode.Wrap(err, errcode.Server, op)
		}
		o.Dir = dir
		if most := maxPath - maxFileName - 1; len(dir) > most {
			return nil, errcode.New(errcode.BadParam, op,
				fmt.Sprintf("the data directory's path has %d bytes, and may have %d", len(dir), most))
		}
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, errcode.Wrap(err, errcode.Server, op)
		}
	}
	lock, err := lockDir(dir, o.VFS)
	if err != nil {
		return nil, err
	}
	s := &Server{
		o: o, log: o.Logger, rate: newRate(o.Limits.Rate), lock: lock,
		drain: make(chan struct{}), closing: make(chan struct{}),
		spaces: map[string]*space{}, opening: map[string]chan struct{}{}, streams: map[*feed]bool{},
	}
	go s.watch()
	return s, nil
}

// lockDir takes a data directory for this process, as long as the connection is
// open: an exclusive lock on an SQLite file of its own is as portable as SQLite.
func lockDir(dir, vfsName string) (*conn, error) {
	lock, err := openConn(fileURI(filepath.Join(dir, "server.lock"), vfsName))
	if err == nil {
		err = lock.c.Exec(`PRAGMA locking_mode = exclusive; BEGIN EXCLUSIVE`)
	}
	if err != nil {
		if lock != nil {
			lock.close()
		}
		return nil, &errcode.Error{Code: errcode.Blocked, Op: "server: open", Err: err,
			Msg: fmt.Sprintf("%s cannot be locked: is another server using it? (%v)", dir, err)}
	}
	return lock, nil
}

// Drain ends all open streams, so that http.Server.Shutdown can end. Pushes go
// on.
func (s *Server) Drain() { s.draining.Do(func() { close(s.drain) }) }

// Close refuses new requests, waits for those under way and closes the files.
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
	var errs []error
	for _, sp := range s.spaces {
		errs = append(errs, sp.close())
	}
	s.spaces = nil
	errs = append(errs, s.lock.close())
	return errcode.Wrap(errors.Join(errs...), errcode.Server, "server: close")
}

const (
	maxPath       = 1023                         // the longest path, in bytes, that SQLite opens
	maxFileName   = 255                          // the longest name of a file, in bytes, that file systems take
	longestSuffix = len(".damaged-1000-journal") // the longest ending of a file beside a space's
)

// fileName returns a space's file.
func fileName(dir, name string) string { return filepath.Join(dir, baseName(name)) }

// baseName returns the name of a space's file. Capitals are escaped, since some
// file systems take a and A for the same, and so are marks that mean something
// to some of them: "+" and a small letter, "=" and two hexadecimal digits.
func baseName(name string) string {
	const digits = "0123456789abcdef"
	var b strings.Builder
	for i := range len(name) {
		switch c := name[i]; {
		case 'A' <= c && c <= 'Z':
			b.WriteByte('+')
			b.WriteByte(c + 'a' - 'A')
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '.', c == '_', c == '~', c == '-':
			b.WriteByte(c)
		default:
			b.Write([]byte{'=', digits[c>>4], digits[c&15]})
		}
	}
	return b.String() + ".space.db"
}

// acquire returns a space, open, for as long as it is not released. It makes a
// new one only if create is set, else a missing one is HEDDLE_NOT_FOUND.
func (s *Server) acquire(ctx context.Context, name string, create bool) (*space, error) {
	for {
		s.mu.Lock()
		if sp := s.spaces[name]; sp != nil {
			sp.refs++
			s.mu.Unlock()
			return sp, nil
		}
		wait := s.opening[name]
		if wait == nil {
			break
		}
		s.mu.Unlock()
		select {
		case <-wait:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	done := make(chan struct{})
	s.opening[name] = done
	s.mu.Unlock()

	file := fileName(s.o.Dir, name)
	var sp *space
	there, err := exists(file, s.o.VFS)
	switch {
	case err == nil && (there || create):
		sp, err = openSpace(fileURI(file, s.o.VFS), name)
	case err == nil:
		err = errcode.New(errcode.NotFound, "server: open space", fmt.Sprintf("there is no space %q", name))
	}

	s.mu.Lock()
	delete(s.opening, name)
	close(done)
	if err != nil {
		s.mu.Unlock()
		return nil, err
	}
	sp.refs = 1
	s.spaces[name] = sp
	idle := s.evict()
	s.mu.Unlock()
	for _, sp := range idle {
		if err := sp.close(); err != nil {
			s.log.Error("closing an idle space", "space", sp.name, "error", err)
		}
		s.mu.Lock()
		done := s.opening[sp.name]
		delete(s.opening, sp.name)
		s.mu.Unlock()
		close(done)
	}
	return sp, nil
}

// evict takes the longest idle spaces beyond the limit out of the map. Until
// they are closed they count as being opened, so that they are not opened twice.
func (s *Server) evict() (idle []*space) {
	for len(s.spaces) > s.o.Limits.Spaces {
		var oldest *space
		for _, sp := range s.spaces {
			if sp.refs == 0 && (oldest == nil || sp.used.Before(oldest.used)) {
				oldest = sp
			}
		}
		if oldest == nil {
			break
		}
		delete(s.spaces, oldest.name)
		s.opening[oldest.name] = make(chan struct{})
		idle = append(idle, oldest)
	}
	return idle
}

func (s *Server) release(sp *space) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if sp.refs--; sp.refs == 0 {
		sp.used = time.Now()
	}
}
