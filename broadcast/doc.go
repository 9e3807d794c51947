// Package broadcast announces commits to all tabs of a database, while one of them
// listens to commits: a post costs the leader more than the rest of a small commit that
// is not the flush. A tab that begins to listen says so (rpc.MethodListen), and the reply
// names the number above which it should hear all.
//
// Announcements are hints: they carry names of tables and keys, and no data. The
// tab that misses one sees it by the next one's number, and reads again
// (web/src/api/listen.ts). A message is rpc.Announcement, encoded: a leader's id,
// a number, and a commit unless the leader only tells how far it is. A leader
// numbers its commits 1, 2, … from when it opened the database. A message of
// another version tells a tab no more than that something was written.
package broadcast

// MaxSize bounds a message in bytes. Keys that would exceed it are left out and
// counted.
const MaxSize = 64 << 10

// Channel carries messages to every other context of the origin, as the
// browser's BroadcastChannel does: in order, and perhaps not at all.
type Channel interface {
	// Post sends p, which the caller may use again afterwards.
	Post(p []byte) error
}
