package broadcast

import (
	"sync"

	"heddle.dev/heddle/internal/store"
)

// Announcer is the leader's side.
type Announcer struct {
	ch     Channel
	leader string

	mu   sync.Mutex
	last uint64
	buf  []byte
}

// NewAnnouncer makes an announcer for the leader of the given id, which no
// other leader of this database has ever had.
func NewAnnouncer(ch Channel, leader string) *Announcer {
	return &Announcer{ch: ch, leader: leader}
}

// Commit announces a commit. It fits [store.DB.OnCommit]; an error of the
// channel is returned and leaves a gap that the next message shows.
func (a *Announcer) Commit(c store.Commit) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.last = c.Number
	return a.post(Message{Kind: KindCommit, Leader: a.leader, Number: c.Number, Commit: c})
}

// Speak says who leads and how far it is. A new leader calls it once; called
// from time to time, it lets others notice that they missed the last commit.
func (a *Announcer) Speak() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.post(Message{Kind: KindLeader, Leader: a.leader, Number: a.last})
}

func (a *Announcer) post(m Message) error {
	a.buf = m.Append(a.buf[:0])
	return a.ch.Post(a.buf)
}

// Listener follows announcements on another tab. Handle must be called with
// one message at a time.
type Listener struct {
	// Commit gets each commit once, in order. May be nil.
	Commit func(store.Commit)
	// Gap is called before a commit, or alone, when something may have been
	// missed: another leader, a number left out, a message of another version.
	Gap func()

	leader  string
	last    uint64
	retired []string // leaders before this one: what they still say is old
}

// Start says where the tab stands, as the leader told it when it connected.
// Without it the first message counts as a gap.
func (l *Listener) Start(leader string, number uint64) {
	if l.leader == leader {
		l.last = max(l.last, number)
		return
	}
	l.adopt(leader, number)
}

func (l *Listener) adopt(leader string, number uint64) {
	if l.leader != "" {
		const remembered = 16
		l.retired = append(l.retired, l.leader)
		if len(l.retired) > remembered {
			l.retired = append(l.retired[:0], l.retired[1:]...)
		}
	}
	l.leader, l.last = leader, number
}

// Handle takes one message.
func (l *Listener) Handle(p []byte) {
	m, err := Decode(p)
	if err != nil {
		l.gap()
		return
	}
	for _, old := range l.retired {
		if old == m.Leader {
			return
		}
	}
	switch m.Kind {
	case KindLeader:
		if m.Leader != l.leader || m.Number > l.last {
			l.Start(m.Leader, m.Number)
			l.gap()
		}
	case KindCommit:
		switch {
		case m.Leader != l.leader:
			l.adopt(m.Leader, m.Number)
			l.gap()
		case m.Number <= l.last:
			return
		case m.Number != l.last+1:
			l.last = m.Number
			l.gap()
		default:
			l.last = m.Number
		}
		if l.Commit != nil {
			l.Commit(m.Commit)
		}
	}
}

func (l *Listener) gap() {
	if l.Gap != nil {
		l.Gap()
	}
}
