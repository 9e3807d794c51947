// Package logstore is what the sync server keeps its spaces in: the interface of
// a store. The server reads a space, decides in memory, and commits one value;
// what a transaction means is known to the server alone, and how it is kept to
// the store alone.
//
// Four rules hold for every store and every server over it.
//
//   - The fence is (epoch, seq, chain). A chain hash names the whole past of a
//     log, so a commit whose base is not the head fails with [ErrMoved], whatever
//     happened in between: another server committed, the store was restored from
//     a backup, or a standby was promoted that lacks the last commits. There is no
//     lease, no clock and no leader among servers. A seq alone would join two
//     pasts.
//   - Memory may decide, and never answers alone. Commit proves what a decision
//     was based on: what a server has in memory of a head, and that rows are new
//     where it guessed so. An answer that commits nothing is read from the store
//     first. What a commit changes without moving the head (uploads, the owner of a
//     client, the log's beginning) is not proven, and no decision relies on it.
//   - Exactly once. After an error whose outcome is not known the server reads
//     again: the head, or (client, counter), says whether it was decided.
//   - Deciding is pure: it may run again for one transaction, on another base.
//
// Package storetest has the suite that every store passes.
package logstore

import (
	"bytes"
	"context"
	"errors"
	"iter"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/wire"
)

var (
	// ErrMoved says that a commit has not happened: the space's head is not its
	// base.
	ErrMoved = errors.New("logstore: the space's head is not the base of the commit")
	// ErrNotNew says that a commit has not happened: a row is there that it says is
	// new.
	ErrNotNew = errors.New("logstore: a row of the commit is not new")
	// ErrUnavailable is in the chain of an error of a store that may answer later.
	ErrUnavailable = errors.New("logstore: the store does not answer now")
	// ErrNotFound says that there is no such space.
	ErrNotFound = errcode.New(errcode.NotFound, "logstore", "there is no such space")
	// ErrGone says that the space was deleted. It never comes back under its name.
	ErrGone = errcode.New(errcode.Gone, "logstore", "the space was deleted")
	// ErrExists says that there is such a space already.
	ErrExists = errcode.New(errcode.BadParam, "logstore", "there is such a space already")
)

// Store keeps spaces. It is safe for concurrent use. An error is one of the above,
// HEDDLE_DAMAGED where what is stored is not what was written, the context's, or
// one of the store's own.
type Store interface {
	// Create makes a space with an empty log of this epoch, unless it is there.
	// ErrGone: it was deleted.
	Create(ctx context.Context, space string, epoch wire.Epoch) error

	// Import makes a space of all that a View of another store has, or nothing
	// of it. Digests before the head are left out. ErrExists, ErrGone.
	Import(ctx context.Context, space string, from View) error

	// Read calls f with the space as it is at one moment, no older than any
	// Commit that has returned anywhere. f may run again: the values that it sets
	// are those of its last run. Its error is returned. ErrNotFound, ErrGone.
	Read(ctx context.Context, space string, f func(View) error) error

	// Commit makes w durable, all or nothing. ErrMoved: the head is not w.Base, or a blob is
	// not as w.Was has it.
	// ErrNotNew: it is, and a row that w says is new is there. After those nothing
	// has happened. After any other error it is not known whether it happened: read
	// again. The store keeps nothing of w.
	Commit(ctx context.Context, space string, w *WriteSet) error

	// Heads reads the heads of many spaces at once, in their order. A space that
	// is not there has a Head without epoch.
	Heads(ctx context.Context, spaces []string) ([]Head, error)

	// Watch calls f with hints that spaces have moved, until ctx ends or the store
	// is closed. Hints may be lost, late or doubled. f does not block.
	Watch(ctx context.Context, f func(Hint)) error

	// Spaces lists up to n spaces by name, those after a name; deleted ones too.
	Spaces(ctx context.Context, after string, n int) ([]Info, error)

	// Cut takes the log's beginning off, up to seq, which is the head at most, and gives
	// back the room of what earlier cuts and commits have taken away, as far as the store
	// can: that alone with 0. Outcomes that authors may still ask for stay.
	Cut(ctx context.Context, space string, seq uint64) error

	// Delete erases a space. Its name stays as a tombstone.
	Delete(ctx context.Context, space string) error

	// Kick has each server end the streams of the space that are open.
	Kick(ctx context.Context, space string) error

	Close() error
}

// Head is where a space's log ends.
type Head struct {
	wire.Position
	Kicks uint64 // how often Kick was called
	Told  uint64 // how often a device's head was written
	Gone  bool   // it was deleted
}

// Info is a line about a space.
type Info struct {
	Space   string
	Gone    bool // it was deleted
	Head    wire.Position
	Rows    uint64
	Live    int64
	Logged  int64
	Horizon uint64
}

// State is what a commit leaves a space in.
type State struct {
	Head     wire.Position // the log's end
	Digest   wire.Hash     // of the folded state there
	RowCount uint64
	Live     int64 // bytes of the rows: keys and cells
}

// Meta is a space's state with that of its log.
type Meta struct {
	State
	Logged       int64     // bytes of the log, each entry with its EntryBytes
	Horizon      uint64    // the log begins after this
	HorizonChain wire.Hash // the chain hash there
	Kicks        uint64    // how often Kick was called
	Told         uint64    // how often a device's head was written
}

// EntryBytes is what an entry of the log counts beside its body.
const EntryBytes = 160

// RowID names a row by its table and its encoded key. Rows are in the bytewise
// order of both.
type RowID struct{ Table, Key string }

// Row is a row of the folded state: its encoded cells, nil for one that is gone.
// The cells are opaque to a store.
type Row struct {
	RowID
	Cells []byte
	New   bool // in a WriteSet: what was decided relies on there being none before
}

// Client is what a space knows of a replica.
type Client struct {
	ID      wire.ClientID
	Decided uint64 // the last decided counter
	Owned   bool   // the id belongs to the subject Owner
	Owner   string
}

// Upload is a transaction that is not whole yet. A client has one at most.
type Upload struct {
	Client  wire.ClientID
	Account string // the subject that it counts for
	Counter uint64
	Total   uint32 // parts in all
	Hash    wire.Hash
	Held    uint32 // parts held, from the first without a gap
	Bytes   int64  // what it counts
	At      int64  // when its last part came, in Unix seconds
}

// Part is a part of an upload.
type Part struct {
	Client wire.ClientID
	Index  uint32
	Bytes  []byte
}

// Size is how much an entry takes.
type Size struct {
	Seq   uint64
	Bytes int64 // of its body
}

// DeviceHead is what a device of a sealed space has told of the log that it follows: a seal.Head, which is opaque to a
// store. A device has one, that of its highest number.
type DeviceHead struct {
	Device [16]byte
	N      uint64
	Bytes  []byte
}

// Seen says which outcomes of cut entries a client needs no more: those up to a
// seq, and those up to a counter.
type Seen struct {
	Client  wire.ClientID
	Seq     uint64
	Counter uint64
}

// Blob is bytes that a space keeps beside its log, by a name: of a sealed space what its
// members have sealed of its state, and what a server has to know of what was cut.
type Blob struct {
	Name  string // 1 to MaxBlobName bytes of ASCII
	Bytes []byte // in a WriteSet nil: it is gone
	At    int64  // when it came, in Unix seconds
}

// Is reports whether these are the blob's bytes; nil: there is none.
func (b *Blob) Is(now []byte) bool {
	return bytes.Equal(now, b.Bytes) && (now == nil) == (b.Bytes == nil)
}

// MaxBlobName is the longest name of a blob, in bytes.
const MaxBlobName = 128

// BlobInfo is a line about a blob.
type BlobInfo struct {
	Name string
	Size int64
	At   int64
}

// View is a space at one moment, for as long as the function runs that it was
// given to. It is for one goroutine. What it returns may be kept.
type View interface {
	Meta() (Meta, error)
	// Schema returns the folded descriptors, as the server has encoded them.
	Schema() ([]byte, error)
	// Buckets returns the digest's buckets that have rows, in order.
	Buckets() iter.Seq2[wire.Bucket, error]
	// Rows returns the encoded cells of each row, nil where there is none.
	Rows(ids []RowID) ([][]byte, error)
	// Scan returns the rows after one, in order. Who reads about so many bytes at a
	// time says so.
	Scan(after RowID, bytes int) iter.Seq2[Row, error]
	// Entries returns entries after seq in order, as many as have about so many
	// bytes, 1,000 at most, and one at least if there is one. Bodies of without's
	// are left out. Those before the log's beginning are the ones that a cut has kept.
	Entries(after uint64, bytes int, without wire.ClientID) ([]wire.Entry, error)
	// Sizes returns how much the first n entries after seq take, which is no less than
	// where the log begins.
	Sizes(after uint64, n int) ([]Size, error)
	// At returns the state that a commit left at seq; found is false where no
	// commit ended there or the log begins after it. Live is not filled in.
	At(seq uint64) (s State, found bool, err error)
	// Chain returns the chain hash at seq, found unless the log begins after it or
	// ends before.
	Chain(seq uint64) (chain wire.Hash, found bool, err error)
	// Find returns the hash of the body that the log has under a counter.
	Find(client wire.ClientID, counter uint64) (hash wire.Hash, found bool, err error)
	// Clients returns what is known of each client, in the order of ids.
	Clients(ids []wire.ClientID) ([]Client, error)
	// Outcomes returns the last n decided transactions of a client that are known:
	// those of the log and those of cut entries, the newest first.
	Outcomes(client wire.ClientID, n int) iter.Seq2[wire.Outcome, error]
	// AllClients and CutOutcomes are for who copies the space.
	AllClients() iter.Seq2[Client, error]
	CutOutcomes() iter.Seq2[wire.Outcome, error]
	// Uploads returns the unfinished uploads, the longest untouched first.
	Uploads() ([]Upload, error)
	// Parts returns the parts held of a client's upload, in order.
	Parts(client wire.ClientID) ([][]byte, error)
	// DeviceHeads returns what each device has told, in the order of their ids.
	DeviceHeads() ([]DeviceHead, error)
	// Blobs returns what there is under names that begin with a prefix, in their order.
	Blobs(prefix string) ([]BlobInfo, error)
	// Blob returns the bytes of a name, nil where there is none.
	Blob(name string) ([]byte, error)
}

// WriteSet is what a commit changes.
type WriteSet struct {
	Base    wire.Position   // the head that it was decided on: the fence
	State                   // afterwards; its Head is Base where Entries are none
	Schema  []byte          // nil: unchanged
	Entries []wire.Entry    // Base.Seq+1, …; void ones have a body in sealed spaces alone
	Rows    []Row           // each once
	Buckets []wire.Bucket   // without a Sum: it has no rows any more
	Clients []Client        // an owner that a client has is kept
	Drop    []wire.ClientID // uploads that end; before those that follow
	Uploads []Upload
	Parts   []Part
	Seen    []Seen
	Told    []DeviceHead // one that is no newer than what is there changes nothing
	Blobs   []Blob       // each name once
	Was     []Blob       // what these blobs must be for it to be written; Bytes nil: there must be none
	Cut     uint64       // the log's beginning is taken off up to here, below State.Head; 0: it is not
	Keep    []byte       // entries stay, though they are cut, whose body begins with these bytes; nil: none do
}

// Empty reports whether the commit would change nothing. Seen alone is not worth
// one.
func (w *WriteSet) Empty() bool {
	return len(w.Entries)+len(w.Rows)+len(w.Buckets)+len(w.Clients)+len(w.Drop)+len(w.Uploads)+len(w.Parts) == 0 &&
		len(w.Told)+len(w.Blobs) == 0 && w.Schema == nil && w.Cut == 0
}
