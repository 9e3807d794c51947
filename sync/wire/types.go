// Package wire is the language of Heddle's sync: the log's entries, the
// transactions inside them, and the messages between a client and a server.
//
// The encoding is Protocol Buffers' wire format, written by hand in canonical
// form: fields in ascending order, no defaults, no unknown fields in anything
// that is hashed. docs/PROTOCOL.md is the specification.
package wire

import "heddle.dev/heddle/internal/value"

// Value is an SQLite value: nil, int64, float64, string or []byte.
type Value = value.Value

// Hash is a BLAKE2b-256 hash.
type Hash [32]byte

// ClientID names a replica: 16 random bytes, minted with the database file.
type ClientID [16]byte

// SeedClient is the author of a space's seed, the transaction that an app has a new
// space begin with, whichever device sends it.
var SeedClient = ClientID([]byte("heddle/1/seed\x00\x00\x00"))

// Epoch names one life of a space's log: 16 random bytes.
type Epoch [16]byte

// Kind is what an operation does to its row.
type Kind uint8

// The kinds of operations.
const (
	Insert Kind = 1
	Update Kind = 2
	Delete Kind = 3
)

// String is the kind's name for people and programs.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return ""
}

var kindNames = [...]string{Insert: "insert", Update: "update", Delete: "delete"}

// Join says how a cell combines with the one before it. It travels with the
// cell, so that two versions of an app fold one log alike.
type Join uint8

// The joins.
const (
	JoinLast      Join = 0 // the later cell replaces the earlier one
	JoinAdd       Join = 1 // a counter: numbers add up
	JoinMax       Join = 2
	JoinMin       Join = 3
	JoinSetAdd    Join = 4 // a JSON array as a set: adds its elements
	JoinSetRemove Join = 5 // a JSON array as a set: removes its elements
)

// String is the join's name for people and programs.
func (j Join) String() string {
	if int(j) < len(joinNames) {
		return joinNames[j]
	}
	return ""
}

var joinNames = [...]string{JoinLast: "last", JoinAdd: "add", JoinMax: "max", JoinMin: "min", JoinSetAdd: "set+",
	JoinSetRemove: "set-"}

// Shape is what operations of one kind on one table have in common, written
// once in a body. An Op names its shape by index.
type Shape struct {
	Kind    Kind
	Table   string
	Columns []string // the columns of Op.Cells, in their order; none for Delete
	Joins   []Join   // one for each of Columns
}

// Op touches one row.
type Op struct {
	Shape *Shape
	Key   []Value // the primary key's values in the order of the table's key
	Cells []Value // one for each of Shape.Columns
}

// ColumnSchema describes a column of a synced table to replicas that do not know it.
type ColumnSchema struct {
	Name    string
	Group   uint32 // 1-based number of the migration that brought it
	Default Value  // its constant default, nil for NULL
}

// TableSchema describes a synced table, or columns added to one.
type TableSchema struct {
	Table   string
	Key     []string // the primary key's columns, in order
	Columns []ColumnSchema
}

// Body is a transaction: all its operations, in order.
type Body struct {
	Schema []TableSchema // descriptors that the log did not have yet
	Shapes []*Shape      // each used by at least one op, in order of first use
	Ops    []Op
}

// Entry is a decided transaction in a space's log.
type Entry struct {
	Seq      uint64 // 1, 2, … without gaps
	Client   ClientID
	Counter  uint64 // the author's own gapless number, from 1
	Outcome  string // "" for ok, else the code of the void
	BodyHash Hash
	Body     []byte // the marshalled Body; empty for a void entry and for its own author
	Chain    Hash   // over the entry before and all of the above
}

// Part is a piece of a transaction on its way to the server.
type Part struct {
	Counter  uint64
	Index    uint32 // 0-based
	Total    uint32 // parts in all
	BodyHash Hash   // of the whole body
	Bytes    []byte
}

// Position is a point in a space's log as a replica knows it.
type Position struct {
	Epoch Epoch // zero if the replica does not know the space yet
	Seq   uint64
	Chain Hash
}

// PushRequest uploads parts of pending transactions, in counter order.
type PushRequest struct {
	Position Position
	Client   ClientID
	Parts    []Part
}

// PushResponse says how far the server got. Outcomes travel in the log alone.
type PushResponse struct {
	Epoch   Epoch
	Head    uint64 // the log's last seq
	Decided uint64 // the client's last decided counter
	Staged  uint32 // parts held of the transaction after Decided, from the first without a gap
}

// PullRequest asks for the entries after Position, and for those to come.
type PullRequest struct {
	Position  Position
	Client    ClientID
	OwnBodies bool       // send the bodies of own entries too: the asker has lost its copies
	Snapshots bool       // the asker takes a snapshot where the log alone will not do
	Resume    *Resume    // goes on with a snapshot; Position says nothing then
	Anew      bool       // the asker starts over with a snapshot, whatever Position says beside the epoch
	Only      []Bucket   // with Anew: rows of these alone, and those changed after Position; sums are ignored
	Clients   []ClientID // whose decided counters a snapshot holds beside Client's
}

// Frame is one message of a pull stream. Exactly one field is set.
type Frame struct {
	Hello     *Hello
	Entries   []Entry    // in seq order, without gaps
	CaughtUp  *CaughtUp  // the stream has reached the head
	Heartbeat *Heartbeat // nothing new
	Error     *Error     // the stream ends
	Snapshot  *Snapshot  // a piece of the state; the entries after its end follow it
	Heads     [][]byte   // of a sealed space: what devices have told, each a seal.Head
	Wanted    *Wanted    // of a sealed space: the server asks this device for a snapshot
}

// Hello opens a pull stream.
type Hello struct {
	Epoch Epoch
	Head  uint64
}

// CaughtUp says that everything up to Seq was sent, with the digest at Seq.
type CaughtUp struct {
	Seq    uint64
	Digest Hash
}

// Heartbeat keeps a stream alive and tells that it is.
type Heartbeat struct{ Head uint64 }

// Wanted asks a device of a sealed space to make a snapshot, or to read one back and to
// say so in its head. It need not.
type Wanted struct {
	Prove []byte // the snapshot's id; none: a new one is to be made
}

// Missing lists chunks of a sealed space by their hashes: in a request those that are asked
// for, in the answer those that the server does not have.
type Missing struct {
	Chunks []Hash
}

// DigestResponse is the server's digest at a seq.
type DigestResponse struct {
	Epoch   Epoch
	Seq     uint64
	Chain   Hash
	Digest  Hash
	Rows    uint64   // rows of the folded state at Seq
	Buckets []Bucket // of the digest, if they were asked for
}

// Bucket is a part of a digest: rows of one table and migration group whose
// keys hash to one number.
type Bucket struct {
	Table  string
	Group  uint32
	Number uint32
	Sum    []byte
}

// Error is how a request is refused.
type Error struct {
	Code    string
	Message string
}
