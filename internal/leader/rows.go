package leader

import (
	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/rpc"
	"heddle.dev/heddle/internal/store"

	"github.com/ncruces/go-sqlite3"
)

// BlockPacker packs the rows of one statement inside the engine, many in a
// call, into the blocks that rpc.Packer makes. All of it is used inside SQLite.
type BlockPacker interface {
	// Read packs the row that stmt stands on, if onRow, and then steps on and
	// packs until the block has maxRows rows or about maxBytes bytes, or steps
	// steps were made. It returns 100 (SQLITE_ROW) if that ended it: stmt
	// stands on a row that is packed. Otherwise it returns 101 (SQLITE_DONE) or
	// an error code: stmt must be reset, and Reset reports the error.
	Read(stmt any, onRow bool, maxRows, maxBytes, steps int) (code int)
	// Rows is how many rows wait in the block.
	Rows() int
	// AppendTo appends the block to message, from its number of columns on, and
	// begins the next one. It reports false if there is no memory.
	AppendTo(message []byte) ([]byte, bool)
	Close()
}

const (
	// blockAfter is how many rows a result has before the engine packs it: for fewer
	// the calls into the engine cost more.
	blockAfter = 128
	// blockSteps is how many rows the engine packs in one call into SQLite.
	blockSteps = 512

	codeRow  = 100
	codeDone = 101
)

// rows sends a result's rows in blocks as they are read. columns and row run
// inside SQLite: they pack and send, and do not wait.
type rows struct {
	c      *call
	p      *rpc.Packer // nil before the statement has told its columns
	width  int
	block  BlockPacker
	tried  bool
	last   []byte     // the reply, made by the engine
	most   int        // rows of a block
	it     *iteration // nil if all rows are wanted at once
	counts bool       // the reply begins with a Result
}

func newRows(c *call) *rows { return &rows{c: c, most: rpc.MaxRows} }

func (r *rows) columns(names []string) {
	l := r.c.s.l
	l.closeBlocks()
	if r.p == nil {
		r.p = l.packers.Get().(*rpc.Packer)
	}
	r.width = len(names)
	r.p.Begin(names)
	r.p.Limit(r.most)
	r.c.begin()
}

func (r *rows) row(stmt *sqlite3.Stmt) error {
	if r.block != nil {
		return r.read(stmt)
	}
	if open := r.c.s.l.env.NewBlockPacker; open != nil && !r.tried && r.p.Rows() >= blockAfter &&
		(r.it == nil || r.it.wanted(2)) {
		r.tried = true
		if r.block = open(stmt, r.width); r.block != nil {
			r.chunk(r.p.AppendTo(r.reply(rpc.KindChunk)))
			return r.read(stmt)
		}
	}
	if r.p.Full() {
		r.chunk(r.p.AppendTo(r.reply(rpc.KindChunk)))
	}
	r.p.Row(stmt)
	if r.it != nil && !r.it.wanted(1) {
		return store.ErrPause
	}
	return nil
}

func (r *rows) chunk(message []byte) {
	r.c.inChunks = true
	r.c.s.send(message)
	if r.it != nil {
		r.it.sent()
	}
}

// read lets the engine pack the row and those after it.
func (r *rows) read(stmt *sqlite3.Stmt) error {
	before := r.block.Rows()
	switch code := r.block.Read(stmt, true, r.most, rpc.MaxBytes, blockSteps); code {
	case codeRow:
		if n := r.block.Rows(); n < r.most && n-before > blockSteps {
			return store.ErrPause // after blockSteps: the block has room
		}
		message, err := r.take(rpc.KindChunk)
		if err != nil {
			return err
		}
		r.chunk(message)
		return store.ErrPause
	case codeDone:
		message, err := r.take(rpc.KindResult)
		if err != nil {
			return err
		}
		r.last = message
		r.block.Close()
		r.block = nil
		return store.ErrEnd
	default:
		for _, err := range []error{stmt.Err(), stmt.Reset(), r.c.ctx.Err()} {
			if err != nil {
				return err
			}
		}
		return errcode.New("SQLITE_NOMEM", "leader: rows", "there is no memory for the rows")
	}
}

func (r *rows) take(kind rpc.Kind) ([]byte, error) {
	message, ok := r.block.AppendTo(rpc.BareBlock(r.reply(kind)))
	if !ok {
		return nil, errcode.New("SQLITE_NOMEM", "leader: rows", "there is no memory for the rows")
	}
	return message, nil
}

// stream runs f, which sends rows to r, and sends the last block.
func (s *Session) stream(c *call, f func(r *rows) error) error {
	answer, err := s.gather(c, f)
	if err == nil {
		c.reply(answer)
	}
	return err
}

// gather is stream, except that it returns the last block.
func (s *Session) gather(c *call, f func(r *rows) error) (answer []byte, err error) {
	r := newRows(c)
	return r.end(f(r))
}

// reply begins a message of the reply.
func (r *rows) reply(kind rpc.Kind) []byte {
	if r.counts && kind == rpc.KindResult {
		return rpc.ReplyResult(r.c.ID, store.Result{})
	}
	return rpc.Reply(r.c.ID, kind)
}

// end makes the last message of the reply, unless it ended by err.
func (r *rows) end(err error) (answer []byte, _ error) {
	if r.block != nil { // an error has ended it
		r.c.s.l.leaveBlock(r.block)
	}
	if r.p != nil {
		defer r.c.s.l.packers.Put(r.p)
	}
	switch {
	case err != nil:
		return nil, err
	case r.last != nil:
		return r.last, nil
	case r.p == nil:
		return r.reply(rpc.KindResult), nil
	default:
		return r.p.AppendTo(r.reply(rpc.KindResult)), nil
	}
}

// leaveBlock keeps a packer until the next call into SQLite: it can be closed only
// there.
func (l *Leader) leaveBlock(p BlockPacker) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.blocks = append(l.blocks, p)
}

func (l *Leader) closeBlocks() {
	l.mu.Lock()
	blocks := l.blocks
	l.blocks = nil
	l.mu.Unlock()
	for _, p := range blocks {
		p.Close()
	}
}
