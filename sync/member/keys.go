package member

import (
	"context"
	"io"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/client"
	"heddle.dev/heddle/sync/seal"
	"heddle.dev/heddle/sync/wire"
)

// Keyring is where a device's keys are, with the cryptography that uses them: a
// browser's WebCrypto and IndexedDB.
type Keyring interface {
	seal.Suite
	// Device returns the device's keys, which are made at the first call.
	Device(ctx context.Context) (seal.Identity, error)
	// Load returns what Save has kept; nil for nothing.
	Load(ctx context.Context) ([]byte, error)
	// Save keeps data where only this device reads it; nil for nothing.
	Save(ctx context.Context, data []byte) error
}

// Server is what a device asks of a server before it has got in: a [client.Client].
type Server interface {
	// Members returns the entries that change who is a member.
	Members(ctx context.Context) ([]wire.Entry, error)
	// Mailbox is one of a pairing.
	Mailbox(id [16]byte) client.Mailbox
}

// Keys is the part of a device whose keys a Keyring has. It is locked until the device
// has created the space or has come into it.
type Keys struct {
	*Member
	ring  Keyring
	space string
	rand  io.Reader
	turn  chan struct{} // held by who lets the device in
}

// Open returns the part of the device in a space. Load comes before all else.
func Open(ctx context.Context, ring Keyring, space string, random io.Reader) (*Keys, error) {
	const op = "member: open"
	k := &Keys{ring: ring, space: space, rand: random, turn: make(chan struct{}, 1)}
	data, err := ring.Load(ctx)
	if err != nil {
		return nil, err
	}
	cfg := Config{Space: space, Suite: ring, Rand: random}
	if len(data) > 0 {
		pass, err := seal.UnmarshalPass(data)
		if err != nil {
			return nil, errcode.Wrap(err, errcode.Internal, op)
		}
		if pass.Space != space {
			return nil, errcode.New(errcode.BadParam, op, "the database has the keys to another space")
		}
		if cfg, err = k.config(ctx, pass); err != nil {
			return nil, err
		}
	}
	k.Member = New(cfg)
	return k, nil
}

func (k *Keys) config(ctx context.Context, p *seal.Pass) (cfg Config, err error) {
	cfg = Config{Space: k.space, Anchor: p.Anchor, Suite: k.ring, Rand: k.rand, Told: p.Told, Name: p.Name}
	if cfg.Identity, err = k.ring.Device(ctx); err != nil {
		return cfg, err
	}
	if p.Slot != nil {
		if cfg.Slot, err = k.ring.Identity(ctx, p.Slot); err != nil {
			return cfg, err
		}
		cfg.Newest = p.Slot.Newest
	}
	if len(p.First) > 0 {
		author := seal.DeviceID(cfg.Identity.Public()).Members()
		cfg.First = &client.Change{Client: author, Counter: 1, Body: p.First}
	}
	return cfg, nil
}

// enter lets the device in by what get finds out, and keeps that.
func (k *Keys) enter(ctx context.Context, get func(seal.Identity) (*seal.Pass, error)) error {
	select {
	case k.turn <- struct{}{}:
		defer func() { <-k.turn }()
	case <-ctx.Done():
		return errcode.Wrap(context.Cause(ctx), errcode.Aborted, "member: enter")
	}
	if k.Unlocked() == nil {
		return errcode.New(errcode.Sealed, "member: enter", "the database has its keys already")
	}
	id, err := k.ring.Device(ctx)
	if err != nil {
		return err
	}
	pass, err := get(id)
	if err != nil {
		return err
	}
	cfg, err := k.config(ctx, pass)
	if err == nil {
		err = k.ring.Save(ctx, pass.Marshal())
	}
	if err == nil {
		if err = k.Member.Enter(cfg); err != nil {
			_ = k.ring.Save(context.WithoutCancel(ctx), nil)
		}
	}
	return err
}

// Create makes a space, with this device as its admin. name is the device's, for the
// members. The space comes into being when the database syncs: nothing is sent here, but
// a server that answers is asked whether there is one already (HEDDLE_SEALED).
func (k *Keys) Create(ctx context.Context, s Server, name string) error {
	return k.enter(ctx, func(id seal.Identity) (*seal.Pass, error) {
		if all, err := s.Members(ctx); err == nil && len(all) > 0 {
			return nil, errcode.New(errcode.Sealed, "member: create",
				"the space exists already: join it by a link or a recovery code")
		}
		f, err := Found(ctx, k.ring, id, k.space, name, k.rand)
		if err != nil {
			return nil, err
		}
		return &seal.Pass{Space: k.space, Name: name, Anchor: f.Anchor, First: f.First.Body}, nil
	})
}

// Unlock lets the device in by a recovery code: it is added when the database syncs.
// Errors are HEDDLE_BAD_CODE where the code is mistyped, or of another space.
func (k *Keys) Unlock(ctx context.Context, s Server, code, name string) error {
	typed, err := seal.ParseRecoveryCode(code)
	if err != nil {
		return err
	}
	return k.unlock(ctx, s, ByCode(k.space, typed), name)
}

// UnlockByPassphrase does so by a passphrase, and by the code that was made with it unless
// that is "". HEDDLE_BAD_PASSPHRASE: it opens nothing here. HEDDLE_BAD_CODE: the code is
// mistyped.
func (k *Keys) UnlockByPassphrase(ctx context.Context, s Server, stretch seal.Stretch, code, name string) error {
	var typed *seal.RecoveryCode
	if code != "" {
		parsed, err := seal.ParseRecoveryCode(code)
		if err != nil {
			return err
		}
		typed = &parsed
	}
	return k.unlock(ctx, s, ByPassphrase(k.space, stretch, typed), name)
}

func (k *Keys) unlock(ctx context.Context, s Server, by Opener, name string) error {
	return k.enter(ctx, func(seal.Identity) (*seal.Pass, error) {
		changes, err := s.Members(ctx)
		if err != nil {
			return nil, err
		}
		secret, err := OpenSlot(ctx, changes, k.space, by)
		if err != nil {
			return nil, err
		}
		return &seal.Pass{Space: k.space, Name: name, Anchor: secret.Anchor, Told: secret.Position, Slot: secret}, nil
	})
}

// Admission is [Member.Admission]. The keys of a code are forgotten when the device is in.
func (k *Keys) Admission(ctx context.Context) (*client.Change, error) {
	change, err := k.Member.Admission(ctx)
	if change != nil || err != nil {
		return change, err
	}
	k.mu.Lock()
	cfg := k.cfg
	_, is := k.log.Member(k.id)
	k.mu.Unlock()
	if !is || cfg.Slot == nil {
		return nil, nil
	}
	pass := &seal.Pass{Space: k.space, Name: cfg.Name, Anchor: cfg.Anchor, Told: cfg.Told}
	if k.ring.Save(ctx, pass.Marshal()) == nil { // or the next time
		k.mu.Lock()
		k.cfg.Slot = nil
		k.mu.Unlock()
	}
	return nil, nil
}
