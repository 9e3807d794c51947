package member

import (
	"context"
	"slices"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/client"
	"heddle.dev/heddle/sync/replica"
	"heddle.dev/heddle/sync/seal"
	"heddle.dev/heddle/sync/wire"
)

// A server that was put back to a backup has lost the end of its log. To a device that
// looks just like an attack: a shorter log may hide a removal. So a device goes on with
// it by an admin's word alone. On an admin's device the admin says so; the device then
// makes the removals again that it knew, and leaves a Change with a Reset. Others obey
// that, where it is an admin's by what they know themselves, where it is about the
// history that they have, and where nobody is a member in the log that the server has now
// whom they have ever known to be removed.
//
// Before anything is given up, the whole of that log is judged; and what is followed then
// has to reach its end.

// marks are what starting over leaves in heddle_seal_mark.
const (
	markTold = "told" // a Position that the log must have, in the place of Config.Told's
	markWord = "word" // an admin's Change that is still to be made, for its Reset
	markGone = "gone" // ids: who was removed in the histories that were given up
)

// restored is what the marks say.
type restored struct {
	told *seal.Position // nil: Config.Told counts
	word *seal.Change   // nil: none is to be made
	gone []seal.ID
}

// told is a position that the log must have. m.mu is held.
func (m *Member) told() seal.Position {
	if m.restored.told != nil {
		return *m.restored.told
	}
	return m.cfg.Told
}

// tells says whether a Change that counts is this device's word that is to be told.
// m.mu is held.
func (m *Member) tells(v *seal.Verdict) bool {
	word, told := m.restored.word, v.Change().Reset
	return word != nil && told != nil && v.Sealed().Device == m.id && told.Position == word.Reset.Position &&
		slices.Equal(told.Lost, word.Reset.Lost)
}

// readMarks reads the marks.
func readMarks(c replica.Conn) (r restored, err error) {
	err = c.Query(`SELECT name, seq, value FROM heddle_seal_mark`, nil, func(s *sqlite3.Stmt) (err error) {
		switch s.ColumnText(0) {
		case markTold:
			r.told = &seal.Position{Seq: uint64(s.ColumnInt64(1))}
			copy(r.told.Chain[:], s.ColumnRawBlob(2))
		case markWord:
			r.word, err = seal.UnmarshalChange(s.ColumnBlob(2, nil))
		case markGone:
			for id := range slices.Chunk(s.ColumnBlob(2, nil), len(seal.ID{})) {
				r.gone = append(r.gone, seal.ID(id))
			}
		}
		return err
	})
	return r, err
}

// Word implements client.Sealer.
func (m *Member) Word(ctx context.Context, entries []wire.Entry) (*client.Word, error) {
	m.mu.Lock()
	log, suite, anchor := m.log.Clone(), m.cfg.Suite, m.cfg.Anchor
	m.mu.Unlock()
	for i := range entries {
		e := &entries[i]
		s, err := seal.UnmarshalSealed(e.Body)
		if err != nil || s.Kind != seal.KindMembers {
			continue
		}
		c, err := seal.UnmarshalChange(s.Box)
		if err != nil || c.Reset == nil || !obeyed(log, s, c) || e.Client != s.Device.Members() {
			continue
		}
		by, _ := log.Member(s.Device)
		claim := seal.Claim{Key: by.Sign, Statement: s.Statement(seal.Place{Anchor: anchor, Client: e.Client,
			Counter: e.Counter}), Signature: s.Signature}
		valid, err := suite.Verify(ctx, []seal.Claim{claim})
		if err != nil {
			return nil, err
		}
		if valid[0] {
			return &client.Word{Change: seal.HashChange(s.Box), Seq: c.Reset.Position.Seq}, nil
		}
	}
	return nil, nil
}

// obeyed says whether a word counts for the history of log: it is an admin's, about that
// history as far as this device can tell, and not a part of it: no word is obeyed twice.
func obeyed(log *seal.Log, s *seal.Sealed, c *seal.Change) bool {
	by, is := log.Member(s.Device)
	return is && by.Role == seal.RoleAdmin && by.Slot == 0 && log.MayHave(c.Reset.Position) &&
		!slices.Contains(log.ChangesAfter(0), seal.HashChange(s.Box))
}

// Examine implements client.Sealer.
func (m *Member) Examine(
	ctx context.Context, word *client.Word, base client.Plan, next func() ([]wire.Entry, error),
) (forget func(replica.Conn) error, err error) {
	m.ready(ctx, nil)
	m.mu.Lock()
	cfg, old, id, told, before := m.cfg, m.log.Clone(), m.id, m.told(), m.restored
	m.mu.Unlock()
	other := m.another()
	var first []wire.Entry
	if p, is := base.(*plan); is {
		if first, err = other.startAt(p, old, next); err != nil {
			return nil, err
		}
	}
	if err := other.follow(ctx, first, next); err != nil {
		return nil, err
	}
	if other.log.Has(old.Head()) && other.log.MayHave(told) { // nothing is lost here
		if word == nil {
			return nil, nil
		}
		if !slices.Contains(other.log.ChangesAfter(0), word.Change) {
			return nil, errNoWord
		}
		m.giveUpHeads(word.Seq)
		return nil, nil
	}
	to := before
	if to.gone = union(before.gone, old.Gone()); word != nil {
		err = to.follow(other.log, id, word.Change)
	} else if err = to.giveUp(old, other.log, id, cfg.First != nil); err == nil {
		word = &client.Word{Seq: to.word.Reset.Position.Seq}
	}
	if err != nil {
		return nil, err
	}
	m.giveUpHeads(word.Seq)
	head := other.log.Head()
	to.told = &head
	return func(c replica.Conn) error { return m.forget(c, old.Head(), to) }, nil
}

// follow judges a log from where the part is.
// entries are those that came already.
func (m *Member) follow(ctx context.Context, entries []wire.Entry, next func() ([]wire.Entry, error)) (err error) {
	for {
		if len(entries) == 0 {
			if entries, err = next(); err != nil || len(entries) == 0 {
				return err
			}
		}
		head := m.Head()
		if _, err := m.Open(ctx, wire.Position{Seq: head.Seq, Chain: head.Chain}, entries); err != nil {
			return err
		}
		m.Keep()
		entries = nil
	}
}

const opStartOver = "member: start over"

var errNoWord = errcode.New(errcode.Tampered, opStartOver,
	"the history that the server shows has not the admin's word")

// follow checks that this device may start over with a log, by an admin's word. Errors
// are HEDDLE_TAMPERED and HEDDLE_NOT_MEMBER.
func (r *restored) follow(log *seal.Log, id seal.ID, word wire.Hash) error {
	if !slices.Contains(log.ChangesAfter(0), word) {
		return errNoWord
	}
	if _, is := log.Member(id); !is {
		return errNotIn
	}
	for _, gone := range r.gone {
		if _, is := log.Member(gone); is {
			return errcode.New(errcode.Tampered, opStartOver, "a device that was removed is a member in the log that the "+
				"server has now: an admin has to remove it again")
		}
	}
	r.word = nil // it is for the log that is given up
	return nil
}

// giveUp prepares the word of an admin, whose device id is, that what log does not have
// of old is lost. Errors are HEDDLE_NOT_ALLOWED and HEDDLE_NOT_MEMBER.
func (r *restored) giveUp(old, log *seal.Log, id seal.ID, founder bool) error {
	if was, _ := old.Member(id); was.Role != seal.RoleAdmin {
		return errcode.New(errcode.NotAllowed, opStartOver, "an admin's device has to accept: this one follows it then")
	}
	if is, _ := log.Member(id); is.Role != seal.RoleAdmin && (log.Head().Seq > 0 || !founder) {
		return errNotIn
	}
	at := old.Common(log)
	lost := slices.DeleteFunc(old.ChangesAfter(at.Seq), log.HasChange)
	if r.word != nil { // what was given up before is not told yet
		lost = union(lost, r.word.Reset.Lost)
		if r.word.Reset.Position.Seq < at.Seq {
			at = r.word.Reset.Position
		}
	}
	r.word = &seal.Change{Prev: old.Newest(), Reset: &seal.Reset{Position: at, Lost: lost}}
	return nil
}

func union[T comparable](a, b []T) []T {
	all := slices.Clone(a)
	for _, v := range b {
		if !slices.Contains(all, v) {
			all = append(all, v)
		}
	}
	return all
}

var errNotIn = errcode.New(errcode.NotMember, "member: start over",
	"the log that the server has now does not know this device, or not as what it was: it has to be let in again, "+
		"with another database")

// forget empties the tables, inside SQLite. at is where the log was when it was compared.
func (m *Member) forget(c replica.Conn, at seal.Position, to restored) error {
	if m.Head() != at {
		return errcode.New(errcode.Network, opStartOver, "the log has gone on meanwhile")
	}
	for _, table := range []string{"heddle_seal_chain", "heddle_seal_client", "heddle_change", "heddle_seal_run"} {
		if err := c.Exec(`DELETE FROM ` + table); err != nil {
			return err
		}
	}
	if err := c.Exec(`DELETE FROM heddle_seal_mark WHERE name NOT IN (?, ?)`, markHeads, markFound); err != nil {
		return err
	}
	m.mu.Lock()
	m.snapshot = confirmed{} // it may be of what is given up
	m.mu.Unlock()
	if err := m.SaveHeads(c); err != nil {
		return err
	}
	const mark = `INSERT INTO heddle_seal_mark(name, seq, value) VALUES(?, ?, ?)`
	if err := c.Exec(mark, markTold, int64(to.told.Seq), to.told.Chain[:]); err != nil {
		return err
	}
	if to.word != nil {
		if err := c.Exec(mark, markWord, int64(0), to.word.Marshal()); err != nil {
			return err
		}
	}
	var gone []byte
	for _, id := range to.gone {
		gone = append(gone, id[:]...)
	}
	if len(gone) > 0 {
		if err := c.Exec(mark, markGone, int64(0), gone); err != nil {
			return err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.loaded = false
	clear(m.made)
	return nil
}

// tellWord makes the Change with this admin's word; nil where none is to be made.
func (m *Member) tellWord(ctx context.Context) (*client.Change, error) {
	c := m.begin(ctx)
	m.mu.Lock()
	word, gone := m.restored.word, m.restored.gone
	m.mu.Unlock()
	if word == nil || !c.member || c.self.Role != seal.RoleAdmin {
		return nil, nil // it is no admin's word in this history
	}
	c.Reset = word.Reset
	for _, id := range gone {
		if _, is := c.records.Member(id); is {
			c.Change.Remove = append(c.Change.Remove, id)
		}
	}
	return c.signWord(ctx)
}

// signWord signs a Change with an admin's word. It begins an epoch, whose key makes the Change another than any other:
// after a second restore the same words in the same place would be the same Change, which who has obeyed it once does
// not obey again.
func (d *draft) signWord(ctx context.Context) (*client.Change, error) {
	if err := d.renew(ctx); err != nil {
		return nil, err
	}
	return d.sign(ctx, d.cfg.Identity)
}

// GiveUp implements client.Sealer.
func (m *Member) GiveUp(ctx context.Context) (*client.Change, error) {
	c := m.begin(ctx)
	if !c.member || c.self.Role != seal.RoleAdmin {
		return nil, errcode.New(errcode.NotAllowed, "member: give up", "an admin's device has to accept")
	}
	c.Reset = &seal.Reset{} // wherever the others have left this log
	return c.signWord(ctx)
}

// Decided implements client.Sealer.
func (m *Member) Decided(id wire.ClientID) uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	counter, _ := m.log.Client(id)
	return counter
}
