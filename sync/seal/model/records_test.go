package model

import "slices"

type role int

const (
	admin role = iota + 1
	write
	read
)

// member is a device, or a slot: what a recovery code opens.
type member struct {
	id   deviceID
	user userID
	role role
	slot bool
}

// epoch is a new key with who gets it.
type epoch struct {
	number int
	key    keyID
	wraps  []deviceID
}

// reset is an admin's word that the log behind pos is lost. It lists the Changes
// of the lost part that the admin knew.
type reset struct {
	pos  position
	lost []*change
}

// change is a Change; its address is its hash.
type change struct {
	prev   *change
	first  bool // has the random bytes of a space's first Change
	add    []member
	remove []deviceID
	epoch  *epoch
	wraps  []deviceID // who gets the key that is there already
	reset  *reset
}

// Codes of voids and refusals.
const (
	ok           = ""
	notMember    = "HEDDLE_NOT_MEMBER"
	stale        = "HEDDLE_STALE"
	oldEpoch     = "HEDDLE_OLD_EPOCH"
	badSeal      = "HEDDLE_BAD_SEAL"
	notAllowed   = "HEDDLE_NOT_ALLOWED"
	membersMoved = "HEDDLE_MEMBERS_MOVED"
	quota        = "HEDDLE_TOO_BIG"
)

// records is who is a member, by the Changes of a log.
type records struct {
	members map[deviceID]member
	ever    map[deviceID]bool // has been a member of this log: an id is added once
	newest  *change
	epoch   *epoch
}

// allowed says whether author may make c. used says whether a client id is in use.
func (r *records) allowed(author member, c *change, used func(clientID) bool, without rule) string {
	if c == nil {
		return notAllowed // it does not decode
	}
	if c.prev != r.newest && without != ruleNewestChange {
		return membersMoved
	}
	if c.first != (r.newest == nil) || c.first && c.epoch == nil {
		return notAllowed
	}
	on := func(u rule) bool { return without != u }
	stay := map[deviceID]member{}
	for id, m := range r.members {
		stay[id] = m
	}
	for _, id := range c.remove {
		m, is := stay[id]
		if !is {
			return notAllowed
		}
		if !author.mayRemove(m, without) || id == author.id && on(ruleRemoveSelf) {
			return notAllowed // it would know the new key, which it has made; and so an admin always stays
		}
		delete(stay, id)
	}
	for _, m := range c.add {
		if r.ever[m.id] && on(ruleAddedOnce) || used(-clientID(m.id)) && on(ruleChangesClient) {
			return notAllowed
		}
		if _, twice := stay[m.id]; twice || !c.first && !author.mayAdd(m, without) {
			return notAllowed
		}
		stay[m.id] = m
	}
	switch {
	case author.slot && (len(c.add) != 1 || len(c.remove) > 0 || c.epoch != nil) && on(ruleSlot),
		c.reset != nil && author.role != admin && on(ruleResetRole),
		author.role != admin && len(c.add)+len(c.remove) == 0 && on(ruleReader),
		len(c.remove) > 0 && c.epoch == nil && on(ruleNewKey),
		len(c.add)+len(c.remove) == 0 && c.epoch == nil && c.reset == nil:
		return notAllowed
	}
	if !c.keysFit(r, stay, without) {
		return notAllowed
	}
	return ok
}

// keysFit: a new key goes to all who stay and no other, the key of before to those
// who are added and no other.
func (c *change) keysFit(r *records, stay map[deviceID]member, without rule) bool {
	if c.epoch == nil {
		return len(c.wraps) == len(c.add) && !slices.ContainsFunc(c.add, func(m member) bool {
			return !slices.Contains(c.wraps, m.id)
		}) || without == ruleWraps
	}
	number := 1
	if r.epoch != nil {
		number = r.epoch.number + 1
	}
	if c.epoch.number != number && without != ruleEpochNumber {
		return false
	}
	if without == ruleWraps {
		return true
	}
	named := map[deviceID]bool{}
	for _, id := range c.epoch.wraps {
		if _, stays := stay[id]; !stays {
			return false
		}
		named[id] = true
	}
	return len(named) == len(stay) && len(c.epoch.wraps) == len(stay) && len(c.wraps) == 0
}

func (m member) mayAdd(other member, without rule) bool {
	switch {
	case m.role == admin && !m.slot:
		return true
	case m.role == read && !m.slot && without != ruleReader:
		return false
	case other.user != m.user && without != ruleOwnUser:
		return false
	case m.slot && other.slot && without != ruleSlot:
		return false
	}
	return other.role >= m.role || without == ruleRoleCap
}

func (m member) mayRemove(other member, without rule) bool {
	switch {
	case m.slot && without != ruleSlot:
		return false
	case m.role == admin:
		return true
	case m.role == read && without != ruleReader:
		return false
	case other.user != m.user && without != ruleOwnUser:
		return false
	}
	return other.role >= m.role || without == ruleRoleCap
}

// apply makes c part of the records.
func (r *records) apply(c *change) {
	next := map[deviceID]member{}
	for id, m := range r.members {
		next[id] = m
	}
	for _, id := range c.remove {
		delete(next, id)
	}
	ever := map[deviceID]bool{}
	for id := range r.ever {
		ever[id] = true
	}
	for _, m := range c.add {
		next[m.id], ever[m.id] = m, true
	}
	r.members, r.ever, r.newest = next, ever, c
	if c.epoch != nil {
		r.epoch = c.epoch
	}
}
