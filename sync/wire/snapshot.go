package wire

import (
	"google.golang.org/protobuf/encoding/protowire"

	"heddle.dev/heddle/internal/errcode"
)

// Resume says how far a replica has got with a snapshot.
type Resume struct {
	Epoch Epoch
	Seq   uint64 // of the last frame that it applied
	Chain Hash   // and its chain hash there
	Table string // the last row of the last frame without Again
	Key   []byte // its key, encoded
	Rows  uint64 // how many rows there have been, for the progress
	Done  bool   // all rows have been there; what has changed meanwhile may be missing
}

// Snapshot is a piece of a space's folded state. The rows of a snapshot come in
// the order of table and key, then those that have changed meanwhile come
// again.
type Snapshot struct {
	Resumed bool            // first frame alone: it goes on where the asker was, else it begins anew
	Again   bool            // the rows have changed while the snapshot was sent
	Last    bool            // no more frames without Again follow
	Seq     uint64          // all rows so far are at least as of this entry
	Chain   Hash            // its chain hash
	Total   uint64          // first frame alone: rows, for the progress
	Schema  []byte          // a Body with the descriptors of the state; absent if they are as in the frame before
	Tables  []SnapshotTable // rows
	Clients []Decided       // before the end or with it: those of the clients asked for that have a decided transaction
	Own     []Outcome       // before the end or with it: decided transactions of the clients asked for, as far as the server still knows them
	End     *SnapshotEnd    // the snapshot is whole, and as of Seq
	Only    bool            // first frame alone: it has the rows that PullRequest.Only names, and those changed after the position
}

// SnapshotTable holds rows of a table: see AppendRow.
type SnapshotTable struct {
	Table string
	Rows  []byte
}

// SnapshotEnd says that a snapshot is whole. The frames with Clients and Own that
// came before it are as of the same entry.
type SnapshotEnd struct {
	Digest Hash
}

// Decided is a client's last decided counter.
type Decided struct {
	Client  ClientID
	Counter uint64
}

// Outcome is what became of a transaction.
type Outcome struct {
	Counter  uint64
	Seq      uint64
	Code     string   // "" for ok
	BodyHash Hash     // zero if it is no longer known
	Client   ClientID // zero for the asker
}

// AppendRow appends a row as SnapshotTable.Rows has it: its encoded key and its
// encoded cells, nothing for a row that is gone, each with its length.
func AppendRow(b, key, row []byte) []byte {
	return protowire.AppendBytes(protowire.AppendBytes(b, key), row)
}

// CutRow takes the first row off b, which shares its memory.
func CutRow(b []byte) (key, row, rest []byte, err error) {
	key, n := protowire.ConsumeBytes(b)
	if n >= 0 && len(key) > 0 {
		if row, m := protowire.ConsumeBytes(b[n:]); m >= 0 {
			return key, row, b[n+m:], nil
		}
	}
	return nil, nil, nil, errcode.New(errcode.Protocol, "wire: decode snapshot", "a row does not decode")
}

func putFlag(b []byte, num protowire.Number, v bool) []byte {
	if v {
		return putUint(b, num, 1)
	}
	return b
}

// Marshal returns m's encoding.
func (m *Resume) Marshal() []byte {
	b := putID(nil, 1, m.Epoch)
	b = putUint(b, 2, m.Seq)
	b = putHash(b, 3, m.Chain)
	b = putString(b, 4, m.Table)
	b = putBytes(b, 5, m.Key)
	b = putUint(b, 6, m.Rows)
	return putFlag(b, 7, m.Done)
}

func (m *Resume) read(r *loose) {
	switch r.num {
	case 1:
		m.Epoch = r.id()
	case 2:
		m.Seq = r.uint()
	case 3:
		m.Chain = r.hash()
	case 4:
		m.Table = r.text(MaxName)
	case 5:
		if m.Key = r.bytes(); len(m.Key) > MaxKey {
			r.fail("a key is too long")
		}
	case 6:
		m.Rows = r.uint()
	case 7:
		m.Done = r.uint() != 0
	default:
		r.skip()
	}
}

// UnmarshalResume decodes a Resume. Its Key shares data's memory.
func UnmarshalResume(data []byte) (*Resume, error) {
	return decode(data, "wire: decode resume", (*Resume).read)
}

func (m *Bucket) marshal() []byte {
	b := putString(nil, 1, m.Table)
	b = putUint(b, 2, uint64(m.Group))
	b = putUint(b, 3, uint64(m.Number))
	return putBytes(b, 4, m.Sum)
}

func (m *Bucket) read(r *loose) {
	switch r.num {
	case 1:
		m.Table = r.text(MaxName)
	case 2:
		m.Group = r.uint32()
	case 3:
		if m.Number = r.uint32(); m.Number > 255 {
			r.fail("a bucket has no such number")
		}
	case 4:
		m.Sum = r.bytes()
	default:
		r.skip()
	}
}

func (m *Snapshot) marshal() []byte {
	b := putFlag(nil, 1, m.Resumed)
	b = putFlag(b, 2, m.Again)
	b = putFlag(b, 3, m.Last)
	b = putUint(b, 4, m.Seq)
	b = putHash(b, 5, m.Chain)
	b = putUint(b, 6, m.Total)
	b = putBytes(b, 7, m.Schema)
	for _, t := range m.Tables {
		b = putMessage(b, 8, putBytes(putString(nil, 1, t.Table), 2, t.Rows))
	}
	if e := m.End; e != nil {
		b = putMessage(b, 9, putHash(nil, 1, e.Digest))
	}
	b = putFlag(b, 10, m.Only)
	for _, c := range m.Clients {
		b = putMessage(b, 11, putUint(putID(nil, 1, c.Client), 2, c.Counter))
	}
	for _, v := range m.Own {
		one := putHash(putString(putUint(putUint(nil, 1, v.Counter), 2, v.Seq), 3, v.Code), 4, v.BodyHash)
		b = putMessage(b, 12, putID(one, 5, v.Client))
	}
	return b
}

func (m *Snapshot) read(r *loose) {
	switch r.num {
	case 1:
		m.Resumed = r.uint() != 0
	case 2:
		m.Again = r.uint() != 0
	case 3:
		m.Last = r.uint() != 0
	case 4:
		m.Seq = r.uint()
	case 5:
		m.Chain = r.hash()
	case 6:
		m.Total = r.uint()
	case 7:
		m.Schema = r.bytes()
	case 8:
		var t SnapshotTable
		r.sub(func(r *loose) {
			switch r.num {
			case 1:
				t.Table = r.text(MaxName)
			case 2:
				t.Rows = r.bytes()
			default:
				r.skip()
			}
		})
		m.Tables = append(m.Tables, t)
	case 9:
		m.End = &SnapshotEnd{}
		r.sub(m.End.read)
	case 10:
		m.Only = r.uint() != 0
	case 11:
		var c Decided
		r.sub(c.read)
		m.Clients = append(m.Clients, c)
	case 12:
		var v Outcome
		r.sub(v.read)
		m.Own = append(m.Own, v)
	default:
		r.skip()
	}
}

func (e *SnapshotEnd) read(r *loose) {
	switch r.num {
	case 1:
		e.Digest = r.hash()
	default:
		r.skip()
	}
}

func (d *Decided) read(r *loose) {
	switch r.num {
	case 1:
		d.Client = r.id()
	case 2:
		d.Counter = r.uint()
	default:
		r.skip()
	}
}

func (o *Outcome) read(r *loose) {
	switch r.num {
	case 1:
		o.Counter = r.uint()
	case 2:
		o.Seq = r.uint()
	case 3:
		o.Code = r.text(MaxText)
	case 4:
		o.BodyHash = r.hash()
	case 5:
		o.Client = r.id()
	default:
		r.skip()
	}
}
