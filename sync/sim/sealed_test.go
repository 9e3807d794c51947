package sim

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"time"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/client"
	"heddle.dev/heddle/sync/member"
	"heddle.dev/heddle/sync/replica"
	"heddle.dev/heddle/sync/seal"
	"heddle.dev/heddle/sync/seal/native"
	"heddle.dev/heddle/sync/wire"
)

// keys are what a run of a sealed space has beside a plain one's: the members, and the
// Change that begins the log. All devices have it, and the first to come sends it.
type keys struct {
	s       *sim
	members []seal.Identity // of the devices, by number
	anchor  seal.Anchor
	first   *client.Change
	eye     *member.Member // the model's
}

// newKeys makes the members of a run: every other device is an admin.
func newKeys(s *sim, devices int) (*keys, error) {
	k := &keys{s: s}
	ctx, random := context.Background(), s.stream("keys", 0)
	var key seal.Key
	var drawn seal.Hash
	random.Read(key[:])
	random.Read(drawn[:])
	c := &seal.Change{Random: drawn}
	for i := range devices {
		var secret seal.SlotSecret
		random.Read(secret.SignSeed[:])
		random.Read(secret.BoxKey[:])
		id, err := native.Suite{}.Identity(ctx, &secret)
		if err != nil {
			return nil, err
		}
		k.members = append(k.members, id)
		d := seal.Device{Role: seal.RoleAdmin, User: seal.ID{1, byte(i)}}
		if !isAdmin(i) {
			d.Role = seal.RoleWrite
		}
		d.Sign, d.Box = id.Public()
		if i == 0 {
			k.anchor = seal.AnchorOf("space", drawn, d.Sign)
			c.Epoch = &seal.Epoch{Number: 1, Commit: key.Commit(k.anchor, 1)}
		}
		if err := d.SealName(k.anchor, &key, 1, "device", random); err != nil {
			return nil, err
		}
		if d.Proof, err = id.Sign(ctx, d.ProofStatement(k.anchor)); err != nil {
			return nil, err
		}
		box, err := native.Suite{}.Wrap(ctx, d.Box, seal.WrapInfo(k.anchor, 1, d.ID()), &key)
		if err != nil {
			return nil, err
		}
		c.Add, c.Epoch.Wrap = append(c.Add, d), append(c.Epoch.Wrap, seal.Wrap{ID: d.ID(), HPKE: box})
	}
	author := c.Add[0].ID()
	first := &seal.Sealed{Kind: seal.KindMembers, Device: author, Epoch: 1, Box: c.Marshal()}
	place := seal.Place{Anchor: k.anchor, Client: author.Members(), Counter: 1}
	var err error
	if first.Signature, err = k.members[0].Sign(ctx, first.Statement(place)); err != nil {
		return nil, err
	}
	k.first = &client.Change{Client: place.Client, Counter: 1, Body: first.Marshal()}
	k.rewind()
	return k, nil
}

// isAdmin says whether a member is an admin: the first one has to be.
func isAdmin(member int) bool { return member%2 == 0 }

// rewind has the model read the log from its first entry.
func (k *keys) rewind() { k.eye = k.member(0, k.s.stream("eye", 0)) }

// stream is randomness that depends on the seed and on what it is for.
func (s *sim) stream(what string, n uint64) *rand.ChaCha8 {
	var seed [32]byte
	r := s.rng(what, n)
	for i := 0; i < len(seed); i += 8 {
		binary.LittleEndian.PutUint64(seed[i:], r.Uint64())
	}
	return rand.NewChaCha8(seed)
}

func (k *keys) member(id int, random *rand.ChaCha8) *member.Member {
	return member.New(member.Config{Space: "space", Anchor: k.anchor, Identity: k.members[id], Suite: native.Suite{},
		Rand: random, First: k.first})
}

// open reads an entry as a member does. An honest server lets nothing through that is
// void for another reason than the app's rule.
func (k *keys) open(at wire.Position, e *wire.Entry) (replica.Opened, bool) {
	all, err := k.eye.Open(context.Background(), at, []wire.Entry{*e})
	if err != nil || len(all) != 1 {
		k.s.violate("entry %d cannot be opened: %v", e.Seq, err)
		return replica.Opened{}, false
	}
	k.eye.Keep()
	if o := all[0]; o.Outcome != "" && o.Outcome != refusal || o.Fate == replica.FateAgain {
		k.s.violate("entry %d is void for members: %s", e.Seq, o.Outcome)
		return o, false
	}
	return all[0], true
}

// rotate has the device begin with a new key.
func (d *device) rotate() {
	if d.part == nil || !isAdmin(d.member) {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(1+d.rng.IntN(int(time.Minute))))
	defer cancel()
	err := d.c.Change(ctx, func(ctx context.Context) (*client.Change, error) {
		return member.Remove()(ctx, d.part)
	})
	d.s.event("device %d: a new key: %s", d.id, errcode.Of(err))
	if d.noSurprise(err); err == nil {
		d.s.hit("new key")
	}
}

// consent is what an admin does whose device has stopped: it says that what the restored
// server does not have is lost.
func (d *device) consent() {
	if d.part == nil || !isAdmin(d.member) || !d.stopped() {
		return
	}
	d.accept()
}

// stopped says whether the device was told of a log that lacks what it has.
func (d *device) stopped() bool { return errcode.Of(lastError(d)) == errcode.Tampered }

func lastError(d *device) error {
	if err := d.c.Status().LastError; err != nil {
		return err
	}
	return nil
}

func (d *device) accept() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	err := d.c.Accept(ctx, false)
	d.s.event("device %d accepts: %s", d.id, errcode.Of(err))
	if d.noSurprise(err); err == nil {
		d.s.hit("accepted")
	}
	d.s.modelMu.Lock()
	d.seq = 0 // it starts over, where what it has is the beginning of the log still as well, and may fail after that
	d.s.modelMu.Unlock()
}

// consents has the admins agree on what a restored server has, once the faults have
// ended. Where only others have lost something, one says so for them.
func (s *sim) consents(elapsed time.Duration) {
	if s.keys == nil || !s.model.restored {
		return
	}
	others := false
	for _, d := range s.present {
		d.consent()
		others = others || d.stopped()
	}
	if others && elapsed >= s.wordForOthers {
		s.wordForOthers = elapsed + time.Minute
		s.present[0].accept()
		s.hit("accepted for others")
	}
}
