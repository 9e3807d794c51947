package member

import (
	"slices"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/client"
	"heddle.dev/heddle/sync/replica"
	"heddle.dev/heddle/sync/seal"
)

// confirmed is who has confirmed a snapshot: the last one that this device has made, has
// started from, or has read back whole.
type confirmed struct {
	id, maker seal.ID   // zeros: there is none
	seq       uint64    // the entry that it stands at
	own       bool      // this device has, by reading it back, or by starting from it where others have as well: see vouch
	proved    bool      // and so has another device than its maker
	by        []seal.ID // other devices that have confirmed it
	changed   bool      // it is not in the database yet
}

// markSnapshot is the mark with the snapshot: its entry, and id, maker, flags and the devices.
const markSnapshot = "snapshot"

const (
	flagOwn = 1 << iota
	flagProved
)

const confirmedHeader = 2*len(seal.ID{}) + 1

func (s *confirmed) load(c replica.Conn) error {
	if s.changed { // what the database has is older
		return nil
	}
	*s = confirmed{}
	return c.Query(`SELECT seq, value FROM heddle_seal_mark WHERE name = ?`, []any{markSnapshot},
		func(stmt *sqlite3.Stmt) error {
			value := stmt.ColumnRawBlob(1)
			if len(value) < confirmedHeader {
				return errcode.New(errcode.Damaged, "member: load", "what is kept of a snapshot is too short")
			}
			s.seq = uint64(stmt.ColumnInt64(0))
			copy(s.maker[:], value[copy(s.id[:], value):])
			flags := value[confirmedHeader-1]
			s.own, s.proved = flags&flagOwn != 0, flags&flagProved != 0
			for id := range slices.Chunk(value[confirmedHeader:], len(seal.ID{})) {
				s.by = append(s.by, seal.ID(id))
			}
			return nil
		})
}

func (s *confirmed) save(c replica.Conn) error {
	if !s.changed {
		return nil
	}
	flags := byte(0)
	if s.own {
		flags |= flagOwn
	}
	if s.proved {
		flags |= flagProved
	}
	value := append(append(append([]byte{}, s.id[:]...), s.maker[:]...), flags)
	for _, id := range s.by {
		value = append(value, id[:]...)
	}
	return c.Exec(`INSERT OR REPLACE INTO heddle_seal_mark(name, seq, value) VALUES(?, ?, ?)`, markSnapshot, int64(s.seq),
		value)
}

// told takes what a member's head says of it; its maker's says nothing new. same: the head has the digest of this
// device's rows at its entry.
func (s *confirmed) told(h *seal.Head, same bool) {
	proves := h.Proves == s.id
	if s.id == (seal.ID{}) || h.Device == s.maker || !proves && !(same && h.At.Seq >= s.seq) {
		return
	}
	if proves && !s.proved {
		s.proved, s.changed = true, true
	}
	if !slices.Contains(s.by, h.Device) {
		s.by, s.changed = append(s.by, h.Device), true
	}
}

// noteSnapshot keeps which snapshot was the last one, and who has confirmed it already: own says whether this device
// has. m.mu is held.
func (m *Member) noteSnapshot(manifest *seal.Manifest, own bool) {
	s := &m.snapshot
	if id := manifest.ID(m.cfg.Anchor); s.id != id {
		*s = confirmed{id: id, maker: manifest.Device, seq: manifest.At.Seq}
	}
	s.own, s.changed = s.own || own, true
	for _, one := range m.heads.heard {
		for _, h := range one.all() {
			s.told(h, false)
		}
	}
}

// vouch has this device say from now on that the snapshot is proved that it has started from: not before another
// device than the maker has confirmed it, where there is another. Its own rows are that snapshot's, so it has nothing
// to compare it with. m.mu is held.
func (m *Member) vouch() {
	s := &m.snapshot
	if !m.rests(s.id) {
		return
	}
	others := false
	for who := range m.log.Each() {
		others = others || who.Slot == 0 && who.ID != s.maker && who.ID != m.id
	}
	if !others || len(s.by) > 0 {
		s.own, s.changed, m.confirmed = true, true, s.id
	}
}

// rests says whether this device has started from a snapshot that it has not confirmed. m.mu is held.
func (m *Member) rests(id seal.ID) bool {
	s := &m.snapshot
	return id != seal.ID{} && s.id == id && s.maker != m.id && !s.own
}

// Snapshot implements client.Sealer.
func (m *Member) Snapshot() client.SnapshotStatus {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.vouch()
	s := &m.snapshot
	if s.id == (seal.ID{}) {
		return client.SnapshotStatus{}
	}
	status := client.SnapshotStatus{Seq: s.seq, Proved: s.proved || s.own}
	for who := range m.log.Each() {
		if who.Slot != 0 || who.ID == s.maker || who.ID == m.id {
			continue
		}
		if status.Devices++; slices.Contains(s.by, who.ID) {
			status.Confirmed++
		}
	}
	return status
}
