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
	Resumed bool            // first frame alone: it goes on at PullRequest.Resume, else it starts over
	Again   bool            // the rows have changed while the snapshot was sent
	Last    bool            // no more frames without Again follow
	Seq     uint64          // all rows so far are at least as of this entry
	Chain   Hash            // its chain hash
	Total   uint64          // first frame alone: rows, for the progress
	Schema  []byte          // a Body with the descriptors of the state; absent if they are as in the frame before
	Tables  []SnapshotTable // rows
	Clients []Decided       // before the end or with it: those of the clients asked for that have a decided transaction
	Own     []Outcome       // before the end or with it: those of the clients asked for, as far as they are known
	End     *SnapshotEnd    // the snapshot is whole, and as of Seq
	Only    bool            // first frame alone: the rows of PullRequest.Only, and those changed after the position
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
