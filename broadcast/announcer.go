package broadcast

import (
	"sync"

	"heddle.dev/heddle/internal/rpc"
	"heddle.dev/heddle/internal/store"
)

// Announcer is the leader's side. Its methods may be called by several goroutines.
type Announcer struct {
	ch     Channel
	leader string

	mu   sync.Mutex
	last uint64
}

// NewAnnouncer makes an announcer for the leader of the given id, which no
// other leader of this database has ever had.
func NewAnnouncer(ch Channel, leader string) *Announcer {
	return &Announcer{ch: ch, leader: leader}
}

// Commit announces a commit. An error of the channel is returned, and leaves a
// gap that the next message shows.
func (a *Announcer) Commit(c store.Commit) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.last = max(a.last, c.Number)
	return a.ch.Post(a.encode(c))
}

// Pass notes the number of a commit that is not announced, since nobody listens.
func (a *Announcer) Pass(number uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.last = max(a.last, number)
}

// Last returns the number of the last commit, announced or not.
func (a *Announcer) Last() uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.last
}

// Head announces who leads and the number of the last commit. A new leader calls
// it once. Called from time to time, it lets tabs notice that they missed the last
// commit.
func (a *Announcer) Head() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.ch.Post(rpc.EncodeAnnouncement(rpc.Announcement{Version: rpc.Version, Leader: a.leader, Number: a.last}))
}

// encode makes a commit's message of at most MaxSize bytes, if its tables' names
// leave room: the tables with the most keys lose them.
func (a *Announcer) encode(c store.Commit) []byte {
	commit := rpc.Commit{Sync: c.Origin.Kind == store.Sync, Tab: c.Origin.Tab, Schema: c.Schema}
	for _, t := range c.Tables {
		commit.Tables = append(commit.Tables, rpc.TableCommit{
			Table: t.Table, Inserted: t.Inserted, Updated: t.Updated, Deleted: t.Deleted, More: uint32(t.More),
		})
	}
	for _, n := range c.Notifications {
		commit.Notified = append(commit.Notified, rpc.Notification(n))
	}
	for {
		message := rpc.EncodeAnnouncement(rpc.Announcement{Version: rpc.Version, Leader: a.leader, Number: c.Number,
			Commit: &commit})
		if len(message) <= MaxSize || !leaveOut(commit.Tables) {
			return message
		}
	}
}

// leaveOut leaves out the keys of the table that has most of them. It reports
// whether there was one.
func leaveOut(tables []rpc.TableCommit) bool {
	most, keys := 0, 0
	for i := range tables {
		if t := &tables[i]; len(t.Inserted)+len(t.Updated)+len(t.Deleted) > keys {
			most, keys = i, len(t.Inserted)+len(t.Updated)+len(t.Deleted)
		}
	}
	if keys == 0 {
		return false
	}
	t := &tables[most]
	*t = rpc.TableCommit{Table: t.Table, More: t.More + uint32(keys)}
	return true
}
