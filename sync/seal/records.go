package seal

import (
	"bytes"
	"iter"
	"maps"
	"slices"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/wire"
)

// Member is a device or a slot that may do something in a space.
type Member struct {
	ID        ID
	Sign, Box PublicKey
	Role      Role
	User      ID
	Slot      SlotKind // 0 for a device; a slot adds one device of its user at a time
}

// Records say who is a member, by the Changes of a log up to some entry.
type Records struct {
	members map[ID]Member
	ever    map[ID]bool // who was a member at some time: keys are added once
	newest  Hash
	epoch   uint64
	commit  Hash
	changes []placed // that count, in order
}

// placed is a Change's hash, the entry that it stands in, and the epoch after it.
type placed struct {
	seq   uint64
	hash  Hash
	epoch uint64
}

// At returns the newest Change and the epoch at an entry; zeros before the first Change.
func (r *Records) At(seq uint64) (newest Hash, epoch uint64) {
	for _, c := range slices.Backward(r.changes) {
		if c.seq <= seq {
			return c.hash, c.epoch
		}
	}
	return newest, 0
}

// HasChange says whether a Change is one that counts.
func (r *Records) HasChange(change Hash) bool {
	return slices.ContainsFunc(r.changes, func(c placed) bool { return c.hash == change })
}

// ChangesAfter returns the hashes of the Changes that count behind an entry, the newest
// first.
func (r *Records) ChangesAfter(seq uint64) (all []Hash) {
	for _, c := range slices.Backward(r.changes) {
		if c.seq <= seq {
			break
		}
		all = append(all, c.hash)
	}
	return all
}

// Gone returns who was a member and is none any more.
func (r *Records) Gone() (all []ID) {
	for id := range r.ever {
		if _, is := r.members[id]; !is {
			all = append(all, id)
		}
	}
	slices.SortFunc(all, func(a, b ID) int { return bytes.Compare(a[:], b[:]) })
	return all
}

// Member returns the device or slot of an id.
func (r *Records) Member(id ID) (m Member, is bool) {
	m, is = r.members[id]
	return m, is
}

// Removed says whether a device or slot was a member and is none any more.
func (r *Records) Removed(id ID) bool {
	_, is := r.members[id]
	return r.ever[id] && !is
}

// Members returns how many devices and slots there are.
func (r *Records) Members() int { return len(r.members) }

// Newest returns the hash of the newest Change.
func (r *Records) Newest() Hash { return r.newest }

// Epoch returns the number of the newest key, and what the Change that began it says
// of the key: see [Key.Commit].
func (r *Records) Epoch() (number uint64, commit Hash) { return r.epoch, r.commit }

// added returns the members that a Change brings.
func (m *Change) added() []Member {
	all := make([]Member, 0, len(m.Add)+len(m.Slots))
	for i := range m.Add {
		d := &m.Add[i]
		all = append(all, Member{d.ID(), d.Sign, d.Box, d.Role, d.User, 0})
	}
	for i := range m.Slots {
		s := &m.Slots[i]
		all = append(all, Member{s.ID(), s.Sign, s.Box, s.Role, s.User, s.Kind})
	}
	return all
}

// allowed says whether author may make a Change, "" for yes. used says whether a
// client id is in use.
func (r *Records) allowed(author Member, c *Change, used func(wire.ClientID) bool) string {
	first := r.newest == Hash{}
	if c.Prev != r.newest {
		return errcode.MembersMoved
	}
	if first && c.Epoch == nil {
		return errcode.NotAllowed
	}
	stay := maps.Clone(r.members)
	if stay == nil {
		stay = map[ID]Member{}
	}
	for _, id := range c.Remove {
		m, is := stay[id]
		if !is || !author.mayRemove(m) {
			return errcode.NotAllowed
		}
		delete(stay, id)
	}
	added := c.added()
	for _, m := range added {
		_, twice := stay[m.ID]
		if twice || r.ever[m.ID] || used(m.ID.Members()) || !first && !author.mayAdd(m) {
			return errcode.NotAllowed
		}
		stay[m.ID] = m
	}
	if !author.may(c, len(added)) || len(stay) > MaxMembers || !r.wrapsFit(c, stay, added) {
		return errcode.NotAllowed
	}
	return ""
}

// may looks at a Change as a whole.
func (m Member) may(c *Change, added int) bool {
	switch {
	case m.Slot != 0 && (added != 1 || len(c.Remove) > 0 || c.Epoch != nil),
		c.Reset != nil && (m.Role != RoleAdmin || m.Slot != 0),
		m.Role != RoleAdmin && added+len(c.Remove) == 0,
		len(c.Remove) > 0 && c.Epoch == nil: // who goes would have the newest key
		return false
	}
	return added+len(c.Remove) > 0 || c.Epoch != nil || c.Reset != nil
}

// wrapsFit: a new key goes to all who stay and no other, the key of before to those
// who are added and no other.
func (r *Records) wrapsFit(c *Change, stay map[ID]Member, added []Member) bool {
	want := map[ID]bool{}
	wraps := c.Wrap
	if c.Epoch == nil {
		for _, m := range added {
			want[m.ID] = true
		}
	} else {
		if c.Epoch.Number != r.epoch+1 || len(c.Wrap) > 0 {
			return false
		}
		wraps = c.Epoch.Wrap
		for id := range stay {
			want[id] = true
		}
	}
	for i := range wraps {
		if !want[wraps[i].ID] {
			return false
		}
		delete(want, wraps[i].ID)
	}
	return len(want) == 0
}

func (m Member) mayAdd(other Member) bool {
	switch {
	case m.Slot != 0:
		return other.Slot == 0 && other.User == m.User && other.Role >= m.Role
	case m.Role == RoleWrite:
		return other.User == m.User && other.Role >= m.Role
	}
	return m.Role == RoleAdmin
}

func (m Member) mayRemove(other Member) bool {
	switch {
	case m.Slot != 0, other.ID == m.ID: // it would know the new key, which it has made; and so an admin always stays
		return false
	case m.Role == RoleWrite:
		return other.User == m.User && other.Role >= m.Role
	}
	return m.Role == RoleAdmin
}

// apply makes a Change part of the records. The maps of before stay as they are.
func (r *Records) apply(c *Change, hash Hash, seq uint64) {
	if r.members, r.ever = maps.Clone(r.members), maps.Clone(r.ever); r.members == nil {
		r.members, r.ever = map[ID]Member{}, map[ID]bool{}
	}
	for _, id := range c.Remove {
		delete(r.members, id)
	}
	for _, m := range c.added() {
		r.members[m.ID], r.ever[m.ID] = m, true
	}
	r.newest = hash
	if c.Epoch != nil {
		r.epoch, r.commit = c.Epoch.Number, c.Epoch.Commit
	}
	r.changes = append(r.changes[:len(r.changes):len(r.changes)], placed{seq, hash, r.epoch})
}

// Each yields all members in the order of their ids.
func (r *Records) Each() iter.Seq[Member] {
	return func(yield func(Member) bool) {
		ids := make([]string, 0, len(r.members)) // a browser has no other use for the sorting of IDs
		for id := range r.members {
			ids = append(ids, string(id[:]))
		}
		slices.Sort(ids)
		for _, id := range ids {
			if !yield(r.members[ID([]byte(id))]) {
				return
			}
		}
	}
}
