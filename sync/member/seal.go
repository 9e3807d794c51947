package member

import (
	"context"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/seal"
	"heddle.dev/heddle/sync/wire"
)

// made is a transaction that was sealed and is not in the log yet. It is sent again as
// it is, as long as it would be taken.
type made struct {
	plain seal.Hash // of the body
	hash  seal.Hash // of the seal
	bytes []byte
	prev  seal.Hash
	epoch uint64
	seen  seal.Position
}

// Sealed implements client.Sealer.
func (m *Member) Sealed(
	ctx context.Context, author wire.ClientID, counter uint64, hash wire.Hash, body []byte,
) ([]byte, error) {
	m.ready(ctx, nil)
	s, key, before, err := m.unsigned(author, counter, hash)
	if before != nil || err != nil {
		return before, err
	}
	place := seal.Place{Anchor: m.cfg.Anchor, Client: author, Counter: counter}
	if err := s.Encrypt(place, &key, body, !m.cfg.Stored, m.cfg.Rand); err != nil {
		return nil, err
	}
	if s.Signature, err = m.cfg.Identity.Sign(ctx, s.Statement(place)); err != nil {
		return nil, err
	}
	one := &made{plain: hash, bytes: s.Marshal(), prev: s.Prev, epoch: s.Epoch, seen: s.Seen}
	one.hash = wire.HashBody(one.bytes)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.client == author {
		m.made[counter] = one
	}
	return one.bytes, nil
}

// unsigned returns a transaction as it is to be sealed now, with the key; or the bytes
// that were made of it before, if those would be taken.
func (m *Member) unsigned(
	author wire.ClientID, counter uint64, hash wire.Hash,
) (s *seal.Sealed, key seal.Key, before []byte, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.cfg.Identity == nil {
		return nil, key, nil, errLocked
	}
	prev, err := m.before(author, counter)
	if err != nil {
		return nil, key, nil, err
	}
	key, epoch, err := m.newest()
	if err != nil {
		return nil, key, nil, err
	}
	if s := m.made[counter]; s != nil && s.plain == hash && s.prev == prev && s.epoch == epoch && m.fresh(s.seen) {
		return nil, key, s.bytes, nil
	}
	s = &seal.Sealed{Kind: seal.KindData, Device: m.id, Prev: prev, Epoch: epoch, Seen: m.log.Head()}
	return s, key, nil, nil
}

// before returns what the seal under a counter names as its author's one before.
func (m *Member) before(author wire.ClientID, counter uint64) (seal.Hash, error) {
	if m.client != author {
		m.client, m.pruned = author, 0
		clear(m.made)
	}
	decided, last := m.log.Client(author)
	for ; m.pruned < decided; m.pruned++ { // the log has it
		delete(m.made, m.pruned+1)
	}
	if counter == decided+1 {
		return last, nil
	}
	if s := m.made[counter-1]; s != nil && counter > decided {
		return s.hash, nil
	}
	return seal.Hash{}, errcode.New(errcode.Behind, "member: seal", "the log has gone on meanwhile")
}

// fresh says whether a position is on the log, and not so old that what was sealed
// there may get stale on its way.
func (m *Member) fresh(p seal.Position) bool {
	return m.log.Has(p) && m.log.Head().Seq-p.Seq < seal.Window/2
}

// Reseal forgets what was sealed: the server does not take it.
func (m *Member) Reseal() {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.made)
}
