package member

import (
	"context"
	"errors"
	"io"
	"time"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/client"
	"heddle.dev/heddle/sync/seal"
)

// Pairing: a member shows a link, whose secret never travels to the server, and a new
// device that opens it leaves its keys in a mailbox there. Both show six digits of all
// that was said. When the member's user says that they are the same, the device is added.

// PairTime is how long a pairing may take.
const PairTime = 10 * time.Minute

// pairing is one side's.
type pairing struct {
	secret seal.PairSecret
	box    client.Mailbox
	rand   io.Reader
}

func (p *pairing) put(ctx context.Context, n int, content []byte) error {
	sealed, err := p.secret.SealPair(n, content, p.rand)
	if err != nil {
		return err
	}
	return p.box.Put(ctx, n, sealed)
}

func (p *pairing) get(ctx context.Context, n int) ([]byte, error) {
	sealed, err := p.box.Get(ctx, n)
	if err != nil {
		return nil, err
	}
	return p.secret.OpenPair(n, sealed)
}

// hello makes this side's. name is the new device's.
func (p *pairing) hello(id seal.Identity, name string) (*seal.PairHello, []byte, error) {
	h := &seal.PairHello{Name: name}
	h.Sign, h.Box = id.Public()
	if _, err := io.ReadFull(p.rand, h.Random[:]); err != nil {
		return nil, nil, errcode.Wrap(err, errcode.Internal, "member: pair")
	}
	return h, h.Marshal(), nil
}

// Invitation is one to a device, of any that has the link.
type Invitation struct {
	Secret seal.PairSecret
	Role   seal.Role
	User   seal.ID // whose the device will be; zeros: this device's user's
	// Ask shows the device's name and the digits, and returns once the user has said
	// that they are those of the new device; an error refuses it.
	Ask func(ctx context.Context, name, digits string) error
}

// Invite adds the device that answers an invitation, by add.
func (m *Member) Invite(
	ctx context.Context, s Server, inv *Invitation, add func(context.Context, Maker) error,
) error {
	const op = "member: invite"
	if err := m.Unlocked(); err != nil {
		return err
	}
	ctx, stop := pairTime(ctx)
	defer stop()
	p := &pairing{inv.Secret, s.Mailbox(inv.Secret.Mailbox()), m.cfg.Rand}
	commit, err := p.get(ctx, seal.PairCommit)
	if err != nil {
		return paired(ctx, err, op)
	}
	_, mine, err := p.hello(m.cfg.Identity, "")
	if err != nil {
		return err
	}
	if err := p.put(ctx, seal.PairInviter, mine); err != nil {
		return paired(ctx, err, op)
	}
	theirs, err := p.get(ctx, seal.PairNew)
	if err != nil {
		return paired(ctx, err, op)
	}
	if h := inv.Secret.Commit(theirs); string(h[:]) != string(commit) {
		return errcode.New(errcode.Tampered, op, "the new device says something else than it has committed itself to: "+
			"somebody is between the two devices")
	}
	device, err := seal.UnmarshalPairHello(theirs)
	if err != nil {
		return err
	}
	if err := inv.Ask(ctx, device.Name, inv.Secret.Digits(mine, theirs)); err != nil {
		say, end := context.WithTimeout(context.WithoutCancel(ctx), farewell)
		defer end()
		_ = p.put(say, seal.PairOffered, nil)
		return paired(ctx, err, op)
	}
	return paired(ctx, m.admit(ctx, p, inv, device, add), op)
}

// farewell is how long a device tries to tell the other that it was refused.
const farewell = 5 * time.Second

// admit offers the device its place, and adds it with its proof.
func (m *Member) admit(
	ctx context.Context, p *pairing, inv *Invitation, device *seal.PairHello, add func(context.Context, Maker) error,
) error {
	o, err := m.Offer(ctx, device.Sign, device.Box, device.Name, inv.Role, inv.User)
	if err != nil {
		return err
	}
	d := &o.Device
	offer := seal.PairOffer{Anchor: o.Anchor, Told: m.Head(), Role: d.Role, User: d.User, Name: d.Name}
	if err := p.put(ctx, seal.PairOffered, offer.Marshal()); err != nil {
		return err
	}
	proof, err := p.get(ctx, seal.PairProof)
	if err != nil {
		return err
	}
	if copy(d.Proof[:], proof) != len(proof) || len(proof) != len(d.Proof) {
		return errcode.New(errcode.Protocol, "member: invite", "the new device's proof is none")
	}
	if err := add(ctx, Add(o)); err != nil {
		return err
	}
	return p.put(ctx, seal.PairAdmitted, nil)
}

// Join lets the device in by a link's secret. show is given the six digits, which the
// member's user compares with those that the member shows.
func (k *Keys) Join(
	ctx context.Context, s Server, secret seal.PairSecret, name string, show func(digits string),
) error {
	const op = "member: join"
	ctx, stop := pairTime(ctx)
	defer stop()
	err := k.enter(ctx, func(id seal.Identity) (*seal.Pass, error) {
		return k.join(ctx, &pairing{secret, s.Mailbox(secret.Mailbox()), k.rand}, id, name, show)
	})
	return paired(ctx, err, op)
}

func (k *Keys) join(
	ctx context.Context, p *pairing, id seal.Identity, name string, show func(digits string),
) (*seal.Pass, error) {
	const op = "member: join"
	_, mine, err := p.hello(id, name)
	if err != nil {
		return nil, err
	}
	commit := p.secret.Commit(mine)
	if err := p.put(ctx, seal.PairCommit, commit[:]); err != nil {
		return nil, err
	}
	theirs, err := p.get(ctx, seal.PairInviter)
	if err != nil {
		return nil, err
	}
	if _, err := seal.UnmarshalPairHello(theirs); err != nil {
		return nil, err
	}
	if err := p.put(ctx, seal.PairNew, mine); err != nil {
		return nil, err
	}
	show(p.secret.Digits(theirs, mine))
	data, err := p.get(ctx, seal.PairOffered)
	if err != nil {
		return nil, err
	}
	if len(data) == 0 {
		return nil, errcode.New(errcode.NotAllowed, op, "the other device has refused")
	}
	offer, err := seal.UnmarshalPairOffer(data)
	if err != nil {
		return nil, err
	}
	o := Offer{offer.Anchor, seal.Device{Role: offer.Role, User: offer.User, Name: offer.Name}}
	o.Device.Sign, o.Device.Box = id.Public()
	if err := o.Prove(ctx, id); err != nil {
		return nil, err
	}
	if err := p.put(ctx, seal.PairProof, o.Device.Proof[:]); err != nil {
		return nil, err
	}
	if _, err := p.get(ctx, seal.PairAdmitted); err != nil {
		return nil, err
	}
	return &seal.Pass{Space: k.space, Name: name, Anchor: offer.Anchor, Told: offer.Told}, nil
}

func pairTime(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, PairTime, errcode.New(errcode.Timeout, "member: pair",
		"the other device has not answered in ten minutes: make a new link"))
}

// paired names what has ended a pairing.
func paired(ctx context.Context, err error, op string) error {
	var late *errcode.Error
	if err != nil && errors.As(context.Cause(ctx), &late) && late.Code == errcode.Timeout {
		return late
	}
	return errcode.Wrap(err, errcode.Internal, op)
}
