package member

import (
	"context"
	"slices"
	"time"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/client"
	"heddle.dev/heddle/sync/replica"
	"heddle.dev/heddle/sync/seal"
	"heddle.dev/heddle/sync/wire"
)

// markFound is the mark with the seal.Evidence of what has stopped this device last, without the Changes.
const markFound = "found"

// found is what has stopped this device last.
type found struct {
	seal.Evidence
	signed bool
}

// finds notes what stops the device, unless it has by that before. m.mu is held.
func (m *Member) finds(why *client.Tampered, entry *wire.Entry, head *seal.Head) {
	f := &found{Evidence: seal.Evidence{Space: m.cfg.Space, Device: m.id, Kind: why.Kind, Seq: why.Seq,
		Follows: m.log.Head()}}
	at := uint64(0)
	if head != nil {
		f.Head, at = head.Marshal(), head.At.Seq
		for _, left := range head.Left {
			if m.log.Has(left) {
				at = left.Seq
			}
		}
	}
	if entry != nil {
		f.Entry = entry.Marshal()
		if s, err := seal.UnmarshalSealed(entry.Body); err == nil && head == nil && why.Kind == string(seal.StopFork) {
			at = s.Seen.Seq
		}
	}
	if p, kept := m.log.Position(at); kept {
		f.Follows = p
	} else if entry != nil && entry.Seq == at { // which the server shows in the place of the member's
		f.Follows = seal.Position{Seq: at, Chain: entry.Chain}
	}
	if was := m.found; was == nil || was.Kind != f.Kind || was.Seq != f.Seq {
		m.found = f
	}
}

// Found implements client.Sealer.
func (m *Member) Found(ctx context.Context, why *client.Tampered, now time.Time) ([]byte, error) {
	m.mu.Lock()
	if why.Kind == client.Rollback {
		m.finds(why, nil, nil)
	}
	f, id, anchor := m.found, m.cfg.Identity, m.cfg.Anchor
	if f == nil || f.signed || id == nil {
		m.mu.Unlock()
		return nil, nil
	}
	e := f.Evidence
	m.mu.Unlock()
	e.Time = uint64(now.UnixMilli())
	var err error
	if e.Signature, err = id.Sign(ctx, e.Statement(anchor)); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	f.Evidence, f.signed = e, true
	return e.Marshal(), nil
}

// KeepFound implements client.Sealer.
func (m *Member) KeepFound(c replica.Conn, evidence []byte) error {
	return c.Exec(`INSERT OR REPLACE INTO heddle_seal_mark(name, seq, value) VALUES(?, 0, ?)`, markFound, evidence)
}

// loadFound reads what has stopped this device last. m.mu is held.
func (m *Member) loadFound(c replica.Conn) error {
	return c.Query(`SELECT value FROM heddle_seal_mark WHERE name = ?`, []any{markFound}, func(s *sqlite3.Stmt) error {
		e, err := seal.UnmarshalEvidence(s.ColumnBlob(0, nil))
		if err != nil {
			return errcode.Wrap(err, errcode.Internal, "member: load")
		}
		m.found = &found{*e, true}
		return nil
	})
}

// Evidence implements client.Sealer.
func (m *Member) Evidence(changes []wire.Entry) []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.found == nil || !m.found.signed {
		return nil
	}
	e, known := m.found.Evidence, m.log.ChangesAfter(0)
	for i := range changes {
		s, err := seal.UnmarshalSealed(changes[i].Body)
		if err == nil && slices.Contains(known, seal.HashChange(s.Box)) {
			e.Changes = append(e.Changes, seal.SignedChange{Counter: changes[i].Counter, Sealed: changes[i].Body})
		}
	}
	return e.Marshal()
}

// Fingerprint returns the entry that is asked for, the log's last for 0, and 30 digits: two members who read out the
// same for one entry have the same history. HEDDLE_NOT_FOUND: the entry is not here, or too old.
func (m *Member) Fingerprint(seq uint64) (at uint64, digits string, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.cfg.Identity == nil {
		return 0, "", errLocked
	}
	if seq == 0 {
		seq = m.log.Head().Seq
	}
	p, kept := m.log.Position(seq)
	if !kept {
		return 0, "", errcode.New(errcode.NotFound, "member: fingerprint", "entry "+number(seq)+" is not here, or too old")
	}
	return seq, seal.Fingerprint(m.cfg.Anchor, p), nil
}
