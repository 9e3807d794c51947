// Package broadcast announces commits to the other tabs of a database, and
// lets them notice when they have missed one.
//
// Announcements are hints: they carry tables, columns and keys and never data
// of record. A tab that missed some reads again.
//
// # Encoding
//
// Integers are little-endian. string is a u32 length and valid UTF-8; list<X>
// is a u32 count and that many X; value is a u8 tag (0 NULL, 1 INTEGER: i64,
// 2 REAL: f64, 3 TEXT: string, 4 BLOB: u32 length and bytes), as in package rpc.
//
//	message = u8 version, u8 kind, string leader, u64 number, payload
//	kind 1 leader: no payload   the leader speaks; number is its last commit
//	kind 2 commit: u8 origin (1 local, 2 sync), string tab, u8 flags (1: the
//	               schema changed or the whole content was replaced), list<table>
//	table   = string name, u8 flags (1: rows were inserted or deleted),
//	          u32 more, list<string> columns,
//	          list<key> inserted, list<key> updated, list<key> deleted
//	key     = list<value>
//
// A leader numbers its commits 1, 2, … from when it opened the database; leader
// tells one such count from another. more counts rows whose keys are left out:
// a message stays below [MaxSize].
//
// A decoder ignores bytes after what it knows and kinds it does not know. A
// message of another version means no more than that something was written:
// the receiver treats it as a gap. testdata/vectors.json holds examples that Go
// and TypeScript both read.
package broadcast

import "heddle.dev/heddle/internal/store"

// Version is the first byte of each message.
const Version = 1

// MaxSize bounds a message in bytes. Keys beyond it are left out and counted.
const MaxSize = 64 << 10

// Kind is what a message says.
type Kind uint8

// The kinds of messages.
const (
	KindLeader Kind = 1
	KindCommit Kind = 2
)

// Message is an announcement.
type Message struct {
	Kind   Kind
	Leader string
	Number uint64       // of the commit, or of the leader's last
	Commit store.Commit // KindCommit alone
}

// Channel carries messages to every other tab, as the browser's
// BroadcastChannel does: not to the sender, in order, and perhaps not at all.
type Channel interface {
	// Post sends p, which the caller may use again afterwards.
	Post(p []byte) error
	// Receive calls f for each message until stop. f owns its argument.
	Receive(f func(p []byte)) (stop func())
	Close() error
}
