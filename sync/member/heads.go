package member

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"slices"
	"time"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/client"
	"heddle.dev/heddle/sync/replica"
	"heddle.dev/heddle/sync/seal"
	"heddle.dev/heddle/sync/wire"
)

// Members tell each other by signed heads which log they follow. A head that cannot be of
// the log that is here stops this device, until its author tells another one, is removed,
// or an admin says that the history which it is of is lost: then it is a warning.

// heads are what this device has heard, and what it has told.
type heads struct {
	heard     map[seal.ID]*heard     // the newest of each other member's
	strangers map[seal.ID]*seal.Head // of devices whose admission is not here yet
	n         uint64                 // the number of the last that was told
	told      []seal.Position        // where this device was when it told, the newest last
	proved    seal.ID                // the snapshot that the last said was proved
	acked     seal.Position          // of the last that the server has taken
	changed   bool                   // n or told are not in the database yet
	stopped   *heard                 // what has stopped this device last
}

// heard is a member's head.
type heard struct {
	*seal.Head
	also     []*seal.Head // others of its number: of a copy of the database, or the server had forgotten the first
	covered  bool         // an admin has given up the history that it is of, or this device's user has
	compared bool         // its digest
	changed  bool         // it is not in the database yet
}

// maxAlso is how many heads of one number are kept of a device, beside the first.
const maxAlso = 16

func (h *heard) all() []*seal.Head { return append([]*seal.Head{h.Head}, h.also...) }

// of says whether something is so of one of them.
func (h *heard) of(is func(*seal.Head) bool) bool {
	return is(h.Head) || slices.ContainsFunc(h.also, is)
}

func newHeads() heads {
	return heads{heard: map[seal.ID]*heard{}, strangers: map[seal.ID]*seal.Head{}}
}

// markHeads is the mark with what was told: the number, and the positions.
const markHeads = "heads"

// load reads what the database has.
func (h *heads) load(c replica.Conn) error {
	*h = newHeads()
	const sql = `SELECT seq, value FROM heddle_seal_mark WHERE name = ?`
	err := c.Query(sql, []any{markHeads}, func(s *sqlite3.Stmt) error {
		h.n = uint64(s.ColumnInt64(0))
		for p := range slices.Chunk(s.ColumnRawBlob(1), positionSize) {
			h.told = append(h.told, decodePosition(p))
		}
		return nil
	})
	if err != nil {
		return err
	}
	return c.Query(`SELECT head, covered FROM heddle_seal_head`, nil, func(s *sqlite3.Stmt) error {
		one, err := seal.UnmarshalHead(s.ColumnBlob(0, nil))
		if err != nil {
			return errcode.Wrap(err, errcode.Internal, "member: load")
		}
		h.heard[one.Device] = &heard{Head: one, covered: s.ColumnInt64(1) != 0}
		return nil
	})
}

// save writes what has changed; what this device has told where own is set as well.
func (h *heads) save(c replica.Conn, own bool) error {
	if h.changed || own {
		told := []byte{}
		for _, p := range h.told {
			told = appendPosition(told, p)
		}
		if err := c.Exec(`INSERT OR REPLACE INTO heddle_seal_mark(name, seq, value) VALUES(?, ?, ?)`, markHeads, int64(h.n),
			told); err != nil {
			return err
		}
	}
	for id, one := range h.heard {
		if !one.changed {
			continue
		}
		covered := int64(0)
		if one.covered {
			covered = 1
		}
		if err := c.Exec(`INSERT OR REPLACE INTO heddle_seal_head(device, head, covered) VALUES(?, ?, ?)`, id[:],
			one.Marshal(), covered); err != nil {
			return err
		}
	}
	return nil
}

// saved says that the transaction of save is committed.
func (h *heads) saved() {
	h.changed = false
	for _, one := range h.heard {
		one.changed = false
	}
}

const positionSize = 8 + len(seal.Hash{})

func appendPosition(b []byte, p seal.Position) []byte {
	for shift := 56; shift >= 0; shift -= 8 {
		b = append(b, byte(p.Seq>>shift))
	}
	return append(b, p.Chain[:]...)
}

func decodePosition(b []byte) (p seal.Position) {
	for _, v := range b[:8] {
		p.Seq = p.Seq<<8 | uint64(v)
	}
	copy(p.Chain[:], b[8:])
	return p
}

// Hear implements client.Sealer.
func (m *Member) Hear(ctx context.Context, told [][]byte) error {
	var all []*seal.Head
	for _, data := range told {
		h, err := seal.UnmarshalHead(data)
		if err != nil {
			return err
		}
		all = append(all, h)
	}
	if err := m.listen(ctx, all, nil); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.contradicted()
}

// meet hears what devices have told whose admission is among Changes that come. Whether they are members then is seen
// as the log is judged: an id is that of its keys.
func (m *Member) meet(ctx context.Context, changes []*seal.Change) error {
	m.mu.Lock()
	var all []*seal.Head
	keys := map[seal.ID]seal.PublicKey{}
	for _, c := range changes {
		for i := range c.Add {
			if h := m.heads.strangers[c.Add[i].ID()]; h != nil {
				all, keys[h.Device] = append(all, h), c.Add[i].Sign
			}
		}
	}
	m.mu.Unlock()
	return m.listen(ctx, all, keys)
}

// listen verifies heads by the keys of members, or by those that are given. Those of others are kept for later.
func (m *Member) listen(ctx context.Context, all []*seal.Head, keys map[seal.ID]seal.PublicKey) error {
	m.mu.Lock()
	var claims []seal.Claim
	all = slices.DeleteFunc(all, func(h *seal.Head) bool {
		who, is := m.log.Member(h.Device)
		if key, given := keys[h.Device]; given {
			who.Sign, is = key, true
		}
		if !is && len(m.heads.strangers) < seal.MaxMembers {
			m.heads.strangers[h.Device] = h
		}
		if !is || m.heads.knows(m.id, h) {
			return true
		}
		claims = append(claims, h.Claim(m.cfg.Anchor, &who))
		return false
	})
	suite := m.cfg.Suite
	m.mu.Unlock()
	if len(claims) == 0 {
		return nil
	}
	valid, err := suite.Verify(ctx, claims)
	if err != nil {
		return errcode.Wrap(err, errcode.Internal, "member: verify")
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, h := range all {
		if delete(m.heads.strangers, h.Device); valid[i] { // who passes on another keeps back what was told
			m.heads.hear(m.id, h)
			m.snapshot.told(h, false)
		}
	}
	return nil
}

// knows says whether a head is no news to the device self.
func (h *heads) knows(self seal.ID, one *seal.Head) bool {
	if one.Device == self {
		return one.N <= h.n
	}
	old := h.heard[one.Device]
	return old != nil && (one.N < old.N || one.N == old.N && slices.ContainsFunc(old.all(), func(h *seal.Head) bool {
		return bytes.Equal(one.Marshal(), h.Marshal())
	}))
}

func (h *heads) hear(self seal.ID, one *seal.Head) {
	switch old := h.heard[one.Device]; {
	case h.knows(self, one): // meanwhile
	case one.Device == self: // a copy of the database has told it, or this one before it lost what it had
		h.n = one.N
		h.note(one.At)
	case old != nil && old.N == one.N:
		if len(old.also) < maxAlso {
			old.also = append(old.also, one)
		}
	default:
		h.heard[one.Device] = &heard{Head: one, changed: true}
	}
}

// note keeps a position that was told.
func (h *heads) note(p seal.Position) {
	h.changed = true
	if !slices.Contains(h.told, p) {
		h.told = append(h.told, p)
		h.told = slices.Clone(h.told[max(0, len(h.told)-seal.MaxLeft):])
	}
}

// contradicted is the error of a head that is not of this log. m.mu is held.
func (m *Member) contradicted() error {
	for _, one := range m.heads.heard {
		if _, is := m.log.Member(one.Device); is && !one.covered && one.of(m.log.Contradicts) {
			return m.toldOtherwise(one, nil)
		}
	}
	return nil
}

// contradicts returns a head that tells of another entry in e's place; nil where there is none. m.mu is held.
func (m *Member) contradicts(e *wire.Entry) *heard {
	for _, one := range m.heads.heard {
		other := func(h *seal.Head) bool { return h.At.Seq == e.Seq && h.At.Chain != e.Chain }
		if one.covered || !one.of(other) {
			continue
		}
		if _, is := m.log.Member(one.Device); is {
			return one
		}
	}
	return nil
}

// toldOtherwise is the error of a head that is of another log. m.mu is held.
func (m *Member) toldOtherwise(one *heard, entry *wire.Entry) error {
	m.heads.stopped = one
	at := one.At.Seq
	why := &client.Tampered{Kind: string(seal.StopFork), Seq: at, Device: idText(one.Device)}
	m.finds(why, entry, one.Head)
	return &errcode.Error{Code: errcode.Tampered, Op: "member: compare", Err: why,
		Msg: "the server shows what no honest one does: the member " + idText(one.Device) + " follows another history " +
			"up to entry " + number(at)}
}

func idText(id seal.ID) string { return hex.EncodeToString(id[:]) }

// cover notes that what follows an entry was given up: what members have told of it by now stops nobody. m.mu is held.
func (m *Member) cover(after uint64) {
	for _, one := range m.heads.heard {
		if one.At.Seq > after && !one.covered {
			one.covered, one.changed = true, true
		}
	}
}

func (m *Member) giveUpHeads(after uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.cover(after)
}

// Overrule implements client.Sealer.
func (m *Member) Overrule() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	over := false
	for _, one := range m.heads.heard {
		_, is := m.log.Member(one.Device)
		if is && !one.covered && (one.of(m.log.Contradicts) || one == m.heads.stopped) {
			one.covered, one.changed, over = true, true, true
		}
	}
	return over
}

// Ahead implements client.Sealer.
func (m *Member) Ahead() (ahead, lost client.Withheld) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, one := range m.heads.heard {
		if _, is := m.log.Member(one.Device); !is {
			continue
		}
		this := client.Withheld{Device: idText(one.Device), Seq: one.At.Seq}
		switch {
		case one.At.Seq > m.log.Head().Seq:
			ahead = ahead.Later(this)
		case one.covered && one.of(m.log.Contradicts):
			lost = lost.Later(this)
		}
	}
	return ahead, lost
}

// Tell implements client.Sealer.
func (m *Member) Tell(ctx context.Context, seq uint64, digest wire.Hash, now time.Time) ([]byte, error) {
	m.mu.Lock()
	m.vouch()
	id, anchor := m.cfg.Identity, m.cfg.Anchor
	at := m.log.Head()
	_, is := m.log.Member(m.id)
	if !is || id == nil || at.Seq != seq || m.contradicted() != nil ||
		at == m.heads.acked && m.confirmed == m.heads.proved {
		m.mu.Unlock()
		return nil, nil
	}
	h := &seal.Head{Device: m.id, N: m.heads.n + 1, At: at, Digest: digest, Proves: m.confirmed,
		Time: uint64(now.UnixMilli())}
	for _, p := range m.heads.told {
		if p.Seq > at.Seq || !m.log.Has(p) && m.log.Oldest().Seq <= p.Seq {
			h.Left = append(h.Left, p)
		}
	}
	m.heads.n = h.N
	m.heads.note(at)
	m.mu.Unlock()
	var err error
	if h.Signature, err = id.Sign(ctx, h.Statement(anchor)); err != nil {
		return nil, err
	}
	return h.Marshal(), nil
}

// Told implements client.Sealer.
func (m *Member) Told(head []byte) {
	h, err := seal.UnmarshalHead(head)
	if err != nil {
		return // it was none of Tell's
	}
	m.mu.Lock()
	m.heads.acked, m.heads.proved = h.At, h.Proves
	m.mu.Unlock()
}

// Differs implements client.Sealer.
func (m *Member) Differs(seq uint64, digest wire.Hash) (device string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, one := range m.comparable() {
		if one.At.Seq == seq {
			if one.compared = true; one.Digest != digest {
				device = idText(one.Device)
				continue
			}
			m.snapshot.told(one.Head, true)
		}
	}
	return device
}

// Comparable implements client.Sealer.
func (m *Member) Comparable() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.comparable()) > 0
}

// comparable are the heads at the log's end whose digest was not compared. m.mu is held.
func (m *Member) comparable() (all []*heard) {
	for _, one := range m.heads.heard {
		if _, is := m.log.Member(one.Device); is && !one.compared && one.At == m.log.Head() && one.Digest != (seal.Hash{}) {
			all = append(all, one)
		}
	}
	return all
}

// Again implements client.Sealer.
func (m *Member) Again() func(replica.Conn) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	to, at := m.restored, m.log.Head()
	to.told, to.gone = &at, union(to.gone, m.log.Gone())
	return func(c replica.Conn) error { return m.forget(c, at, to) }
}

// SaveHeads implements client.Sealer.
func (m *Member) SaveHeads(c replica.Conn) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return errors.Join(m.heads.save(c, true), m.snapshot.save(c))
}
