package jsbridge

import (
	"context"
	"strings"

	"github.com/hack-pad/safejs"
)

// Host is the worker that Go runs in: it holds the lock, the storage handles
// and the tabs' ports (web/src/worker/go-host.ts has the other half). The tabs' messages
// themselves do not pass here: wasm/lines.go.
type Host struct{ value safejs.Value }

// HostConfig is what the worker knows before Go starts.
type HostConfig struct {
	Leader   string // this leader's id: random
	Channel  string // name of the BroadcastChannel for commits
	Storage  string // "persistent", "best-effort" or "memory"
	Isolated bool   // from other origins: memory can be shared between threads
	Exit     string // how the last leader ended: new, clean, unclean or damaged
	Open     []byte // the page's open options, in the language of package rpc
	Key      []byte // of files that are encrypted at rest; none: they are plain
	Recode   string // "encrypt" or "decrypt": what the files have to be before they are opened
}

// HostHandler receives what happens in the worker. Its methods are called in
// order and must not block.
type HostHandler interface {
	Connect(session int, tab string) // a tab opened a line; session numbers it
	Disconnect(session int)          // the tab closed its line, or died
	Storage(class string)            // the browser's promise about storage changed
	Stop()                           // let go of the database, then call Stopped

	// Alive names the tabs that live, as the worker saw when session since was
	// the next one: all others are dead.
	Alive(tabs []string, since int)
}

// Events of the host, as numbers: web/src/worker/go-host.ts has the same list.
const (
	eventConnect = iota
	eventDisconnect
	eventStorage
	eventStop
	eventAlive
)

// AttachHost takes the host that the worker left under key in the global
// object, and removes it from there.
func AttachHost(key string) (*Host, error) {
	host, err := safejs.Global().Get(key)
	if err != nil {
		return nil, thrown(err)
	}
	if host.Type() != safejs.TypeObject {
		return nil, &Error{Name: "ReferenceError", Message: "the worker left no host"}
	}
	if err := safejs.Global().Delete(key); err != nil {
		return nil, thrown(err)
	}
	return &Host{host}, nil
}

// Config reads what the worker knows.
func (h *Host) Config() (HostConfig, error) {
	c := HostConfig{
		Leader: member(h.value, "leader"), Channel: member(h.value, "channel"),
		Storage: member(h.value, "storage"), Exit: member(h.value, "exit"), Recode: member(h.value, "recode"),
	}
	if key, err := h.value.Get("key"); err == nil && key.Type() == safejs.TypeObject {
		if c.Key, err = bytesOf(key); err != nil {
			return c, err
		}
	}
	open, err := h.value.Get("open")
	if err != nil {
		return c, thrown(err)
	}
	if isolated, err := h.value.Get("isolated"); err == nil {
		c.Isolated, _ = isolated.Truthy()
	}
	c.Open, err = bytesOf(open)
	return c, err
}

// Serve hands the worker's events to the handler, from now until release.
func (h *Host) Serve(to HostHandler) (release func(), err error) {
	f, err := callback(func(args []safejs.Value) {
		if len(args) < 3 {
			return
		}
		kind, _ := args[0].Int()
		session, _ := args[1].Int()
		switch kind {
		case eventConnect:
			to.Connect(session, text(args[2]))
		case eventDisconnect:
			to.Disconnect(session)
		case eventStorage:
			to.Storage(text(args[2]))
		case eventStop:
			to.Stop()
		case eventAlive:
			to.Alive(strings.Fields(text(args[2])), session)
		}
	})
	if err != nil {
		return nil, err
	}
	if _, err := h.value.Call("serve", f.Value()); err != nil {
		f.Release()
		return nil, thrown(err)
	}
	return f.Release, nil
}

// Recoded tells the worker that the files are what Recode says, and waits until that
// is noted.
func (h *Host) Recoded(ctx context.Context) error {
	promise, err := h.value.Call("recoded")
	if err != nil {
		return thrown(err)
	}
	_, err = Await(ctx, promise)
	return err
}

// Quarantine has the worker give the files of the database, which are closed,
// another name, and make new ones. It returns that name.
func (h *Host) Quarantine(ctx context.Context, reason string) (string, error) {
	promise, err := h.value.Call("quarantine", reason)
	if err != nil {
		return "", thrown(err)
	}
	name, err := Await(ctx, promise)
	if err != nil {
		return "", err
	}
	return text(name), nil
}

// OpenScratch has the worker open another file beside the database's, and returns
// its name.
func (h *Host) OpenScratch(ctx context.Context) (string, error) {
	promise, err := h.value.Call("openScratch")
	if err != nil {
		return "", thrown(err)
	}
	name, err := Await(ctx, promise)
	if err != nil {
		return "", err
	}
	return text(name), nil
}

// CloseScratch has the worker close and remove it, at its leisure.
func (h *Host) CloseScratch(name string) { _, _ = h.value.Call("closeScratch", name) }

// AwaitRest waits until the second part of the program is there, and asks for it
// where it is not yet.
func (h *Host) AwaitRest(ctx context.Context) error { return h.await(ctx, "rest") }

// AwaitSealed is AwaitRest of both parts that a sealed space needs. The worker bounds
// that wait.
func (h *Host) AwaitSealed(ctx context.Context) error { return h.await(ctx, "sealed") }

func (h *Host) await(ctx context.Context, part string) error {
	promise, err := h.value.Call(part)
	if err != nil {
		return thrown(err)
	}
	_, err = Await(ctx, promise)
	return err
}

// TakeStream asks the worker whether one more connection to a server, named by
// scheme and host, may stay open. If it may, release gives it back.
func (h *Host) TakeStream(ctx context.Context, server string) (release func(), ok bool) {
	promise, err := h.value.Call("takeStream", server)
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
	return func() { _, _ = h.value.Call("giveStream", id) }, true
}

// Damaged tells the worker that the database file is not what was written. The
// worker ends, and the next one is told so by HostConfig.Exit.
func (h *Host) Damaged(reason string) { _, _ = h.value.Call("damaged", reason) }

// Ready tells the worker that the database is open.
func (h *Host) Ready() { _, _ = h.value.Call("ready") }

// Failed tells the worker that the database could not be opened; sql may be "".
func (h *Host) Failed(code, message, sql string) { _, _ = h.value.Call("failed", code, message, sql) }

// Stopped tells the worker that every file is let go of; in order: the database
// was closed. Nothing may be sent after it.
func (h *Host) Stopped(inOrder bool) { _, _ = h.value.Call("stopped", inOrder) }
