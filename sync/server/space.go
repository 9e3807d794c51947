package server

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync"
	"time"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/fold"
	"heddle.dev/heddle/sync/wire"
)

// space is one space's log and folded state, in one SQLite file. One connection
// writes, one reads; each has its own lock.
type space struct {
	name string

	lock   chan struct{} // holds one token: the right to use what follows
	w      *conn
	st     state
	broken bool // st may differ from the file: read it again

	read sync.Mutex
	r    *conn

	mu   sync.Mutex // guards head
	head head

	tail tail

	refs int       // guarded by Server.mu
	used time.Time // guarded by Server.mu: when refs last fell to 0
}

// state is what the writer keeps in memory. It is the file's content as of the
// last commit.
type state struct {
	epoch         wire.Epoch
	seq           uint64
	chain         wire.Hash
	rows          uint64
	live          int64  // bytes of the folded state
	logged        int64  // bytes of the log
	horizon       uint64 // the log begins after this
	schema        *fold.Schema
	schemaChanged bool // schema has more than the file's
	digest        *fold.Digest
}

// head is the log's end as readers see it. next is closed when it moves.
type head struct {
	epoch wire.Epoch
	seq   uint64
	next  chan struct{}
}

// openSpace opens a space's file, or makes it.
func openSpace(dsn, name string) (_ *space, err error) {
	sp := &space{name: name, lock: make(chan struct{}, 1)}
	defer func() {
		if err != nil {
			sp.close()
		}
	}()
	if sp.w, err = openConn(dsn + "&_pragma=busy_timeout(10000)"); err != nil {
		return nil, err
	}
	if err = sp.w.prepareFile(); err != nil {
		return nil, err
	}
	if err = sp.create(); err != nil {
		return nil, err
	}
	if sp.r, err = openConn(dsn + "&_pragma=busy_timeout(10000)&_pragma=query_only(on)"); err != nil {
		return nil, err
	}
	if err = sp.load(); err != nil {
		return nil, err
	}
	sp.head = head{epoch: sp.st.epoch, seq: sp.st.seq, next: make(chan struct{})}
	return sp, nil
}

func (sp *space) close() error {
	var err error
	if sp.r != nil {
		err = sp.r.close()
	}
	if sp.w != nil {
		if e := sp.w.close(); err == nil {
			err = e
		}
	}
	return err
}

// create makes the tables of a new file and refuses one of another format.
func (sp *space) create() (err error) {
	tx, err := sp.w.c.BeginImmediate()
	if err != nil {
		return err
	}
	defer tx.End(&err)
	tables := 0
	if err := sp.w.run(`SELECT count(*) FROM sqlite_schema`, func(s *sqlite3.Stmt) error {
		tables = s.ColumnInt(0)
		return nil
	}); err != nil {
		return err
	}
	if tables == 0 {
		if err := sp.w.c.Exec(schemaSQL); err != nil {
			return err
		}
		epoch := make([]byte, 16)
		rand.Read(epoch) // never fails
		return sp.w.run(`INSERT INTO space VALUES (1, ?, ?, ?, 0, x'', 0, 0, 0, x'')`, nil, format, sp.name, epoch)
	}
	upgraded, err := sp.w.upgrade()
	if err != nil {
		return err
	}
	name := ""
	if err := sp.w.run(`SELECT name FROM space`, func(s *sqlite3.Stmt) error {
		name = s.ColumnText(0)
		return nil
	}); err != nil {
		return err
	}
	if name != sp.name {
		return fmt.Errorf("server: the file of space %q is of space %q", sp.name, name)
	}
	if upgraded {
		if err := sp.recount(); err != nil {
			return err
		}
	}
	return sp.dropForgotten()
}

// recount keeps the digest of the log's end, in a file of an earlier format.
func (sp *space) recount() error {
	if err := sp.load(); err != nil || sp.st.seq == 0 {
		return err
	}
	return sp.keepDigest()
}

// upgrade brings a file to the format that this version writes.
func (c *conn) upgrade() (upgraded bool, err error) {
	found := 0
	if err := c.run(`SELECT format FROM space`, func(s *sqlite3.Stmt) error {
		found = s.ColumnInt(0)
		return nil
	}); err != nil {
		return false, err
	}
	for ; upgrades[found] != ""; found++ {
		upgraded = true
		if err := c.c.Exec(upgrades[found]); err != nil {
			return false, err
		}
		if err := c.run(`UPDATE space SET format = ?`, nil, found+1); err != nil {
			return false, err
		}
	}
	if found != format {
		return false, fmt.Errorf("server: the space's file has format %d, and this version reads up to %d", found, format)
	}
	return upgraded, nil
}

// headSQL finds the log's end, which is its horizon where all of it was cut.
const headSQL = `SELECT seq, chain FROM log
	UNION ALL SELECT horizon, horizon_chain FROM space WHERE horizon > 0 ORDER BY 1 DESC LIMIT 1`

// load reads the state from the file.
func (sp *space) load() error {
	st := state{digest: &fold.Digest{}}
	err := sp.w.run(`SELECT epoch, rows, schema, live, logged, horizon FROM space`, func(s *sqlite3.Stmt) (err error) {
		copy(st.epoch[:], s.ColumnRawBlob(0))
		st.rows = uint64(s.ColumnInt64(1))
		st.live, st.logged, st.horizon = s.ColumnInt64(3), s.ColumnInt64(4), uint64(s.ColumnInt64(5))
		st.schema, err = fold.UnmarshalSchema(blob(s, 2))
		return err
	})
	if err != nil {
		return err
	}
	if err := sp.w.run(headSQL, func(s *sqlite3.Stmt) error {
		st.seq = uint64(s.ColumnInt64(0))
		copy(st.chain[:], s.ColumnRawBlob(1))
		return nil
	}); err != nil {
		return err
	}
	if err := sp.w.run(`SELECT tbl, grp, n, sum FROM bucket`, func(s *sqlite3.Stmt) error {
		b, err := fold.UnmarshalBucket(s.ColumnRawBlob(3))
		id := fold.BucketID{Table: s.ColumnText(0), Group: uint32(s.ColumnInt64(1)), Bucket: uint8(s.ColumnInt(2))}
		st.digest.Set(id, b)
		return err
	}); err != nil {
		return err
	}
	sp.st, sp.broken = st, false
	return nil
}

// currentHead returns the log's end and the channel that closes when it has moved.
func (sp *space) currentHead() head {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	return sp.head
}

func (sp *space) publish() {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	if sp.st.seq == sp.head.seq {
		return
	}
	close(sp.head.next)
	sp.head = head{epoch: sp.st.epoch, seq: sp.st.seq, next: make(chan struct{})}
}

// write runs f in a write transaction and returns once the commit is on the disk.
// request bounds the wait for its turn, ctx also the work. After an error nothing
// has happened.
func (sp *space) write(request, ctx context.Context, f func() error) (err error) {
	select {
	case sp.lock <- struct{}{}:
		defer func() { <-sp.lock }()
	case <-request.Done():
		return request.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
	if sp.broken {
		if err := sp.load(); err != nil {
			return err
		}
	}
	old := sp.w.c.SetInterrupt(ctx)
	defer sp.w.c.SetInterrupt(old)
	tx, err := sp.w.c.BeginImmediate()
	if err != nil {
		return err
	}
	sp.broken = true // until the commit
	defer func() {   // also when f panics
		if sp.broken && !sp.w.c.GetAutocommit() {
			tx.Rollback()
		}
	}()
	if err := f(); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	sp.broken = false
	sp.publish()
	return nil
}

var errEpoch = errcode.New(errcode.Diverged, "server: check position", "the space has begun a new epoch")

// checkPosition says whether a replica at p follows this log.
func checkPosition(c *conn, epoch wire.Epoch, seq uint64, p wire.Position) error {
	const op = "server: check position"
	if p.Epoch == (wire.Epoch{}) {
		if p.Seq != 0 {
			return errcode.New(errcode.Protocol, op, "a position without epoch has a seq")
		}
		return nil
	}
	if p.Epoch != epoch {
		return errEpoch
	}
	if p.Seq > seq {
		return errcode.New(errcode.Diverged, op, fmt.Sprintf("the log ends at %d, before %d", seq, p.Seq))
	}
	var chain wire.Hash
	if p.Seq > 0 {
		known := false
		const sql = `SELECT chain FROM log WHERE seq = ?1
			UNION ALL SELECT horizon_chain FROM space WHERE horizon = ?1`
		if err := c.run(sql, func(s *sqlite3.Stmt) error {
			known = true
			copy(chain[:], s.ColumnRawBlob(0))
			return nil
		}, p.Seq); err != nil {
			return err
		}
		if !known {
			return errBehind
		}
	}
	if chain != p.Chain {
		return errcode.New(errcode.Diverged, op, fmt.Sprintf("the log has another past at %d", p.Seq))
	}
	return nil
}

// check is checkPosition for readers.
func (sp *space) check(p wire.Position) (head, error) {
	sp.read.Lock()
	defer sp.read.Unlock()
	h := sp.currentHead()
	return h, checkPosition(sp.r, h.epoch, h.seq, p)
}

// batchBytes is how much of the log is read, and sent in a frame, at a time;
// one entry may be larger.
const batchBytes = 1 << 20

// entries reads the log after seq up to head, which is the end of a commit, or up
// to a batch. The bodies of author's own entries are left out, and those of more
// than most bytes.
func (sp *space) entries(after, head uint64, author wire.ClientID, most int) ([]wire.Entry, error) {
	sp.read.Lock()
	defer sp.read.Unlock()
	var all []wire.Entry
	size := 0
	const sql = `SELECT seq, client, counter, outcome, body_hash, chain,
			CASE WHEN client <> ? AND length(body) <= ? THEN body END
		FROM log WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT 1000`
	err := sp.r.run(sql, func(s *sqlite3.Stmt) error {
		body := s.ColumnRawBlob(6)
		if size > 0 && size+len(body) > batchBytes {
			return errBatch
		}
		size += len(body) + 128
		e := scanEntry(s)
		e.Body = append([]byte(nil), body...)
		all = append(all, e)
		return nil
	}, author[:], most, after, head)
	if err == errBatch {
		err = nil
	}
	if err == nil && (len(all) == 0 || all[0].Seq != after+1) {
		err = errBehind
	}
	return all, err
}

// scanEntry reads an entry without its body from the first six columns: seq,
// client, counter, outcome, body_hash, chain.
func scanEntry(s *sqlite3.Stmt) wire.Entry {
	e := wire.Entry{Seq: uint64(s.ColumnInt64(0)), Counter: uint64(s.ColumnInt64(2)), Outcome: s.ColumnText(3)}
	copy(e.Client[:], s.ColumnRawBlob(1))
	copy(e.BodyHash[:], s.ColumnRawBlob(4))
	copy(e.Chain[:], s.ColumnRawBlob(5))
	return e
}

var errBatch = fmt.Errorf("server: the batch is full")

// backlog returns roughly how many bytes a pull after seq will send at once.
func (sp *space) backlog(after uint64) (n int64, err error) {
	sp.read.Lock()
	defer sp.read.Unlock()
	const sql = `SELECT total(n + 128) FROM
		(SELECT coalesce(length(body), 0) AS n FROM log WHERE seq > ? ORDER BY seq LIMIT 200)`
	err = sp.r.run(sql, func(s *sqlite3.Stmt) error {
		n = s.ColumnInt64(0)
		return nil
	}, after)
	return n, err
}

// digestAt returns the digest at seq; HEDDLE_NOT_FOUND if it is not kept any more,
// or seq was not the log's end after a commit.
func (sp *space) digestAt(seq uint64) (*wire.DigestResponse, error) {
	sp.read.Lock()
	defer sp.read.Unlock()
	d := &wire.DigestResponse{Epoch: sp.currentHead().epoch, Seq: seq}
	if seq == 0 {
		d.Digest = (&fold.Digest{}).Sum()
		return d, nil
	}
	found := false
	const sql = `SELECT digest, rows, coalesce(chain, (SELECT horizon_chain FROM space))
		FROM digest LEFT JOIN log USING (seq) WHERE seq = ?`
	err := sp.r.run(sql, func(s *sqlite3.Stmt) error {
		found = true
		copy(d.Digest[:], s.ColumnRawBlob(0))
		d.Rows = uint64(s.ColumnInt64(1))
		copy(d.Chain[:], s.ColumnRawBlob(2))
		return nil
	}, seq)
	if err == nil && !found {
		err = errcode.New(errcode.NotFound, "server: digest", fmt.Sprintf("there is no digest at %d: "+
			"it is too old or yet to come, or was decided together with the entry after it", seq))
	}
	return d, err
}
