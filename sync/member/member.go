package member

import (
	"context"
	"io"
	"sync"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/client"
	"heddle.dev/heddle/sync/seal"
	"heddle.dev/heddle/sync/wire"
)

// Config says whose part it is, and in which space.
type Config struct {
	Space    string
	Anchor   seal.Anchor
	Identity seal.Identity // nil: the device is locked until Enter
	Suite    seal.Suite
	Rand     io.Reader
	// Told is a position that the log must have: where an inviter was, or who wrote a
	// code. Zeros for none.
	Told seal.Position
	// Newest is a Change that the log must have, of who wrote a code. Zeros for none.
	Newest seal.Hash
	// Slot has the keys of a slot by which the device adds itself, with Name and as
	// Role, once the log is known. Nil for a device that is a member or is being added
	// by one.
	Slot seal.Identity
	Name string
	// First begins the space's log, where that is empty: see Found.
	First *client.Change
	// Plain content is compressed before it is encrypted, unless Stored is set:
	// compression tells something about what an attacker gets into one transaction with
	// a secret.
	Stored bool
}

// Member is a device's part in a sealed space. Its methods may be called by several
// goroutines.
type Member struct {
	// mu is never held while the suite works: Load and Save take it inside SQLite, where
	// nothing may wait for the platform.
	mu      sync.Mutex
	cfg     Config
	id      seal.ID
	loaded  bool
	log     *seal.Log
	keys    map[seal.Hash]seal.Key     // of epochs, by what the log says of them
	bodies  map[seal.Hash]seal.BodyKey // derived of those
	commits map[uint64]seal.Hash       // what it says, by the epoch's number
	opened  []record                   // since the last Keep
	unread  []*seal.Change             // of the database, whose keys are to be unwrapped
	made    map[uint64]*made           // seals that were made for client, by counter
	client  wire.ClientID
	pruned  uint64    // up to which counter made and sent have nothing
	sent    sentSeals // what was sent, also by earlier processes
	names   map[seal.ID]named
	bySlot  bool // the server does not know the device yet
	heads   heads
	found   *found // nil: nothing has stopped this device

	snapshot confirmed

	restored  restored    // what starting over has left
	confirmed seal.ID     // the snapshot that this device has started from last, or has read back
	adopted   *seal.Saved // the log as of a snapshot that is being started from
}

// named is a device with its name, which is sealed under the key of an epoch.
type named struct {
	seal.Device
	epoch uint64
}

// New returns the part of a device. Load comes before all else.
func New(cfg Config) *Member {
	m := &Member{keys: map[seal.Hash]seal.Key{}, bodies: map[seal.Hash]seal.BodyKey{},
		commits: map[uint64]seal.Hash{}, made: map[uint64]*made{}, sent: sentSeals{},
		names: map[seal.ID]named{}, heads: newHeads()}
	m.take(cfg)
	return m
}

func (m *Member) take(cfg Config) {
	m.cfg, m.log = cfg, seal.NewLog(cfg.Space, cfg.Anchor, seal.Window)
	if cfg.Identity != nil {
		m.id = seal.DeviceID(cfg.Identity.Public())
	}
}

// Enter gives a locked device its keys. HEDDLE_LOCKED: the database has followed the
// space before, with keys that are not here any more.
func (m *Member) Enter(cfg Config) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.cfg.Identity != nil:
		return errcode.New(errcode.Sealed, "member: enter", "the database has its keys already")
	case m.log.Head().Seq > 0:
		return errcode.New(errcode.Locked, "member: enter", "the database has followed the space with keys that are "+
			"lost: what is pending can be exported, and another database can be opened")
	}
	m.take(cfg)
	return nil
}

var errLocked = errcode.New(errcode.Locked, "member",
	"this device has no keys to the space yet: create the space, or join it by a link or a recovery code")

// Unlocked implements client.Sealer.
func (m *Member) Unlocked() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.cfg.Identity == nil {
		return errLocked
	}
	return nil
}

// ID is the device's.
func (m *Member) ID() seal.ID {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.id
}

// Space is the space's name.
func (m *Member) Space() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.cfg.Space
}

// Anchor is the space's.
func (m *Member) Anchor() seal.Anchor {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.cfg.Anchor
}

// Standing is what a device may do in its space, by the log as far as it is here.
type Standing struct {
	Member  bool
	Removed bool // it was a member
	Role    seal.Role
	Members int // devices and slots
	Epoch   uint64
}

// Standing returns that of this device.
func (m *Member) Standing() Standing {
	m.mu.Lock()
	defer m.mu.Unlock()
	who, is := m.log.Member(m.id)
	epoch, _ := m.log.Epoch()
	return Standing{Member: is, Removed: m.log.Removed(m.id), Role: who.Role, Members: m.log.Members(), Epoch: epoch}
}

// Info is a member as people see it.
type Info struct {
	seal.Member
	Name string // of a device, "" where its key is not here
	This bool   // it is this device
}

// Infos returns all members, in the order of their ids.
func (m *Member) Infos(ctx context.Context) (all []Info) {
	m.ready(ctx, nil)
	m.mu.Lock()
	defer m.mu.Unlock()
	for who := range m.log.Each() {
		one := Info{Member: who, This: who.ID == m.id}
		d := m.names[who.ID]
		if k, is := m.key(d.epoch); is {
			one.Name, _ = d.OpenName(m.cfg.Anchor, &k, d.epoch)
		}
		all = append(all, one)
	}
	return all
}

// MayWrite says whether what this device pushes is taken.
func (m *Member) MayWrite() bool {
	s := m.Standing()
	return s.Member && s.Role <= seal.RoleWrite
}

// Wrote says whether the log has anything of a client.
func (m *Member) Wrote(id wire.ClientID) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	counter, _ := m.log.Client(id)
	return counter > 0
}

// key returns the key of an epoch, where it is here. m.mu is held.
func (m *Member) key(epoch uint64) (seal.Key, bool) {
	commit, known := m.commits[epoch]
	if !known {
		return seal.Key{}, false
	}
	k, is := m.keys[commit]
	return k, is
}

// bodyKey returns the key for the bodies of an epoch, by what the log says of that. m.mu
// is held.
func (m *Member) bodyKey(commit seal.Hash, epoch uint64) (seal.BodyKey, bool) {
	k, is := m.keys[commit]
	if !is {
		return seal.BodyKey{}, false
	}
	derived, known := m.bodies[commit]
	if !known {
		derived = k.Body(m.cfg.Anchor, epoch)
		m.bodies[commit] = derived
	}
	return derived, true
}

var errNoKey = errcode.New(errcode.Keys, "member: seal", "the newest key has not come to this device")

// newest returns the key that new content is sealed with. m.mu is held.
func (m *Member) newest() (key seal.Key, epoch uint64, err error) {
	epoch, commit := m.log.Epoch()
	key, is := m.keys[commit]
	if !is {
		return key, epoch, errNoKey
	}
	return key, epoch, nil
}

// note keeps a key.
func (m *Member) note(k *seal.Key, epoch uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.keys[k.Commit(m.cfg.Anchor, epoch)] = *k
}

func (m *Member) keyOf(commit seal.Hash) (seal.Key, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	k, is := m.keys[commit]
	return k, is
}

// learn takes the keys that Changes have for this device, and from them those before.
// Who has sent the Changes does not matter.
func (m *Member) learn(ctx context.Context, changes []*seal.Change) {
	if len(changes) == 0 {
		return
	}
	m.mu.Lock()
	number, commit := m.log.Epoch()
	m.mu.Unlock()
	epochs := []*seal.Epoch{{Number: number, Commit: commit}} // the newest last
	for _, c := range changes {
		if e := c.Epoch; e != nil {
			epochs = append(epochs, e)
			if _, is := m.keyOf(e.Commit); !is {
				m.unwrap(ctx, e.Wrap, e.Number)
			}
		}
		for i := len(epochs) - 1; i >= 0 && len(c.Wrap) > 0; i-- {
			if _, is := m.keyOf(epochs[i].Commit); is || m.unwrap(ctx, c.Wrap, epochs[i].Number) {
				break
			}
		}
	}
	for i := len(changes) - 1; i >= 0; i-- {
		e := changes[i].Epoch
		if e == nil || e.Before == nil {
			continue
		}
		if k, is := m.keyOf(e.Commit); is {
			if before, err := e.OpenBefore(m.Anchor(), &k); err == nil {
				m.note(before, e.Number-1)
			}
		}
	}
}

// ready unwraps the keys that the database has, which Load cannot wait for, and those
// of other Changes.
func (m *Member) ready(ctx context.Context, more []*seal.Change) {
	m.mu.Lock()
	if m.cfg.Identity == nil {
		m.mu.Unlock()
		return
	}
	changes := append(m.unread, more...)
	m.unread = nil
	m.mu.Unlock()
	m.learn(ctx, changes)
}

// unwrap takes the key that is wrapped for this device, or for its slot. It is false
// without one.
func (m *Member) unwrap(ctx context.Context, wraps []seal.Wrap, epoch uint64) bool {
	m.mu.Lock()
	cfg := m.cfg
	m.mu.Unlock()
	for _, keys := range []seal.Identity{cfg.Identity, cfg.Slot} {
		if keys == nil {
			continue
		}
		id := seal.DeviceID(keys.Public())
		for i := range wraps {
			if wraps[i].ID != id {
				continue
			}
			if k, err := keys.Unwrap(ctx, seal.WrapInfo(cfg.Anchor, epoch, id), &wraps[i].HPKE); err == nil {
				m.note(k, epoch)
				return true
			}
		}
	}
	return false
}

// Learn takes the keys that the Changes among entries have for this device. They need
// not be of the log: see the package comment.
func (m *Member) Learn(ctx context.Context, entries []wire.Entry) { m.learn(ctx, changesIn(entries)) }

// changesIn decodes the Changes among entries.
func changesIn(entries []wire.Entry) (all []*seal.Change) {
	for i := range entries {
		if !seal.IsChange(entries[i].Body) {
			continue
		}
		s, err := seal.UnmarshalSealed(entries[i].Body)
		if err != nil {
			continue
		}
		if c, err := seal.UnmarshalChange(s.Box); err == nil {
			all = append(all, c)
		}
	}
	return all
}
