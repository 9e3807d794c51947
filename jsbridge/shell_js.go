package jsbridge

import (
	"context"
	"strings"

	"github.com/hack-pad/safejs"
)

// Shell is the worker that Go runs in: it holds the lock, the storage handles
// and the tabs' ports (web/src/worker/go-host.ts has the other half). The tabs' messages
// themselves do not pass here: wasm/lines.go.
type Shell struct{ shell safejs.Value }

// ShellConfig is what the worker knows before Go starts.
type ShellConfig struct {
	Name     string // of the database, as the app gave it
	Leader   string // this leader's id: random
	Channel  string // name of the BroadcastChannel for commits
	Storage  string // "persistent", "best-effort" or "memory"
	Isolated bool   // from other origins: memory can be shared between threads
	Exit     string // how the last leader ended: new, clean, unclean or damaged
	Open     []byte // the page's open options, in the language of package rpc
}

// ShellHandler receives what happens in the worker. Its methods are called in
// order and must not block.
type ShellHandler interface {
	Connect(session int, tab string) // a tab opened a line; session numbers it
	Disconnect(session int)          // the tab closed its line, or died
	Storage(class string)            // the browser's promise about storage changed
	Stop()                           // let go of the database, then call Stopped

	// Alive names the tabs that live, as the worker saw when session since was
	// the next one: all others are dead.
	Alive(tabs []string, since int)
}

// Events of the shell, as numbers: web/src/worker/go-host.ts has the same list.
const (
	shellConnect = iota
	shellDisconnect
	shellStorage
	shellStop
	shellAlive
)

// AttachShell takes the shell that the worker left under key in the global
// object, and removes it from there.
func AttachShell(key string) (*Shell, error) {
	shell, err := safejs.Global().Get(key)
	if err != nil {
		return nil, thrown(err)
	}
	if shell.Type() != safejs.TypeObject {
		return nil, &Error{Name: "ReferenceError", Message: "the worker left no shell"}
	}
	if err := safejs.Global().Delete(key); err != nil {
		return nil, thrown(err)
	}
	return &Shell{shell}, nil
}

// Config reads what the worker knows.
func (s *Shell) Config() (ShellConfig, error) {
	c := ShellConfig{
		Name: member(s.shell, "name"), Leader: member(s.shell, "leader"), Channel: member(s.shell, "channel"),
		Storage: member(s.shell, "storage"), Exit: member(s.shell, "exit"),
	}
	open, err := s.shell.Get("open")
	if err != nil {
		return c, thrown(err)
	}
	if isolated, err := s.shell.Get("isolated"); err == nil {
		c.Isolated, _ = isolated.Truthy()
	}
	c.Open, err = bytesOf(open)
	return c, err
}

// Serve hands the worker's events to h, from now until release.
func (s *Shell) Serve(h ShellHandler) (release func(), err error) {
	f, err := callback(func(args []safejs.Value) {
		if len(args) < 3 {
			return
		}
		kind, _ := args[0].Int()
		session, _ := args[1].Int()
		switch kind {
		case shellConnect:
			h.Connect(session, text(args[2]))
		case shellDisconnect:
			h.Disconnect(session)
		case shellStorage:
			h.Storage(text(args[2]))
		case shellStop:
			h.Stop()
		case shellAlive:
			h.Alive(strings.Fields(text(args[2])), session)
		}
	})
	if err != nil {
		return nil, err
	}
	if _, err := s.shell.Call("serve", f.Value()); err != nil {
		f.Release()
		return nil, thrown(err)
	}
	return f.Release, nil
}

// SetAside has the worker give the files of the database, which nobody has open,
// another name, and make new ones. It returns that name.
func (s *Shell) SetAside(ctx context.Context, reason string) (string, error) {
	promise, err := s.shell.Call("setAside", reason)
	if err != nil {
		return "", thrown(err)
	}
	name, err := Await(ctx, promise)
	if err != nil {
		return "", err
	}
	return text(name), nil
}

// OpenSide has the worker open another file beside the database's, and returns
// its name.
func (s *Shell) OpenSide(ctx context.Context) (string, error) {
	promise, err := s.shell.Call("openSide")
	if err != nil {
		return "", thrown(err)
	}
	name, err := Await(ctx, promise)
	if err != nil {
		return "", err
	}
	return text(name), nil
}

// CloseSide has the worker close and remove it, at its leisure.
func (s *Shell) CloseSide(name string) { _, _ = s.shell.Call("closeSide", name) }

// TakeStream asks the worker whether one more connection to a server, named by
// scheme and host, may stay open. If it may, release gives it back.
func (s *Shell) TakeStream(ctx context.Context, server string) (release func(), ok bool) {
	promise, err := s.shell.Call("takeStream", server)
	if err != nil {
		return nil, false
	}
	// The worker answers at once. A wait that ends before would lose the connection
	// that the answer names.
	taken, err := Await(context.WithoutCancel(ctx), promise)
	if err != nil {
		return nil, false
	}
	id, err := taken.Int()
	if err != nil || id < 0 {
		return nil, false
	}
	return func() { _, _ = s.shell.Call("giveStream", id) }, true
}

// Damaged tells the worker that the database file is not what was written. The
// worker ends, and the next one is told so by ShellConfig.Exit.
func (s *Shell) Damaged(reason string) { _, _ = s.shell.Call("damaged", reason) }

// Ready tells the worker that the database is open.
func (s *Shell) Ready() { _, _ = s.shell.Call("ready") }

// Failed tells the worker that the database could not be opened; sql may be "".
func (s *Shell) Failed(code, message, sql string) { _, _ = s.shell.Call("failed", code, message, sql) }

// Stopped tells the worker that every file is let go of; in order: the database
// was closed. Nothing may be sent after it.
func (s *Shell) Stopped(inOrder bool) { _, _ = s.shell.Call("stopped", inOrder) }
