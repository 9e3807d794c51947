package leader

import (
	"context"
	"errors"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/rpc"
	"heddle.dev/heddle/internal/store"
)

const (
	// maxLoggedReply bounds a reply in the write log: of rows that a write
	// returned, mostly. In bytes.
	maxLoggedReply = 64 << 10
	// maxLoggedText bounds an error's message in the write log, in bytes.
	maxLoggedText = 1 << 10

	writeLogOp = "leader: write log"
)

// ForgetTabs deletes the write logs of dead tabs. alive are the tabs that live,
// suspended ones included. The caller determined them before the connection of
// number since: a tab that connected later counts as alive.
func (l *Leader) ForgetTabs(ctx context.Context, alive []string, since int) error {
	known := map[string]bool{}
	for _, session := range alive {
		known[session] = true
	}
	return l.db.ForgetSessions(ctx, func(session string) bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		if known[session] || l.met[session] >= since {
			return false
		}
		for s := range l.sessions {
			if s.tab == session {
				return false
			}
		}
		delete(l.met, session)
		return true
	})
}

// once does the write c in tx, commits and replies. A write that was done before
// gets its reply from the log.
func (s *Session) once(tx *store.Tx, c *call, do func(*store.Tx, *call) (answer []byte, err error)) error {
	if known, err := s.replay(tx, c); known || err != nil {
		return err
	}
	tx.SetContext(c.ctx)
	answer, err := do(tx, c)
	if err == nil {
		err = tx.CommitOnce(s.tab, c.success(answer)...)
	}
	if err != nil {
		s.l.db.LogFailure(s.tab, c.failure(err)...)
		return err
	}
	c.reply(answer)
	return nil
}

// replay replies to c if it was done before.
func (s *Session) replay(tx *store.Tx, c *call) (known bool, err error) {
	if c.Write.Counter > 0 {
		e, err := tx.Replay(s.tab, c.Write.Counter, c.Write.Ack)
		if err != nil {
			return false, err
		}
		if e != nil {
			c.reply(logged(c.ID, e))
			return true, nil
		}
	}
	return false, s.current()
}

// current refuses the writes of a tab whose app knows only a part of the schema:
// its INSERT OR REPLACE would empty the columns that it does not know.
func (s *Session) current() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.outdated {
		return errcode.New(errcode.Outdated, writeLogOp,
			"a newer build of the app has migrated the database: reload this page; nothing was written")
	}
	return nil
}

// outcome replies what a write was answered that is not to be done again.
func (s *Session) outcome(c *call) error {
	tx, err := s.begin(c.ctx)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	e, err := tx.FindEntry(s.tab, c.Write.Counter)
	if err != nil {
		return err
	}
	if e == nil {
		return errcode.New(errcode.TxLost, writeLogOp, "the leading tab went away before the end: nothing was written")
	}
	c.reply(logged(c.ID, e))
	return nil
}

// failure is the log's entry for a write that failed with err and changed nothing.
// There is none if the session's end caused the failure: the tab sends it again.
func (c *call) failure(err error) []store.Entry {
	if c.Write.Counter == 0 || c.s.ctx.Err() != nil {
		return nil
	}
	e := errcode.Error{Code: errcode.Of(err), Op: writeLogOp, Msg: err.Error()}
	var full *errcode.Error
	if errors.As(err, &full) {
		e.Msg, e.Op = full.Message(), full.Op
	}
	if len(e.Msg) > maxLoggedText {
		e.Msg = e.Msg[:maxLoggedText]
	}
	return []store.Entry{{Counter: c.Write.Counter, Reply: rpc.WithoutID(rpc.ReplyError(0, &e))}}
}

// success is the log's entry for a write with that reply.
func (c *call) success(answer []byte) []store.Entry {
	if c.Write.Counter == 0 {
		return nil
	}
	if c.inChunks || len(answer) > maxLoggedReply {
		answer = rpc.ReplyError(0, errResultLost)
	}
	e := store.Entry{Counter: c.Write.Counter, Reply: rpc.WithoutID(answer)}
	if res, ok := rpc.ResultOf(e.Reply); ok {
		e.Reply, e.Result = nil, res
	}
	return []store.Entry{e}
}

var errResultLost = errcode.New(errcode.ResultLost, writeLogOp,
	"the leading tab went away: the write took effect, and the rows that it returned were too many to keep")

// logged is an entry as the reply to the request of that id.
func logged(id uint32, e *store.Entry) []byte {
	if e.Reply == nil {
		return rpc.ReplyResult(id, e.Result)
	}
	return rpc.WithID(id, e.Reply)
}
