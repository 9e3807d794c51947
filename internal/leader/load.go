package leader

import (
	"context"
	"io"
	"math"
	"time"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/rpc"
	"heddle.dev/heddle/internal/store"
)

// maxParts is how many parts of a load may wait. A page keeps two unanswered.
const maxParts = 8

// load is a bulk load or an import while its parts arrive.
type load struct{ parts chan *call }

func newLoad() *load { return &load{parts: make(chan *call, maxParts)} }

// nextPart waits for the load's next part. It is nil after the request end.
func (s *Session) nextPart(c *call, d *load, end rpc.Method) (part *call, err error) {
	idle := time.NewTimer(s.l.env.Bounds.TxIdle)
	defer idle.Stop()
	select {
	case part = <-d.parts:
		if part.Method != end {
			return part, nil
		}
		part.finish() // bulkEnd and importEnd are answered by the load's own reply
		return nil, nil
	case <-idle.C:
		return nil, errcode.New(errcode.Timeout, "leader: load", "the page stopped sending in the middle")
	case <-c.ctx.Done():
		return nil, errcode.Wrap(c.ctx.Err(), errcode.Aborted, "leader: load")
	}
}

// longLoad counts the load as a long writer, which reads do not wait for, until done.
func (s *Session) longLoad() (done func()) {
	s.l.longWriter(+1)
	s.order.setWaits(true)
	return func() {
		s.order.setWaits(false)
		s.l.longWriter(-1)
	}
}

// drain refuses the parts that came after the load's end.
func (d *load) drain() {
	for {
		select {
		case part := <-d.parts:
			part.fail(errcode.New(errcode.TxClosed, "leader: load", "the load that this belongs to has ended"))
			part.finish()
		default:
			return
		}
	}
}

func (s *Session) loadOf(c *call) *load {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.loads[c.ID]
}

// bulk runs one statement for each row of the parts, in one transaction.
func (s *Session) bulk(c *call) error {
	d := s.loadOf(c)
	tx, err := s.begin(c.ctx)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	defer s.longLoad()()
	return s.once(tx, c, func(tx *store.Tx, c *call) ([]byte, error) { return s.bulkRows(tx, c, d) })
}

func (s *Session) bulkRows(tx *store.Tx, c *call, d *load) (answer []byte, err error) {
	var heard error
	res, err := tx.BulkBatches(c.Stmt.SQL, func(yield func(store.Batch) bool) {
		for {
			part, err := s.nextPart(c, d, rpc.MethodBulkEnd)
			if part == nil {
				heard = err
				return
			}
			ok := yield(part.Rows.Reader())
			if ok {
				part.done()
			} else {
				part.fail(errcode.New(errcode.TxClosed, "leader: bulk", "a row was refused: the load's own reply says why"))
			}
			part.finish()
			if !ok {
				return
			}
		}
	})
	if heard != nil {
		return nil, heard
	}
	return rpc.ReplyResult(c.ID, res), err
}

// importFile replaces the database by the file that the parts make up.
func (s *Session) importFile(c *call) error {
	d := s.loadOf(c)
	// Import takes the writer's turn itself: so the log is read before.
	tx, err := s.begin(c.ctx)
	if err != nil {
		return err
	}
	known, err := s.replay(tx, c)
	tx.Rollback()
	if known || err != nil {
		return err
	}
	defer s.longLoad()()
	done := rpc.Reply(c.ID, rpc.KindResult)
	left := c.Size
	if left == rpc.UnknownSize {
		left = math.MaxUint64
	}
	file := &partReader{s: s, c: c, d: d, left: left}
	if err := s.l.db.ImportOnce(c.ctx, file, s.tab, c.success(done)...); err != nil {
		s.l.db.LogFailure(s.tab, c.failure(err)...)
		return err
	}
	c.reply(done)
	return nil
}

// partReader reads a file from its parts as they come.
type partReader struct {
	s    *Session
	c    *call
	d    *load
	left uint64 // bytes that are still to come
	part []byte
	end  bool // the page has sent all
}

func (r *partReader) Read(p []byte) (int, error) {
	for len(r.part) == 0 {
		if r.end {
			return 0, io.EOF
		}
		part, err := r.s.nextPart(r.c, r.d, rpc.MethodImportEnd)
		switch {
		case err != nil:
			return 0, err
		case part == nil && r.left != 0 && r.c.Size != rpc.UnknownSize:
			return 0, errcode.New(errcode.Protocol, "leader: import", "the file is shorter than announced")
		case part == nil:
			r.end = true
			return 0, io.EOF
		case uint64(len(part.Bytes)) > r.left:
			err := errcode.New(errcode.Protocol, "leader: import", "the file is longer than announced")
			part.fail(err)
			part.finish()
			return 0, err
		}
		r.part = part.Bytes
		r.left -= uint64(len(part.Bytes))
		part.done()
		part.finish()
	}
	n := copy(p, r.part)
	r.part = r.part[n:]
	return n, nil
}

// export sends the database as a file, in chunks.
func (s *Session) export(c *call) error {
	if err := s.l.db.Export(c.ctx, fileWriter{c}); err != nil {
		return err
	}
	c.done()
	return nil
}

type fileWriter struct{ c *call }

func (w fileWriter) Write(p []byte) (int, error) {
	if err := w.c.ctx.Err(); err != nil {
		return 0, err
	}
	w.c.s.send(append(rpc.Reply(w.c.ID, rpc.KindChunk), p...))
	return len(p), nil
}

// exportParts is how much of an export a page reads at a time, in bytes.
const exportParts = 4 * store.CopyChunk

// exportFile makes a copy that the page reads in parts, at its own pace.
func (s *Session) exportFile(c *call) error {
	k, err := s.l.db.Snapshot(c.ctx)
	if err != nil {
		return err
	}
	s.mu.Lock()
	open := s.exports != nil && c.ctx.Err() == nil
	if open {
		s.exports[c.ID] = k
	}
	s.mu.Unlock()
	if !open {
		k.Close()
		return errcode.Wrap(context.Canceled, errcode.Aborted, "leader: export")
	}
	c.reply(rpc.ReplyU64(c.ID, uint64(k.Size)))
	return nil
}

func (s *Session) exportPart(c *call) error {
	s.mu.Lock()
	k := s.exports[c.Target]
	s.mu.Unlock()
	if k == nil || c.From%store.CopyChunk != 0 || c.From > 1<<52 {
		return errcode.New(errcode.TxClosed, "leader: export", "the export that this belongs to has ended")
	}
	part := rpc.Reply(c.ID, rpc.KindResult)
	head := len(part)
	part = append(part, make([]byte, min(exportParts, max(0, k.Size-int64(c.From))))...)
	if _, err := k.ReadChunk(part[head:], int64(c.From)); err != nil {
		return err
	}
	c.reply(part)
	return nil
}

func (s *Session) exportEnd(c *call) error {
	s.mu.Lock()
	k := s.exports[c.Target]
	delete(s.exports, c.Target)
	s.mu.Unlock()
	if k != nil {
		k.Close()
	}
	c.done()
	return nil
}
