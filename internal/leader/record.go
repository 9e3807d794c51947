package leader

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/rpc"
	"heddle.dev/heddle/internal/store"
)

// record is what became of one tab's latest writes. It outlives the tab's
// session here, and by its copy in the database this leader: a write that is
// sent again is answered from it and not done again.
//
// An outcome is written in the transaction that it tells of. Where nothing was
// changed there is no such transaction, and none is needed: the outcome goes
// with that of the tab's next write. So what the database holds is always the
// outcomes of a beginning of the tab's writes, and what comes after them can be
// done, in order, as if it had never been tried.
type record struct {
	session string

	mu     sync.Mutex
	loaded bool
	last   uint64    // the last write whose outcome is known
	acked  uint64    // the tab knows the outcomes up to this one
	kept   []outcome // those after, in order
}

// outcome is the reply to one write, without its id.
type outcome struct {
	counter uint64
	reply   []byte
}

const (
	// maxKeptReply is how much of a reply is kept: of rows that a write
	// returned, mostly.
	maxKeptReply = 64 << 10
	// maxKeptText is how much is kept of an error's message.
	maxKeptText = 1 << 10

	recordOp = "leader: record"
)

// recordOf returns the record of the tab that said hello with that name.
func (l *Leader) recordOf(session string) *record {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.records[session]
	if r == nil {
		r = &record{session: session}
		l.records[session] = r
	}
	return r
}

// ForgetTabs forgets the writes of every tab that is dead. alive are those that
// live, also asleep: the caller asked before the connection of number since, so
// that one who connected later is no stranger.
func (l *Leader) ForgetTabs(ctx context.Context, alive []string, since int) error {
	known := map[string]bool{}
	for _, session := range alive {
		known[session] = true
	}
	dead := func(session string) bool {
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
		delete(l.records, session)
		delete(l.met, session)
		return true
	}
	return l.db.ForgetOutcomes(ctx, dead)
}

// load reads the record from the database, once.
func (r *record) load(tx *store.Tx) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.loaded {
		return nil
	}
	kept, err := tx.Outcomes(r.session)
	if err != nil {
		return err
	}
	if err := r.decode(kept); err != nil {
		return err
	}
	r.loaded = true
	return nil
}

// replay answers c if its outcome is known. It is called with the writer's turn.
func (r *record) replay(tx *store.Tx, c *call) (done bool, err error) {
	if c.Write.Counter == 0 {
		return false, c.s.current()
	}
	if err := r.load(tx); err != nil {
		return false, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ack(c.Write.Ack)
	if c.Write.Counter > r.last {
		return false, c.s.current()
	}
	if reply := r.find(c.Write.Counter); reply != nil {
		c.reply(numbered(c.ID, reply))
		return true, nil
	}
	return false, errcode.New(errcode.Protocol, recordOp, fmt.Sprintf("write %d comes after write %d", c.Write.Counter, r.last))
}

// current refuses the writes of a tab whose app does not know all of the schema:
// an INSERT OR REPLACE of it would empty the columns that it has never heard of.
func (s *Session) current() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.outdated {
		return errcode.New(errcode.Outdated, recordOp, "a newer build of the app has migrated the database: reload this page; nothing was written")
	}
	return nil
}

// find returns the reply to a write, nil if it is not known.
func (r *record) find(counter uint64) []byte {
	for i := range r.kept {
		if r.kept[i].counter == counter {
			return r.kept[i].reply
		}
	}
	return nil
}

func (r *record) ack(counter uint64) {
	if counter <= r.acked {
		return
	}
	r.acked = counter
	n := 0
	for n < len(r.kept) && r.kept[n].counter <= counter {
		n++
	}
	r.kept = append(r.kept[:0], r.kept[n:]...)
}

// put adds outcomes in order. Those of a transaction that was long open may be
// of a write before the last one.
func (r *record) put(list ...outcome) {
	if len(list) == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.kept = merged(r.kept, list)
	r.last = max(r.last, r.kept[len(r.kept)-1].counter)
}

func merged(kept, list []outcome) []outcome {
	kept = append(kept, list...)
	slices.SortStableFunc(kept, func(a, b outcome) int { return cmp.Compare(a.counter, b.counter) })
	return kept
}

// commit commits tx, in which the writes of list were done.
func (r *record) commit(tx *store.Tx, list ...outcome) error {
	if len(list) > 0 && tx.Changed() {
		if err := r.load(tx); err != nil {
			return err
		}
		if err := tx.KeepOutcomes(r.with(list...)); err != nil {
			return err
		}
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	r.put(list...)
	return nil
}

// with is what the database keeps when the writes of list are done as well.
func (r *record) with(list ...outcome) store.Outcomes {
	r.mu.Lock()
	defer r.mu.Unlock()
	return store.Outcomes{Session: r.session, Kept: r.encode(merged(r.kept[:len(r.kept):len(r.kept)], list))}
}

// inside does the write c in tx, commits and answers, unless it was done before.
func (s *Session) inside(tx *store.Tx, c *call, do func(*store.Tx, *call) (answer []byte, err error)) error {
	if known, err := s.record.replay(tx, c); known || err != nil {
		return err
	}
	tx.SetContext(c.ctx)
	answer, err := do(tx, c)
	if err == nil {
		err = s.record.commit(tx, c.success(answer)...)
	}
	if err != nil {
		s.record.put(c.failure(err)...)
		return err
	}
	c.reply(answer)
	return nil
}

// outcome answers what became of a write that is not to be done.
func (s *Session) outcome(c *call) error {
	tx, err := s.begin(c.ctx)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if err := s.record.load(tx); err != nil {
		return err
	}
	s.record.mu.Lock()
	reply := s.record.find(c.Write.Counter)
	s.record.mu.Unlock()
	if reply == nil {
		return errcode.New(errcode.TxLost, recordOp, "the leading tab went away before the end: nothing was written")
	}
	c.reply(numbered(c.ID, reply))
	return nil
}

// failure is the outcome of a write that err ended: it has changed nothing. There
// is none if the session ended it: the tab will send it again.
func (c *call) failure(err error) []outcome {
	if c.Write.Counter == 0 || c.s.ctx.Err() != nil {
		return nil
	}
	e := errcode.Error{Code: errcode.Of(err), Op: recordOp, Msg: err.Error()}
	var full *errcode.Error
	if errors.As(err, &full) {
		e.Msg, e.Op = full.Message(), full.Op
	}
	if len(e.Msg) > maxKeptText {
		e.Msg = e.Msg[:maxKeptText]
	}
	return []outcome{{c.Write.Counter, rpc.ReplyError(0, &e)[4:]}}
}

// success is the outcome of a write that is answered so.
func (c *call) success(answer []byte) []outcome {
	if c.Write.Counter == 0 {
		return nil
	}
	if c.inChunks || len(answer) > maxKeptReply {
		answer = rpc.ReplyError(0, errResultLost)
	}
	return []outcome{{c.Write.Counter, answer[4:]}}
}

var errResultLost = errcode.New(errcode.ResultLost, recordOp,
	"the leading tab went away: the write took effect, and the rows that it returned were too many to keep")

// numbered makes a kept reply one to the request of that id.
func numbered(id uint32, reply []byte) []byte {
	return append(binary.LittleEndian.AppendUint32(make([]byte, 0, 4+len(reply)), id), reply...)
}

// The encoding of what is kept, in the database alone: uvarint version, last,
// number of outcomes, then for each: uvarint counter, uvarint length, reply. The
// reply to an exec, the usual one, is two varints instead, and its length 0.
const recordVersion = 1

func (r *record) encode(list []outcome) []byte {
	last := r.last
	if len(list) > 0 {
		last = max(last, list[len(list)-1].counter)
	}
	b := binary.AppendUvarint(make([]byte, 0, 16+8*len(list)), recordVersion)
	b = binary.AppendUvarint(b, last)
	b = binary.AppendUvarint(b, uint64(len(list)))
	for _, o := range list {
		b = binary.AppendUvarint(b, o.counter)
		if res, ok := rpc.ResultOf(o.reply); ok {
			b = append(b, 0)
			b = binary.AppendVarint(b, res.Changes)
			b = binary.AppendVarint(b, res.LastInsertRowID)
			continue
		}
		b = binary.AppendUvarint(b, uint64(len(o.reply)))
		b = append(b, o.reply...)
	}
	return b
}

func (r *record) decode(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	damaged := false
	next := func() uint64 {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			damaged, n = true, len(b)
		}
		b = b[n:]
		return v
	}
	signed := func() int64 {
		v, n := binary.Varint(b)
		if n <= 0 {
			damaged, n = true, len(b)
		}
		b = b[n:]
		return v
	}
	if v := next(); v != recordVersion {
		return errcode.New(errcode.Protocol, recordOp, fmt.Sprintf("what is kept of a tab's writes has version %d: a newer build of the app wrote it", v))
	}
	r.last = next()
	for n := next(); n > 0 && !damaged; n-- {
		o := outcome{counter: next()}
		switch size := next(); {
		case damaged || size > uint64(len(b)):
			damaged = true
		case size == 0:
			o.reply = rpc.ReplyResult(0, rpc.Result{Changes: signed(), LastInsertRowID: signed()})[4:]
		default:
			o.reply = append([]byte{}, b[:size]...)
			b = b[size:]
		}
		r.kept = append(r.kept, o)
	}
	if damaged {
		return errcode.New("SQLITE_CORRUPT", recordOp, "what is kept of a tab's writes is damaged")
	}
	return nil
}
