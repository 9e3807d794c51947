package leader

import (
	"context"
	"fmt"
	"time"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/rpc"
	"heddle.dev/heddle/internal/store"
)

// transaction is an interactive transaction: a page sends its statements one by
// one, while other writers wait.
type transaction struct {
	id   uint32
	open *call // the request that began it: its write names the transaction
	tx   *store.Tx
	line chan *call

	ended bool // committed or rolled back by the page; used by its goroutine only
}

// over is the error of a request for a transaction that is not open.
func (*transaction) over(l *Leader) error {
	return errcode.New(errcode.TxClosed, "leader: transaction", fmt.Sprintf(
		"the transaction has ended: it was committed or rolled back, or nothing was heard of it for %v", l.env.Bounds.TxIdle))
}

// txBegin waits for the writer; the transaction then has a queue of its own.
func (s *Session) txBegin(c *call) error {
	if err := s.current(); err != nil {
		return err
	}
	tx, err := s.begin(c.ctx)
	if err != nil {
		return err
	}
	t := &transaction{id: c.ID, open: c, tx: tx, line: make(chan *call, MaxQueued)}
	s.mu.Lock()
	if s.closed || c.answered { // closed or cancelled meanwhile
		s.mu.Unlock()
		tx.Rollback()
		return errcode.Wrap(context.Canceled, errcode.Aborted, "leader: transaction")
	}
	s.txs[t.id] = t
	s.mu.Unlock()
	s.l.longWriter(+1)
	s.l.spawn(func() { s.serve(t) })
	c.done()
	return nil
}

// serve runs the transaction's statements in order until it ends: by the page,
// by a timeout, or with the session.
func (s *Session) serve(t *transaction) {
	defer s.endTx(t)
	idle := time.NewTimer(s.l.env.Bounds.TxIdle)
	defer idle.Stop()
	for {
		select {
		case c := <-t.line:
			t.tx.SetContext(c.ctx)
			s.run(c, dispatch)
			if t.ended {
				return
			}
			idle.Reset(s.l.env.Bounds.TxIdle)
		case <-idle.C:
			return
		case <-s.ctx.Done():
			return
		}
	}
}

// endTx rolls back what was not committed and refuses the waiting requests.
func (s *Session) endTx(t *transaction) {
	t.tx.Rollback()
	s.l.longWriter(-1)
	s.mu.Lock()
	delete(s.txs, t.id)
	s.mu.Unlock()
	// No request can enter the queue any more.
	for {
		select {
		case c := <-t.line:
			c.fail(t.over(s.l))
			c.finish()
		default:
			return
		}
	}
}

func (s *Session) txExec(c *call) error {
	answer, err := execIn(c.tx.tx, c)
	if err == nil {
		c.reply(answer)
	}
	return err
}

func (s *Session) txBatch(c *call) error {
	answer, err := batchIn(c.tx.tx, c)
	if err == nil {
		c.reply(answer)
	}
	return err
}

// txBulk runs a statement for each row of the request. The page sets a savepoint
// around the requests of a load.
func (s *Session) txBulk(c *call) error {
	res, err := c.tx.tx.BulkBatches(c.Stmt.SQL, func(yield func(store.Batch) bool) { yield(c.Rows.Reader()) })
	if err == nil {
		c.reply(rpc.ReplyResult(c.ID, res))
	}
	return err
}

func (s *Session) txQuery(c *call) error {
	return s.stream(c, func(r *rows) error {
		return c.tx.tx.Query(c.Stmt.SQL, c.Stmt.Params, r.columns, r.row)
	})
}

func (s *Session) txNotify(c *call) error { return c.ended(c.tx.tx.Notify(c.Channel, c.Payload)) }

func (s *Session) txCommit(c *call) error {
	c.tx.ended = true
	done := rpc.Reply(c.ID, rpc.KindResult)
	if err := c.tx.tx.CommitOnce(s.tab, c.tx.open.success(done)...); err != nil {
		return err
	}
	c.reply(done)
	return nil
}

func (s *Session) txRollback(c *call) error {
	c.tx.ended = true
	if err := c.tx.tx.Rollback(); err != nil {
		return err
	}
	c.done()
	return nil
}
