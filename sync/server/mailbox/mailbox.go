// Package mailbox keeps the messages that two devices which pair leave for each other.
// The server cannot read them: it knows a hash of the secret that the two have. They are
// in memory alone, of the server that was asked: where several stand behind one address,
// a proxy sends those of one space to one of them.
package mailbox

import (
	"bytes"
	"context"
	"sync"
	"time"

	"heddle.dev/heddle/internal/errcode"
)

// Messages is how many messages a mailbox holds: they have the numbers from 1 on.
const Messages = 8

const (
	life    = 10 * time.Minute
	longest = 4 << 10 // bytes of a message
	ofOne   = 32      // mailboxes of one subject
	inAll   = 4096
)

// All are the mailboxes of a server. They may be used by many goroutines.
type All struct {
	unbounded bool
	mu        sync.Mutex
	all       map[Name]*box
}

// Name names a mailbox: its space, and the id that both devices derive of their secret.
type Name struct{ Space, ID string }

type box struct {
	by      string
	until   time.Time
	left    [Messages][]byte
	changed chan struct{} // closed when a message comes
}

var (
	errMany  = errcode.New(errcode.RateLimited, "server: pair", "too many pairings at once; try again later")
	errLong  = errcode.New(errcode.TooBig, "server: pair", "a message of a pairing has at most 4 KiB")
	errTaken = errcode.New(errcode.Forbidden, "server: pair", "another message has this number")
)

// New returns no mailboxes yet. unbounded lets one subject have any number of them.
func New(unbounded bool) *All { return &All{unbounded: unbounded, all: map[Name]*box{}} }

// Put leaves message n for whoever asks. by is the subject that pays for the mailbox. Errors are
// HEDDLE_TOO_BIG, HEDDLE_RATE_LIMITED, and HEDDLE_FORBIDDEN where there is another message n.
func (m *All) Put(name Name, by string, n int, message []byte) error {
	if len(message) > longest {
		return errLong
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	box, err := m.box(name, by)
	switch {
	case err != nil:
		return err
	case box.left[n-1] == nil:
		box.left[n-1] = message
		close(box.changed)
		box.changed = make(chan struct{})
	case !bytes.Equal(box.left[n-1], message):
		return errTaken
	}
	return nil
}

// Get waits for message n until ctx or drain ends; nil if it has not come. The message is not
// to be changed.
func (m *All) Get(ctx context.Context, name Name, by string, n int, drain <-chan struct{}) ([]byte, error) {
	for {
		m.mu.Lock()
		box, err := m.box(name, by)
		if err != nil {
			m.mu.Unlock()
			return nil, err
		}
		message, changed := box.left[n-1], box.changed
		m.mu.Unlock()
		if message != nil {
			return message, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, nil
		case <-drain:
			return nil, nil
		}
	}
}

// box returns the mailbox of a name, and makes it. The caller holds m.mu.
func (m *All) box(name Name, by string) (*box, error) {
	now := time.Now()
	if box := m.all[name]; box != nil && now.Before(box.until) {
		return box, nil
	}
	mine := 0
	for name, box := range m.all {
		if !now.Before(box.until) {
			delete(m.all, name)
		} else if box.by == by {
			mine++
		}
	}
	if len(m.all) >= inAll || mine >= ofOne && !m.unbounded {
		return nil, errMany
	}
	made := &box{by: by, until: now.Add(life), changed: make(chan struct{})}
	m.all[name] = made
	return made, nil
}
