package member

import (
	"bytes"
	"context"
	"io"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/replica"
	"heddle.dev/heddle/sync/seal"
	"heddle.dev/heddle/sync/wire"
)

// made is a transaction that was sealed and is not in the log yet. It is sent again as
// it is, as long as it would be taken.
type made struct {
	plain  seal.Hash    // of the body
	digest seal.Hash    // which the next one names
	parts  []wire.Part  // as it is sent
	bytes  []byte       // of all parts
	sealed *seal.Sealed // what the bytes decode to, and the body; nil where that is large
	body   []byte
	prev   seal.Hash
	epoch  uint64
	seen   seal.Position
}

// maxKept is the largest body that is kept, decoded, until the log has it: a request has at most 1 MiB of them.
const maxKept = 64 << 10

// Sealed implements client.Sealer.
func (m *Member) Sealed(
	ctx context.Context, author wire.ClientID, counter uint64, all []replica.PendingBody,
) ([][]wire.Part, error) {
	m.ready(ctx, nil)
	d, sent, err := m.resume(author, counter, all)
	if err != nil {
		return nil, err
	}
	from := len(sent)
	if err := d.encrypt(counter+uint64(from), all[from:]); err != nil {
		return nil, err
	}
	if err := seal.Sign(ctx, d.cfg.Identity, d.unsigned); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, u := range d.unsigned {
		s, data := u.Sealed, u.Sealed.Marshal()
		one := &made{plain: all[from+i].Hash, digest: u.Digest, bytes: data, prev: s.Prev, epoch: s.Epoch, seen: s.Seen,
			parts: wire.SplitBody(counter+uint64(from+i), data)}
		if len(all[from+i].Body) <= maxKept {
			one.sealed, one.body = s, all[from+i].Body
		}
		if sent = append(sent, one.parts); m.client == author {
			m.made[counter+uint64(from+i)] = one
		}
	}
	return sent, nil
}

// drafts are transactions of one author that are being sealed, one after the other.
type drafts struct {
	cfg      Config
	author   wire.ClientID
	key      seal.BodyKey
	next     seal.Sealed // without what is the transaction's own
	unsigned []seal.Unsigned
}

// resume returns the parts that were made before of the first transactions, as far as they
// would be taken, and what those after them are to be sealed with.
func (m *Member) resume(
	author wire.ClientID, counter uint64, all []replica.PendingBody,
) (d *drafts, sent [][]wire.Part, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.cfg.Identity == nil {
		return nil, nil, errLocked
	}
	d = &drafts{cfg: m.cfg, author: author, next: seal.Sealed{Kind: seal.KindData, Device: m.id, Seen: m.log.Head()}}
	if d.next.Prev, err = m.before(author, counter); err != nil {
		return nil, nil, err
	}
	epoch, commit := m.log.Epoch()
	key, is := m.bodyKey(commit, epoch)
	if !is {
		return nil, nil, errNoKey
	}
	d.key, d.next.Epoch = key, epoch
	for i := range all {
		s := m.made[counter+uint64(i)]
		if s == nil || s.plain != all[i].Hash || s.prev != d.next.Prev || s.epoch != d.next.Epoch || !m.fresh(s.seen) {
			break
		}
		sent, d.next.Prev = append(sent, s.parts), s.digest
	}
	return d, sent, nil
}

// encrypt seals transactions, the first of which has a counter.
func (d *drafts) encrypt(counter uint64, all []replica.PendingBody) error {
	nonces := make([]byte, len(all)*len(seal.Nonce{})) // a browser is asked once
	if _, err := io.ReadFull(d.cfg.Rand, nonces); err != nil {
		return errcode.Wrap(err, errcode.Internal, "member: draw nonces")
	}
	random, sealed := bytes.NewReader(nonces), make([]seal.Sealed, len(all))
	for i := range all {
		s, place := &sealed[i], seal.Place{Anchor: d.cfg.Anchor, Client: d.author, Counter: counter + uint64(i)}
		*s = d.next
		digest, err := s.EncryptBody(place, d.key, all[i].Body, !d.cfg.Stored, random)
		if err != nil {
			return err
		}
		d.next.Prev = digest
		d.unsigned = append(d.unsigned, seal.Unsigned{Sealed: s, Digest: digest})
	}
	return nil
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
		delete(m.sent, ordinal{author, m.pruned + 1})
	}
	if counter == decided+1 {
		return last, nil
	}
	if s := m.made[counter-1]; s != nil && counter > decided {
		return s.digest, nil
	}
	return seal.Hash{}, errcode.New(errcode.Behind, "member: seal", "the log has gone on meanwhile")
}

// fresh says whether a position is on the log, and not so old that what was sealed
// there may get stale on its way.
func (m *Member) fresh(p seal.Position) bool {
	return m.log.Has(p) && m.log.Head().Seq-p.Seq < seal.Window/2
}

// Recall implements client.Sealer.
func (m *Member) Recall(after uint64, entries []wire.Entry) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range entries {
		e := &entries[i]
		if len(e.Body) > 0 || e.Seq <= after {
			continue
		}
		one := m.made[e.Counter]
		if one == nil || m.client != e.Client || one.parts[0].BodyHash != e.BodyHash {
			return i
		}
		e.Body = one.bytes
	}
	return len(entries)
}

// Reseal forgets what was sealed: the server does not take it.
func (m *Member) Reseal() {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.made)
}
