package member

import (
	"context"
	"crypto/rand"
	"slices"
	"sync"
	"testing"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/client"
	"heddle.dev/heddle/sync/replica"
	"heddle.dev/heddle/sync/seal"
	"heddle.dev/heddle/sync/seal/native"
	"heddle.dev/heddle/sync/wire"
)

// space is a server that orders what it is given, and mailboxes.
type space struct {
	t    testing.TB
	name string
	log  []wire.Entry

	mu   sync.Mutex
	mail map[int][]byte
	came chan struct{}
}

func newSpace(t testing.TB) *space {
	return &space{t: t, name: "family", mail: map[int][]byte{}, came: make(chan struct{})}
}

func (s *space) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *space) wantCode(err error, code string) {
	s.t.Helper()
	if errcode.Of(err) != code {
		s.t.Fatalf("got %v, want %s", err, code)
	}
}

// append orders a body.
func (s *space) append(author wire.ClientID, counter uint64, body []byte) {
	e := wire.Entry{Seq: uint64(len(s.log) + 1), Client: author, Counter: counter, Body: body,
		BodyHash: wire.HashBody(body)}
	var before seal.Hash
	if len(s.log) > 0 {
		before = s.log[len(s.log)-1].Chain
	}
	e.Chain = e.ChainAfter(before)
	s.log = append(s.log, e)
}

func (s *space) change(c *client.Change, err error) {
	s.t.Helper()
	s.must(err)
	s.append(c.Client, c.Counter, c.Body)
}

// pull has a member judge what it has not got, all at once.
func (s *space) pull(m *Member) ([]replica.Opened, error) {
	head := m.Head()
	all, err := m.Open(s.t.Context(), wire.Position{Seq: head.Seq, Chain: head.Chain}, s.log[head.Seq:])
	m.Keep()
	return all, err
}

func (s *space) follow(all ...*Member) {
	s.t.Helper()
	for _, m := range all {
		_, err := s.pull(m)
		s.must(err)
	}
}

// write has a member seal a text as the transaction of a counter.
func (s *space) write(m *Member, author wire.ClientID, counter uint64, text string) {
	s.t.Helper()
	body := []byte(text)
	sealed, err := m.Sealed(s.t.Context(), author, counter, pending(body))
	s.must(err)
	s.append(author, counter, sealed[0][0].Bytes)
}

func pending(bodies ...[]byte) (all []replica.PendingBody) {
	for _, body := range bodies {
		all = append(all, replica.PendingBody{Hash: wire.HashBody(body), Body: body})
	}
	return all
}

// Members implements Server.
func (s *space) Members(context.Context) ([]wire.Entry, error) { return slices.Clone(s.log), nil }

// Mailbox implements Server. There is one.
func (s *space) Mailbox([16]byte) client.Mailbox { return s }

// Put implements client.Mailbox.
func (s *space) Put(_ context.Context, n int, message []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mail[n] = message
	close(s.came)
	s.came = make(chan struct{})
	return nil
}

// Get implements client.Mailbox.
func (s *space) Get(ctx context.Context, n int) ([]byte, error) {
	for {
		s.mu.Lock()
		message, came := s.mail[n], s.came
		s.mu.Unlock()
		if message != nil {
			return message, nil
		}
		select {
		case <-came:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// ring is a key ring in memory. Whatever it does, the member is not locked meanwhile.
type ring struct {
	native.Suite
	id   seal.Identity
	pass []byte
	m    *Member // nil: not known yet
}

func (r *ring) free() {
	if r.m != nil {
		r.m.Keep() // it would never return
	}
}

func (r *ring) Device(ctx context.Context) (seal.Identity, error) {
	if r.id == nil {
		id, err := r.NewIdentity(ctx)
		if err != nil {
			return nil, err
		}
		r.id = id
	}
	return busy{r.id, r}, nil
}

func (r *ring) Identity(ctx context.Context, secret *seal.SlotSecret) (seal.Identity, error) {
	r.free()
	id, err := r.Suite.Identity(ctx, secret)
	return busy{id, r}, err
}

func (r *ring) Verify(ctx context.Context, claims []seal.Claim) ([]bool, error) {
	r.free()
	return r.Suite.Verify(ctx, claims)
}

func (r *ring) Wrap(ctx context.Context, to seal.PublicKey, info []byte, k *seal.Key) ([seal.WrapSize]byte, error) {
	r.free()
	return r.Suite.Wrap(ctx, to, info, k)
}

func (r *ring) Load(context.Context) ([]byte, error) { return r.pass, nil }

func (r *ring) Save(_ context.Context, data []byte) error {
	r.pass = data
	return nil
}

// busy is an identity that takes the member's lock at each use.
type busy struct {
	seal.Identity
	ring *ring
}

func (b busy) Sign(ctx context.Context, statement []byte) (seal.Signature, error) {
	b.ring.free()
	return b.Identity.Sign(ctx, statement)
}

func (b busy) SignAll(ctx context.Context, statements [][]byte) ([]seal.Signature, error) {
	b.ring.free()
	return b.Identity.SignAll(ctx, statements)
}

func (b busy) Unwrap(ctx context.Context, info []byte, wrapped *[seal.WrapSize]byte) (*seal.Key, error) {
	b.ring.free()
	return b.Identity.Unwrap(ctx, info, wrapped)
}

// device is one with a key ring of its own, locked.
func (s *space) device() (*Keys, *ring) {
	s.t.Helper()
	r := &ring{}
	k, err := Open(s.t.Context(), r, s.name, rand.Reader)
	s.must(err)
	r.m = k.Member
	return k, r
}

// founded is the first device, whose space is in the log.
func (s *space) founded() *Keys {
	s.t.Helper()
	k, _ := s.device()
	s.must(k.Create(s.t.Context(), s, "laptop"))
	s.change(k.Admission(s.t.Context()))
	s.follow(k.Member)
	return k
}

// paired lets another device in. ask is the member's user.
func (s *space) paired(by *Keys, k *Keys, name string, ask func(digits, shown string) error) (joined, invited error) {
	s.t.Helper()
	secret, err := seal.NewPairSecret(rand.Reader)
	s.must(err)
	ctx := s.t.Context()
	shown, done := make(chan string, 1), make(chan error, 1)
	go func() {
		err := k.Join(ctx, s, secret, name, func(digits string) { shown <- digits })
		close(shown)
		done <- err
	}()
	inv := &Invitation{Secret: secret, Role: seal.RoleWrite, Ask: func(_ context.Context, is, digits string) error {
		if is != name {
			s.t.Errorf("the new device is called %q", is)
		}
		return ask(digits, <-shown)
	}}
	invited = by.Invite(ctx, s, inv, func(ctx context.Context, make Maker) error {
		s.change(make(ctx, by.Member))
		s.follow(by.Member)
		return nil
	})
	return <-done, invited
}

func (s *space) alike(digits, shown string) error {
	if digits != shown {
		s.t.Errorf("one shows %s, the other %s", digits, shown)
	}
	return nil
}
