package server

import (
	"bytes"
	"context"
	"maps"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/fold"
	"heddle.dev/heddle/sync/logstore"
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

// wantsSnapshot decides between the log and a snapshot.
func wantsSnapshot(m *logstore.Meta, req *wire.PullRequest) bool {
	switch at := req.Position.Seq; {
	case !req.Snapshots:
		return false
	case req.Anew, req.Resume != nil:
		return true
	default:
		return at < m.Horizon || at == 0 && m.Logged > max(m.Live, snapshotFrom)
	}
}

// part names the buckets of the digest that a key's row is counted in.
type part struct {
	table  string
	number uint8
}

// sender sends one snapshot.
type sender struct {
	o      *Options
	caller *caller
	size   int // about how many bytes of the state go into a frame
	client wire.ClientID
	others []wire.ClientID // whose decided counters are asked for
	progress
	only map[part]bool // rows of these alone; nil for all
}

// progress is what a frame leaves for the next one.
type progress struct {
	began  bool
	whole  bool           // rows are not left out, whatever only says
	from   wire.Position  // with only: what has changed after it is sent too
	at     wire.Position  // all rows sent so far are at least as of this
	row    logstore.RowID // the row sent last
	done   bool           // all rows were sent; from here on, again
	schema []byte
	seen   uint64 // rows that entries up to this have changed were noted
	todo   []logstore.RowID
	noted  map[logstore.RowID]bool
}

// snapshot sends the state, and leaves the feed at the entry that it is as of.
func (f *feed) snapshot(req *wire.PullRequest) error {
	s := &sender{o: &f.s.o, caller: f.caller, size: f.s.o.Limits.Frame, client: req.Client, others: req.Clients}
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
		before := s.progress
		var frames []*wire.Snapshot
		if err := f.sp.read(f.ctx, func(v logstore.View) (err error) {
			s.progress = before
			s.noted = maps.Clone(before.noted)
			frames, err = s.next(v, req.Resume)
			return err
		}); err != nil {
			return err
		}
		for _, frame := range frames {
			data := wire.AppendFrame(nil, &wire.Frame{Snapshot: frame})
			f.s.tally.snapshot.Add(uint64(len(data)))
			if err := f.write(data); err != nil {
				return err
			}
			if frame.End != nil {
				f.at = wire.Position{Epoch: f.at.Epoch, Seq: frame.Seq, Chain: frame.Chain}
				f.head, f.digest = f.at, frame.End.Digest
				return nil
			}
		}
	}
}

// next returns the next frame; at the end it may be several, all as of one moment.
func (s *sender) next(v logstore.View, resume *wire.Resume) ([]*wire.Snapshot, error) {
	m, err := v.Meta()
	if err != nil {
		return nil, err
	}
	schema, err := v.Schema()
	if err != nil {
		return nil, err
	}
	frame := &wire.Snapshot{}
	if !s.began {
		if err := s.begin(v, &m, frame, resume); err != nil {
			return nil, err
		}
	} else if m.Head.Epoch != s.at.Epoch {
		return nil, errEpoch
	}
	if !s.began || !bytes.Equal(schema, s.schema) {
		s.schema, frame.Schema = schema, schema
	}
	s.began = true
	if !s.done {
		frame.Seq, frame.Chain = s.at.Seq, s.at.Chain
		if err := s.rows(v, frame); err != nil {
			return nil, err
		}
		frame.Last = s.done
		return []*wire.Snapshot{frame}, nil
	}
	frame.Again, frame.Last = true, true
	if err := s.note(v, &m); err != nil {
		return nil, err
	}
	if err := s.again(v, frame); err != nil {
		return nil, err
	}
	if s.seen == m.Head.Seq && len(s.todo) == 0 {
		s.at = m.Head
		frame.Seq, frame.Chain = m.Head.Seq, m.Head.Chain
		return s.end(v, &m, frame)
	}
	frame.Seq, frame.Chain = s.at.Seq, s.at.Chain
	return []*wire.Snapshot{frame}, nil
}

// begin says in the first frame where the snapshot begins, and whether it goes on
// with one.
func (s *sender) begin(v logstore.View, m *logstore.Meta, frame *wire.Snapshot, resume *wire.Resume) error {
	s.at, s.noted = m.Head, map[logstore.RowID]bool{}
	if r := resume; r != nil && r.Epoch == m.Head.Epoch && r.Seq >= m.Horizon && r.Seq <= m.Head.Seq {
		p := wire.Position{Epoch: r.Epoch, Seq: r.Seq, Chain: r.Chain}
		if err := checkPosition(v, m, p); err == nil {
			frame.Resumed = true
			s.at, s.row, s.done = p, logstore.RowID{Table: r.Table, Key: string(r.Key)}, r.Done
		} else if errcode.Of(err) != errcode.Diverged {
			return err
		}
	}
	s.seen, frame.Total = s.at.Seq, m.RowCount
	if s.only == nil {
		return nil
	}
	if s.whole = checkPosition(v, m, s.from) != nil; !s.whole {
		s.seen, frame.Total, frame.Only = s.from.Seq, 0, true
	}
	return nil
}

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
func (s *sender) rows(v logstore.View, frame *wire.Snapshot) error {
	size, passed := 0, 0
	for row, err := range v.Scan(s.row, s.size) {
		if err != nil {
			return err
		}
		if size >= s.size || passed >= 8*s.size {
			return nil
		}
		s.row = row.RowID
		if s.only != nil && !s.whole {
			values, err := wire.DecodeKey([]byte(row.Key))
			if err != nil {
				return err
			}
			if !s.only[part{row.Table, fold.BucketOf(values)}] {
				passed += len(row.Key) + len(row.Cells)
				continue
			}
		}
		add(frame, row.Table, []byte(row.Key), row.Cells)
		size += len(row.Key) + len(row.Cells) + 8
	}
	s.done = true
	return nil
}

// note looks which rows the entries up to the head have changed, up to a batch.
func (s *sender) note(v logstore.View, m *logstore.Meta) error {
	if s.seen == m.Head.Seq {
		return nil
	}
	entries, err := v.Entries(s.seen, s.size, wire.ClientID{})
	if err == nil && (len(entries) == 0 || entries[0].Seq != s.seen+1) {
		err = errBehind
	}
	if err != nil {
		return err
	}
	for i := range entries {
		s.seen++
		if len(entries[i].Body) == 0 {
			continue
		}
		body, err := wire.UnmarshalBody(entries[i].Body)
		if err != nil {
			return err
		}
		for i := range body.Ops {
			id := logstore.RowID{Table: body.Ops[i].Shape.Table, Key: string(wire.EncodeKey(body.Ops[i].Key))}
			if !s.noted[id] {
				s.noted[id] = true
				s.todo = append(s.todo, id)
			}
		}
	}
	return nil
}

// again adds rows that have changed, as they are now.
func (s *sender) again(v logstore.View, frame *wire.Snapshot) error {
	size := 0
	for len(s.todo) > 0 && size < s.size {
		id := s.todo[0]
		cells, err := v.Rows(s.todo[:1])
		if err != nil {
			return err
		}
		add(frame, id.Table, []byte(id.Key), cells[0])
		size += len(id.Key) + len(cells[0]) + 8
		s.todo = s.todo[1:]
		delete(s.noted, id)
	}
	return nil
}

// maxOutcomes bounds the outcomes of the caller's own transactions in a snapshot: no
// replica waits for more.
const maxOutcomes = 100_000

// outcomeBytes is what an outcome takes in a frame beside its code.
const outcomeBytes = 80

// end adds to the last frame with rows what belongs to the state beside them: the
// clients that the caller asks for, the outcomes of its own transactions,
// and the digest. What does not fit goes into frames after it, so that none is too
// large however much there is.
func (s *sender) end(v logstore.View, m *logstore.Meta, last *wire.Snapshot) ([]*wire.Snapshot, error) {
	frames, size := []*wire.Snapshot{last}, 0
	for _, t := range last.Tables {
		size += len(t.Rows)
	}
	known, err := v.Clients(append([]wire.ClientID{s.client}, s.others...))
	if err != nil {
		return nil, err
	}
	for i := range known {
		if known[i].Decided > 0 {
			last.Clients = append(last.Clients, wire.Decided{Client: known[i].ID, Counter: known[i].Decided})
		}
	}
	for i := range known {
		if i > 0 && !s.o.owns(s.caller, known[i].ID, known[i].Owner, known[i].Owned) {
			continue
		}
		for o, err := range v.Outcomes(known[i].ID, maxOutcomes) {
			if err != nil {
				return nil, err
			}
			if i > 0 {
				o.Client = known[i].ID
			}
			if size += len(o.Code) + outcomeBytes; size > s.size {
				last = &wire.Snapshot{Again: true, Last: true, Seq: last.Seq, Chain: last.Chain}
				frames, size = append(frames, last), 0
			}
			last.Own = append(last.Own, o)
		}
	}
	last.End = &wire.SnapshotEnd{Digest: digestOf(m)}
	return frames, nil
}

// digestOf returns the digest of the log's end.
func digestOf(m *logstore.Meta) wire.Hash {
	if m.Head.Seq == 0 {
		return (&fold.Digest{}).Sum()
	}
	return m.Digest
}

// digestBuckets returns the digest at the log's end with its buckets, which tell where
// a replica differs. They may be more than an answer holds: HEDDLE_TOO_BIG.
func (sp *space) digestBuckets(ctx context.Context) (*wire.DigestResponse, error) {
	d := &wire.DigestResponse{}
	err := sp.read(ctx, func(v logstore.View) error {
		m, err := v.Meta()
		if err != nil {
			return err
		}
		*d = wire.DigestResponse{Epoch: m.Head.Epoch, Seq: m.Head.Seq, Chain: m.Head.Chain, Digest: digestOf(&m),
			Rows: m.RowCount}
		size := 0
		for b, err := range v.Buckets() {
			if err != nil {
				return err
			}
			if size += len(b.Table) + len(b.Sum) + bucketBytes; size > wire.MaxRequest {
				return errcode.New(errcode.TooBig, "server: digest",
					"the digest has too many buckets to tell of each: start over with a snapshot")
			}
			d.Buckets = append(d.Buckets, b)
		}
		return nil
	})
	return d, err
}

// bucketBytes is what a bucket takes in an answer beside its table and its sum.
const bucketBytes = 20
