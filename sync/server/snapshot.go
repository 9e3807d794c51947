package server

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/fold"
	"heddle.dev/heddle/sync/wire"
)

// A snapshot is not made beforehand and not kept: it is the folded state as it
// stands, read row by row in the order of keys, each frame in a read of its own.
// What changes meanwhile is found in the log and sent again at the end, until
// the last frame is read together with the head that it speaks of. So no writer
// waits for a slow reader, and a replica resumes a snapshot as long as the log
// reaches back to where it began.

// snapshotFrom is how much log there must be, beside more than there is state,
// for a new replica to be given the state and not the log.
const snapshotFrom = 1 << 20

// errBehind says that the log was cut after where it is asked for.
var errBehind = errcode.New(errcode.Behind, "server: read log",
	"the log no longer reaches back to where this replica is: it starts over with a snapshot")

// reading runs f in one read transaction.
func (sp *space) reading(f func() error) error {
	sp.read.Lock()
	defer sp.read.Unlock()
	if err := sp.r.run(`BEGIN`, nil); err != nil {
		return err
	}
	err := f()
	if e := sp.r.run(`ROLLBACK`, nil); err == nil {
		err = e
	}
	return err
}

// wantsSnapshot decides between the log and a snapshot.
func (sp *space) wantsSnapshot(req *wire.PullRequest) (yes bool, err error) {
	if !req.Snapshots {
		return false, nil
	}
	if req.Anew || req.Resume != nil {
		return true, nil
	}
	sp.read.Lock()
	defer sp.read.Unlock()
	err = sp.r.run(`SELECT horizon, live, logged FROM space`, func(s *sqlite3.Stmt) error {
		at := int64(req.Position.Seq)
		yes = at < s.ColumnInt64(0) || at == 0 && s.ColumnInt64(2) > max(s.ColumnInt64(1), snapshotFrom)
		return nil
	})
	return yes, err
}

// rowID names a row of the state.
type rowID struct{ table, key string }

// part names the buckets of the digest that a key's row is counted in.
type part struct {
	table  string
	number uint8
}

// sender sends one snapshot.
type sender struct {
	sp     *space
	size   int // about how many bytes of the state go into a frame
	client wire.ClientID
	others []wire.ClientID // whose decided counters are asked for
	owned  []wire.ClientID // those of them whose outcomes the caller may see
	began  bool
	from   wire.Position // with only: what has changed after it is sent too
	seq    uint64        // all rows sent so far are at least as of this
	chain  wire.Hash
	table  string // the row sent last
	key    []byte
	done   bool // all rows were sent; from here on, again
	schema []byte

	only  map[part]bool // rows of these alone; nil for all
	at    uint64        // rows that entries up to this have changed were noted
	todo  []rowID
	noted map[rowID]bool
}

// snapshot sends the state, and leaves the feed at the entry that it is as of.
func (f *feed) snapshot(req *wire.PullRequest) error {
	s := &sender{
		sp: f.sp, size: f.s.o.Limits.Frame, client: req.Client, others: req.Clients, noted: map[rowID]bool{},
	}
	for _, id := range req.Clients {
		if f.sp.mayRead(&f.s.o, f.caller, id) == nil {
			s.owned = append(s.owned, id)
		}
	}
	if req.Anew && req.Resume == nil && len(req.Only) > 0 {
		s.only, s.from = map[part]bool{}, req.Position
		for _, b := range req.Only {
			s.only[part{b.Table, uint8(b.Number)}] = true
		}
	}
	for {
		if err := f.stopped(); err != nil {
			return err
		}
		var frames []*wire.Snapshot
		if err := f.sp.reading(func() (err error) {
			frames, err = s.next(req.Resume)
			return err
		}); err != nil {
			return err
		}
		for _, frame := range frames {
			if err := f.send(&wire.Frame{Snapshot: frame}); err != nil {
				return err
			}
			if frame.End != nil {
				f.seq = frame.Seq
				return nil
			}
		}
	}
}

// next returns the next frame, inside a read transaction; at the end it may be
// several, all as of one moment.
func (s *sender) next(resume *wire.Resume) ([]*wire.Snapshot, error) {
	frame := &wire.Snapshot{}
	var epoch wire.Epoch
	var schema []byte
	var total, horizon uint64
	if err := s.sp.r.run(`SELECT epoch, rows, schema, horizon FROM space`, func(q *sqlite3.Stmt) error {
		copy(epoch[:], q.ColumnRawBlob(0))
		total, schema, horizon = uint64(q.ColumnInt64(1)), blob(q, 2), uint64(q.ColumnInt64(3))
		return nil
	}); err != nil {
		return nil, err
	}
	head, chain, err := s.head()
	if err != nil {
		return nil, err
	}
	if !s.began {
		s.seq, s.chain = head, chain
		if r := resume; r != nil && r.Epoch == epoch && r.Seq >= horizon && r.Seq <= head {
			p := wire.Position{Epoch: epoch, Seq: r.Seq, Chain: r.Chain}
			if err := checkPosition(s.sp.r, epoch, head, p); err == nil {
				frame.Resumed = true
				s.seq, s.chain, s.table, s.key, s.done = r.Seq, r.Chain, r.Table, r.Key, r.Done
			} else if errcode.Of(err) != errcode.Diverged {
				return nil, err
			}
		}
		s.at, frame.Total = s.seq, total
		if s.only != nil {
			if err := checkPosition(s.sp.r, epoch, head, s.from); err == nil {
				s.at, frame.Total, frame.Only = s.from.Seq, 0, true
			} else {
				s.only = nil // all of it, then
			}
		}
	}
	if !s.began || !bytes.Equal(schema, s.schema) {
		s.schema, frame.Schema = schema, schema
	}
	s.began = true
	if !s.done {
		frame.Seq, frame.Chain = s.seq, s.chain
		if err := s.rows(frame); err != nil {
			return nil, err
		}
		frame.Last = s.done
		return []*wire.Snapshot{frame}, nil
	}
	frame.Again, frame.Last = true, true
	if err := s.note(head); err != nil {
		return nil, err
	}
	if err := s.again(frame); err != nil {
		return nil, err
	}
	if s.at == head && len(s.todo) == 0 {
		s.seq, s.chain = head, chain
		frame.Seq, frame.Chain = head, chain
		return s.end(frame)
	}
	frame.Seq, frame.Chain = s.seq, s.chain
	return []*wire.Snapshot{frame}, nil
}

func (s *sender) head() (seq uint64, chain wire.Hash, err error) {
	err = s.sp.r.run(headSQL, func(q *sqlite3.Stmt) error {
		seq = uint64(q.ColumnInt64(0))
		copy(chain[:], q.ColumnRawBlob(1))
		return nil
	})
	return seq, chain, err
}

var errFull = errors.New("server: the frame is full")

// add appends a row to the frame.
func add(frame *wire.Snapshot, table string, key, row []byte) {
	n := len(frame.Tables)
	if n == 0 || frame.Tables[n-1].Table != table {
		frame.Tables = append(frame.Tables, wire.SnapshotTable{Table: table})
		n++
	}
	t := &frame.Tables[n-1]
	t.Rows = wire.AppendRow(t.Rows, key, row)
}

// rows adds the rows after the last one.
func (s *sender) rows(frame *wire.Snapshot) error {
	size, passed := 0, 0
	const sql = `SELECT tbl, key, cells, sum FROM row WHERE (tbl, key) > (?, ?) ORDER BY tbl, key`
	err := s.sp.r.run(sql, func(q *sqlite3.Stmt) error {
		if size >= s.size || passed >= 8*s.size {
			return errFull
		}
		key, cells := q.ColumnRawBlob(1), q.ColumnRawBlob(2)
		if string(q.ColumnRawText(0)) != s.table {
			s.table = q.ColumnText(0)
		}
		if err := checkRow(s.table, key, cells, q.ColumnInt64(3)); err != nil {
			return err
		}
		s.key = append(s.key[:0], key...)
		if s.only != nil {
			values, err := wire.DecodeKey(key)
			if err != nil {
				return err
			}
			if !s.only[part{s.table, fold.BucketOf(values)}] {
				passed += len(key) + len(cells)
				return nil
			}
		}
		add(frame, s.table, key, cells)
		size += len(key) + len(cells) + 8
		return nil
	}, s.table, s.key)
	if err == errFull {
		return nil
	}
	s.done = err == nil
	return err
}

// note looks which rows the entries up to head have changed, up to a batch.
func (s *sender) note(head uint64) error {
	size := 0
	err := s.sp.r.run(`SELECT seq, body FROM log WHERE seq > ? ORDER BY seq`, func(q *sqlite3.Stmt) error {
		if uint64(q.ColumnInt64(0)) != s.at+1 {
			return errBehind
		}
		if size >= s.size {
			return errFull
		}
		data := q.ColumnRawBlob(1)
		size += len(data) + 128
		s.at++
		if len(data) == 0 {
			return nil
		}
		body, err := wire.UnmarshalBody(data)
		if err != nil {
			return err
		}
		for i := range body.Ops {
			id := rowID{body.Ops[i].Shape.Table, string(wire.EncodeKey(body.Ops[i].Key))}
			if !s.noted[id] {
				s.noted[id] = true
				s.todo = append(s.todo, id)
			}
		}
		return nil
	}, s.at)
	if err == errFull {
		err = nil
	}
	if err == nil && s.at < head && size == 0 {
		err = errBehind
	}
	return err
}

// again adds rows that have changed, as they are now.
func (s *sender) again(frame *wire.Snapshot) error {
	size := 0
	for len(s.todo) > 0 && size < s.size {
		id := s.todo[0]
		cells, err := s.sp.r.row(id.table, []byte(id.key))
		if err != nil {
			return err
		}
		add(frame, id.table, []byte(id.key), cells)
		size += len(id.key) + len(cells) + 8
		s.todo = s.todo[1:]
		delete(s.noted, id)
	}
	return nil
}

// compact cuts the log's beginning off where the log has grown past what is
// kept: so much that it stays proportional to the live data, so little at a time
// that no push waits for it. The last entry always stays.
func (sp *space) compact(o *Options) error {
	most := max(o.Limits.Log, 2*sp.st.live)
	if sp.st.logged <= most {
		return nil
	}
	cut, chain, freed := uint64(0), wire.Hash{}, int64(0)
	const sql = `SELECT seq, chain, coalesce(length(body), 0) FROM log ORDER BY seq LIMIT 1000`
	err := sp.w.run(sql, func(s *sqlite3.Stmt) error {
		seq := uint64(s.ColumnInt64(0))
		if seq == sp.st.seq || sp.st.logged-freed <= most-most/8 {
			return errFull
		}
		cut = seq
		copy(chain[:], s.ColumnRawBlob(1))
		freed += s.ColumnInt64(2) + entryBytes
		return nil
	})
	if err != nil && err != errFull || cut == 0 {
		return err
	}
	for _, sql := range []string{
		`INSERT INTO outcome SELECT client, counter, seq, outcome, body_hash FROM log WHERE seq <= ?`,
		`DELETE FROM log WHERE seq <= ?`,
		`DELETE FROM digest WHERE seq <= ?`,
	} {
		if err := sp.w.run(sql, nil, cut); err != nil {
			return err
		}
	}
	sp.st.logged -= freed
	sp.st.horizon = cut
	return sp.w.run(`UPDATE space SET horizon = ?, horizon_chain = ?`, nil, cut, chain[:])
}

// entryBytes is what an entry of the log takes beside its body.
const entryBytes = 160

// maxOutcomes bounds the outcomes of the caller's own transactions in a snapshot: no
// replica waits for more.
const maxOutcomes = 100_000

// outcomeBytes is what an outcome takes in a frame beside its code.
const outcomeBytes = 80

// end adds to the last frame with rows what belongs to the state beside them: the
// clients that the caller asks for, the outcomes of its own transactions,
// and the digest. What does not fit goes into frames after it, so that none is too
// large however much there is.
func (s *sender) end(last *wire.Snapshot) ([]*wire.Snapshot, error) {
	frames, size := []*wire.Snapshot{last}, 0
	for _, t := range last.Tables {
		size += len(t.Rows)
	}
	for _, id := range append([]wire.ClientID{s.client}, s.others...) {
		if err := s.sp.r.run(`SELECT decided FROM client WHERE id = ?`, func(q *sqlite3.Stmt) error {
			last.Clients = append(last.Clients, wire.Decided{Client: id, Counter: uint64(q.ColumnInt64(0))})
			return nil
		}, id[:]); err != nil {
			return nil, err
		}
	}
	for i, id := range append([]wire.ClientID{s.client}, s.owned...) {
		const sql = `SELECT counter, seq, outcome, body_hash FROM log WHERE client = ?1
			UNION ALL SELECT counter, seq, code, body_hash FROM outcome WHERE client = ?1 ORDER BY 1 DESC LIMIT ?2`
		err := s.sp.r.run(sql, func(q *sqlite3.Stmt) error {
			o := wire.Outcome{Counter: uint64(q.ColumnInt64(0)), Seq: uint64(q.ColumnInt64(1)), Code: q.ColumnText(2)}
			copy(o.BodyHash[:], q.ColumnRawBlob(3))
			if i > 0 {
				o.Client = id
			}
			if size += len(o.Code) + outcomeBytes; size > s.size {
				last = &wire.Snapshot{Again: true, Last: true, Seq: last.Seq, Chain: last.Chain}
				frames, size = append(frames, last), 0
			}
			last.Own = append(last.Own, o)
			return nil
		}, id[:], maxOutcomes)
		if err != nil {
			return nil, err
		}
	}
	digest, err := s.digest(last.Seq)
	last.End = &wire.SnapshotEnd{Digest: digest}
	return frames, err
}

// digest returns the digest of the log's end.
func (s *sender) digest(head uint64) (digest wire.Hash, err error) {
	if head == 0 {
		return (&fold.Digest{}).Sum(), nil
	}
	found := false
	err = s.sp.r.run(`SELECT digest FROM digest WHERE seq = ?`, func(q *sqlite3.Stmt) error {
		copy(digest[:], q.ColumnRawBlob(0))
		found = true
		return nil
	}, head)
	if err == nil && !found {
		err = fmt.Errorf("server: the file of space %q has no digest of its log's end", s.sp.name)
	}
	return digest, err
}

// digestBuckets returns the digest at the log's end with its buckets, which tell where
// a replica differs. They may be more than an answer holds: HEDDLE_TOO_BIG.
func (sp *space) digestBuckets() (d *wire.DigestResponse, err error) {
	d = &wire.DigestResponse{}
	err = sp.reading(func() error {
		s := &sender{sp: sp}
		if d.Seq, d.Chain, err = s.head(); err != nil {
			return err
		}
		if d.Digest, err = s.digest(d.Seq); err != nil {
			return err
		}
		if err := sp.r.run(`SELECT epoch, rows FROM space`, func(q *sqlite3.Stmt) error {
			copy(d.Epoch[:], q.ColumnRawBlob(0))
			d.Rows = uint64(q.ColumnInt64(1))
			return nil
		}); err != nil {
			return err
		}
		size := 0
		return sp.r.run(`SELECT tbl, grp, n, sum FROM bucket ORDER BY tbl, grp, n`, func(q *sqlite3.Stmt) error {
			b := wire.Bucket{
				Table: q.ColumnText(0), Group: uint32(q.ColumnInt64(1)), Number: uint32(q.ColumnInt64(2)), Sum: blob(q, 3),
			}
			if size += len(b.Table) + len(b.Sum) + bucketBytes; size > wire.MaxRequest {
				return errcode.New(errcode.TooBig, "server: digest",
					"the digest has too many buckets to tell of each: start over with a snapshot")
			}
			d.Buckets = append(d.Buckets, b)
			return nil
		})
	})
	return d, err
}

// bucketBytes is what a bucket takes in an answer beside its table and its sum.
const bucketBytes = 20
