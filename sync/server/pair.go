package server

import (
	"bytes"
	"context"
	"encoding/hex"
	"net/http"
	"strconv"
	"sync"
	"time"

	"heddle.dev/heddle/internal/errcode"
)

// Two devices that pair leave messages for each other in a mailbox, which the server
// cannot read: it knows a hash of the secret that the two have. A mailbox is in memory
// alone, of the server that was asked: where several stand behind one address, a proxy
// sends those of one space to one of them.

const (
	mailboxLife     = 10 * time.Minute
	mailboxWait     = 20 * time.Second // how long a request waits for a message
	mailboxMessages = 8
	mailboxMessage  = 4 << 10 // bytes
	mailboxesOfOne  = 32      // of one subject
	mailboxesInAll  = 4096
)

type mailboxes struct {
	mu  sync.Mutex
	all map[mailboxName]*mailbox
}

type mailboxName struct{ space, id string }

type mailbox struct {
	by      string
	until   time.Time
	left    [mailboxMessages][]byte
	changed chan struct{} // closed when a message comes
}

var (
	errMailbox   = errcode.New(errcode.BadParam, "server: pair", "a pairing has an id of 16 bytes and messages 1 to 8")
	errMailboxes = errcode.New(errcode.RateLimited, "server: pair", "too many pairings at once; try again later")
	errMessage   = errcode.New(errcode.TooBig, "server: pair", "a message of a pairing has at most 4 KiB")
	errMailTaken = errcode.New(errcode.Forbidden, "server: pair", "another message has this number")
)

// pair takes the message of a number, or waits for it where the request has none. It
// answers nothing where none has come yet.
func (s *Server) pair(w http.ResponseWriter, r *http.Request, c *caller) error {
	q := r.URL.Query()
	id := q.Get("id")
	n, err := strconv.Atoi(q.Get("n"))
	if raw, e := hex.DecodeString(id); e != nil || len(raw) != 16 || err != nil || n < 1 || n > mailboxMessages {
		return errMailbox
	}
	message, err := s.readBody(w, r)
	switch {
	case err != nil:
		return err
	case len(message) > mailboxMessage:
		return errMessage
	}
	name := mailboxName{c.space, id}
	if len(message) > 0 {
		if err := s.mailboxes.put(name, c.by, n, message, s.o.Dev); err != nil {
			return err
		}
		s.respond(w, http.StatusOK, nil)
		return nil
	}
	ctx, stop := context.WithTimeout(r.Context(), mailboxWait)
	defer stop()
	message, err = s.mailboxes.get(ctx, name, c.by, n, s.drain, s.o.Dev)
	if err != nil {
		return err
	}
	s.respond(w, http.StatusOK, message)
	return nil
}

func (m *mailboxes) put(name mailboxName, by string, n int, message []byte, dev bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	box, err := m.box(name, by, dev)
	switch {
	case err != nil:
		return err
	case box.left[n-1] == nil:
		box.left[n-1] = message
		close(box.changed)
		box.changed = make(chan struct{})
	case !bytes.Equal(box.left[n-1], message):
		return errMailTaken
	}
	return nil
}

// get waits for a message until ctx or drain ends; nil if none has come.
func (m *mailboxes) get(
	ctx context.Context, name mailboxName, by string, n int, drain <-chan struct{}, dev bool,
) ([]byte, error) {
	for {
		m.mu.Lock()
		box, err := m.box(name, by, dev)
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
func (m *mailboxes) box(name mailboxName, by string, dev bool) (*mailbox, error) {
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
	if len(m.all) >= mailboxesInAll || mine >= mailboxesOfOne && !dev {
		return nil, errMailboxes
	}
	box := &mailbox{by: by, until: now.Add(mailboxLife), changed: make(chan struct{})}
	m.all[name] = box
	return box, nil
}
