package leader

import (
	"context"
	"sync"

	"heddle.dev/heddle/internal/rpc"
)

// iteration is a query whose page takes the rows a chunk at a time: each needs
// a credit.
type iteration struct {
	mu     sync.Mutex
	credit uint32
	more   chan struct{} // holds one element when credit came
}

func (it *iteration) wanted(n uint32) bool {
	it.mu.Lock()
	defer it.mu.Unlock()
	return it.credit >= n
}

func (it *iteration) sent() {
	it.mu.Lock()
	defer it.mu.Unlock()
	if it.credit > 0 {
		it.credit--
	}
}

func (it *iteration) add(n uint32) {
	it.mu.Lock()
	it.credit = min(it.credit, rpc.MaxCredit) + n // cannot overflow
	it.mu.Unlock()
	select {
	case it.more <- struct{}{}:
	default:
	}
}

// wait returns when another chunk is wanted.
func (it *iteration) wait(ctx context.Context) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		if it.wanted(1) {
			return nil
		}
		select {
		case <-it.more:
		case <-ctx.Done():
		}
	}
}

// iterate serves an iteration: the next read sees nothing older than its snapshot.
func (s *Session) iterate(c *call) error {
	it := &iteration{credit: c.Credit, more: make(chan struct{}, 1)}
	s.mu.Lock()
	s.its[c.ID] = it
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.its, c.ID)
		s.mu.Unlock()
	}()
	return s.stream(c, func(r *rows) error {
		r.it = it
		if c.Block > 0 {
			r.most = int(min(c.Block, rpc.MaxRows))
		}
		return s.l.db.Iterate(c.ctx, c.Stmt.SQL, c.Stmt.Params, r.columns, r.row, it.wait)
	})
}

// credit says that the page of an iteration wants more.
func (s *Session) credit(c *call) error {
	s.mu.Lock()
	it := s.its[c.Target]
	s.mu.Unlock()
	if it != nil {
		it.add(min(c.Credit, rpc.MaxCredit))
	}
	return nil
}
