package leader

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"io"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/rpc"
	"heddle.dev/heddle/sync/client"
	"heddle.dev/heddle/sync/member"
	"heddle.dev/heddle/sync/seal"
)

// Keyring is where a device's keys to a sealed space are. Codes and links come from
// pages and go to them, also through other tabs: they are concealed on that way.
type Keyring interface {
	member.Keyring
	// Conceal encrypts a text for this database's pages and leaders alone.
	Conceal(ctx context.Context, text string) (string, error)
	// Reveal undoes it. Errors are HEDDLE_BAD_SEAL.
	Reveal(ctx context.Context, concealed string) (string, error)
}

// openKeys opens the device's part in a sealed space, locked or not.
func (l *Leader) openKeys(ctx context.Context, space string) (*member.Keys, error) {
	if l.env.Keyring == nil {
		return nil, errcode.New(errcode.Unsupported, "leader: open", "there is no place for keys to a sealed space here")
	}
	return member.Open(ctx, l.env.Keyring, space, l.random())
}

func (l *Leader) random() io.Reader {
	if l.env.Rand != nil {
		return l.env.Rand
	}
	return rand.Reader
}

// withKeys makes a method of f that fails where the space is not sealed.
func withKeys(f func(*Leader, *call) error) func(*Session, *call) error {
	return func(s *Session, c *call) error {
		if s.l.keys == nil {
			return errcode.New(errcode.Sealed, "leader: keys", "the database was opened without sync.sealed")
		}
		return f(s.l, c)
	}
}

// entered ends a call that has let the device in, and has sync go on.
func (l *Leader) entered(c *call, err error) error {
	if err == nil {
		l.sync.RetryNow()
	}
	return c.ended(err)
}

func sealedCreate(l *Leader, c *call) error {
	return l.entered(c, l.keys.Create(c.ctx, l.sync, c.Name))
}

func sealedUnlock(l *Leader, c *call) error {
	code, err := l.env.Keyring.Reveal(c.ctx, c.Code)
	if err == nil {
		err = l.keys.Unlock(c.ctx, l.sync, code, c.Name)
	}
	return l.entered(c, err)
}

func sealedJoin(l *Leader, c *call) error {
	link, err := l.env.Keyring.Reveal(c.ctx, c.Link)
	if err != nil {
		return err
	}
	secret, err := seal.ParsePairSecret(link)
	if err != nil {
		return err
	}
	return l.entered(c, l.keys.Join(c.ctx, l.sync, secret, c.Name, func(digits string) {
		c.s.send(rpc.ChunkPairing(c.ID, rpc.Pairing{Digits: digits}))
	}))
}

var roles = map[string]seal.Role{"admin": seal.RoleAdmin, "write": seal.RoleWrite, "read": seal.RoleRead}

func sealedInvite(l *Leader, c *call) error {
	inv := &member.Invitation{Role: roles[c.Role]}
	if inv.Role == 0 {
		return errcode.New(errcode.BadParam, "leader: invite", "a role is admin, write or read")
	}
	if err := l.keys.Unlocked(); err != nil {
		return err
	}
	var err error
	if inv.Secret, err = seal.NewPairSecret(l.random()); err != nil {
		return err
	}
	if c.Other {
		if _, err := io.ReadFull(l.random(), inv.User[:]); err != nil {
			return errcode.Wrap(err, errcode.Internal, "leader: invite")
		}
	}
	link, err := l.env.Keyring.Conceal(c.ctx, inv.Secret.String())
	if err != nil {
		return err
	}
	c.s.send(rpc.ChunkPairing(c.ID, rpc.Pairing{Link: link}))
	inv.Ask = func(ctx context.Context, name, digits string) error {
		_, err := c.ask(ctx, rpc.ChunkPairing(c.ID, rpc.Pairing{Name: name, Digits: digits}))
		return err
	}
	return c.ended(l.keys.Invite(c.ctx, l.sync, inv, l.changeMembers))
}

// ask sends the page of a call a chunk, and waits for what it says to it.
func (c *call) ask(ctx context.Context, chunk []byte) (string, error) {
	said := make(chan string, 1)
	c.s.mu.Lock()
	c.s.asked[c.ID] = said
	c.s.mu.Unlock()
	defer func() {
		c.s.mu.Lock()
		delete(c.s.asked, c.ID)
		c.s.mu.Unlock()
	}()
	c.s.send(chunk)
	select {
	case text := <-said:
		return text, nil
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}

// answered takes what a page says to a chunk of a call.
func (s *Session) answered(c *call) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case s.asked[c.Target] <- c.Text:
	default: // the call is over, or has its answer
	}
	return nil
}

// changeMembers makes a Change, and returns when the log has it.
func (l *Leader) changeMembers(ctx context.Context, make member.Maker) error {
	if err := l.keys.Unlocked(); err != nil {
		return err
	}
	return l.sync.Change(ctx, func(ctx context.Context) (*client.Change, error) { return make(ctx, l.keys.Member) })
}

func sealedMembers(l *Leader, c *call) error {
	if err := l.keys.Unlocked(); err != nil {
		return err
	}
	var list []rpc.SpaceMember
	for _, one := range l.keys.Infos(c.ctx) {
		list = append(list, rpc.SpaceMember{ID: hex.EncodeToString(one.ID[:]), Name: one.Name, Role: one.Role.String(),
			Code: one.Slot.Code(), Passphrase: one.Slot.Passphrase(), Self: one.This})
	}
	c.reply(rpc.ReplySpaceMembers(c.ID, list))
	return nil
}

func sealedEvidence(l *Leader, c *call) error {
	evidence, err := l.sync.Evidence(c.ctx)
	if err == nil {
		c.reply(append(rpc.Reply(c.ID, rpc.KindResult), evidence...))
	}
	return err
}

func sealedFingerprint(l *Leader, c *call) error {
	seq, digits, err := l.keys.Fingerprint(c.Seq)
	if err == nil {
		c.reply(rpc.ReplyFingerprint(c.ID, rpc.Fingerprint{Seq: seq, Digits: digits}))
	}
	return err
}

func sealedRemove(l *Leader, c *call) error {
	ids := make([]seal.ID, len(c.Ids))
	for i, text := range c.Ids {
		raw, err := hex.DecodeString(text)
		if err != nil || len(raw) != len(ids[i]) {
			return errcode.New(errcode.BadParam, "leader: remove", "a member's id is 32 hexadecimal digits")
		}
		copy(ids[i][:], raw)
	}
	return c.ended(l.changeMembers(c.ctx, member.Remove(ids...)))
}

func sealedCode(l *Leader, c *call) error {
	code, err := seal.NewRecoveryCode(l.random())
	if err != nil {
		return err
	}
	concealed, err := l.env.Keyring.Conceal(c.ctx, code.String())
	if err != nil {
		return err
	}
	if err := l.changeMembers(c.ctx, member.AddCode(code)); err != nil {
		return err
	}
	c.reply(rpc.ReplyString(c.ID, concealed))
	return nil
}

// stretch has the page of a call compute Argon2id: the passphrase stays there.
func (l *Leader) stretch(c *call) seal.Stretch {
	return func(ctx context.Context, k *seal.KDF) (*seal.Key, error) {
		concealed, err := c.ask(ctx, rpc.ChunkKDF(c.ID,
			rpc.KDF{Time: uint32(k.Time), Memory: uint32(k.Memory), Salt: hex.EncodeToString(k.Salt[:])}))
		if err != nil {
			return nil, err
		}
		text, err := l.env.Keyring.Reveal(ctx, concealed)
		if err != nil {
			return nil, err
		}
		key := &seal.Key{}
		if raw, err := hex.DecodeString(text); err != nil || copy(key[:], raw) != len(raw) || len(raw) != len(key) {
			return nil, errcode.New(errcode.BadParam, "leader: passphrase", "Argon2id gives 32 bytes")
		}
		return key, nil
	}
}

func sealedUnlockBy(l *Leader, c *call) error {
	code := ""
	if c.Code != "" {
		var err error
		if code, err = l.env.Keyring.Reveal(c.ctx, c.Code); err != nil {
			return err
		}
	}
	return l.entered(c, l.keys.UnlockByPassphrase(c.ctx, l.sync, l.stretch(c), code, c.Name))
}

func sealedPassphrase(l *Leader, c *call) error {
	if err := l.keys.Unlocked(); err != nil {
		return err
	}
	var code *seal.RecoveryCode
	concealed := ""
	if c.Coded {
		drawn, err := seal.NewRecoveryCode(l.random())
		if err == nil {
			concealed, err = l.env.Keyring.Conceal(c.ctx, drawn.String())
		}
		if err != nil {
			return err
		}
		code = &drawn
	}
	set, err := member.SetPassphrase(c.ctx, l.keys.Space(), l.stretch(c), code, l.random())
	if err == nil {
		err = l.changeMembers(c.ctx, set)
	}
	if err == nil {
		c.reply(rpc.ReplyString(c.ID, concealed))
	}
	return err
}
