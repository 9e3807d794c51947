package server

import (
	"fmt"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/fold"
	"heddle.dev/heddle/sync/wire"
)

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
