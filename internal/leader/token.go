package leader

import (
	"context"
	"errors"
	"sync"
	"time"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/rpc"
)

// tokens asks all pages that can provide the server's token, and takes the first
// answer. A page that connects while a token is wanted is asked too.
type tokens struct {
	mu   sync.Mutex
	last uint32
	asks map[uint32]*ask
}

type ask struct {
	asked   map[*Session]bool // true until it has answered
	failure error             // of the last page that failed
	answer  chan string
	failed  chan error
}

func (t *tokens) ask(ctx context.Context, l *Leader) (string, error) {
	const op = "leader: token"
	ctx, cancel := context.WithTimeout(ctx, l.env.Bounds.Token)
	defer cancel()
	a := &ask{asked: map[*Session]bool{}, answer: make(chan string, 1), failed: make(chan error, 1)}
	t.mu.Lock()
	t.last++
	id := t.last
	if t.asks == nil {
		t.asks = map[uint32]*ask{}
	}
	t.asks[id] = a
	t.mu.Unlock()
	defer func() {
		t.mu.Lock()
		delete(t.asks, id)
		t.mu.Unlock()
	}()
	l.each(func(s *Session) { t.put(s, id) })
	select {
	case token := <-a.answer:
		return token, nil
	case err := <-a.failed:
		return "", err
	case <-ctx.Done():
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return "", errcode.New(errcode.Timeout, op,
				"no tab answered with a token in "+l.env.Bounds.Token.Round(time.Millisecond).String())
		}
		return "", errcode.Wrap(ctx.Err(), errcode.Aborted, op)
	}
}

// put asks one page, once.
func (t *tokens) put(s *Session, id uint32) {
	s.mu.Lock()
	can := s.canToken && !s.closed
	s.mu.Unlock()
	if !can {
		return
	}
	t.mu.Lock()
	a := t.asks[id]
	known := false
	if a != nil {
		if _, known = a.asked[s]; !known {
			a.asked[s] = true
		}
	}
	t.mu.Unlock()
	if a != nil && !known {
		s.send(rpc.TokenEvent(id))
	}
}

// came asks a page that has just connected, if a token is wanted.
func (t *tokens) came(s *Session) {
	t.mu.Lock()
	ids := make([]uint32, 0, len(t.asks))
	for id := range t.asks {
		ids = append(ids, id)
	}
	t.mu.Unlock()
	for _, id := range ids {
		t.put(s, id)
	}
}

func (s *Session) token(c *call) error {
	s.l.tokens.answer(s, c.Target, c.Token, c.Err)
	return nil
}

// answer takes a page's answer. The ask fails when every page asked has failed.
func (t *tokens) answer(s *Session, id uint32, token string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	a := t.asks[id]
	if a == nil || !a.asked[s] {
		return
	}
	a.asked[s] = false
	if err == nil && token != "" {
		select {
		case a.answer <- token:
		default:
		}
		return
	}
	if err == nil {
		err = errcode.New(errcode.Unauthorized, "leader: token", "the page gave an empty token")
	}
	a.failure = err
	a.check()
}

// gone is called when a page will not answer.
func (t *tokens) gone(s *Session) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, a := range t.asks {
		if _, asked := a.asked[s]; asked {
			delete(a.asked, s)
			a.check()
		}
	}
}

// check fails the ask if pages have failed and none is left to answer.
func (a *ask) check() {
	for _, waits := range a.asked {
		if waits {
			return
		}
	}
	if a.failure != nil {
		select {
		case a.failed <- a.failure:
		default:
		}
	}
}
