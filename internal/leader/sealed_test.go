package leader

import (
	"context"
	"strings"
	"testing"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/rpc"
	"heddle.dev/heddle/internal/rpc/rpctest"
	"heddle.dev/heddle/sync/seal"
	"heddle.dev/heddle/sync/seal/native"
)

// memoryRing is a key ring in memory. It conceals by a mark.
type memoryRing struct {
	native.Suite
	id   seal.Identity
	pass []byte
}

const mark = "concealed:"

func (r *memoryRing) Device(ctx context.Context) (_ seal.Identity, err error) {
	if r.id == nil {
		r.id, err = r.NewIdentity(ctx)
	}
	return r.id, err
}

func (r *memoryRing) Load(context.Context) ([]byte, error) { return r.pass, nil }

func (r *memoryRing) Save(_ context.Context, data []byte) error {
	r.pass = data
	return nil
}

func (r *memoryRing) Conceal(_ context.Context, text string) (string, error) { return mark + text, nil }

func (r *memoryRing) Reveal(_ context.Context, concealed string) (string, error) {
	text, is := strings.CutPrefix(concealed, mark)
	if !is {
		return "", errcode.New(errcode.BadSeal, "test", "it is not concealed")
	}
	return text, nil
}

func sealedSync(url string) func(*rpc.OpenConfig, *Env) {
	return func(c *rpc.OpenConfig, env *Env) {
		synced(url)(c, env)
		c.Sync.Sealed = true
		env.Keyring = &memoryRing{}
	}
}

func (p *tab) members() []rpc.SpaceMember {
	p.t.Helper()
	all, err := p.ask(rpc.Request{Method: rpc.MethodSealedMembers}).ok().last.Payload.SpaceMembers()
	if err != nil {
		p.t.Fatal(err)
	}
	return all
}

// pairing waits for a chunk of a call.
func (p *tab) pairing(id uint32) rpc.Pairing {
	p.t.Helper()
	m := p.take("pairing", func(m rpctest.Message) bool { return m.ID == id && m.Kind == rpc.KindChunk })
	got, err := m.Payload.Pairing()
	if err != nil {
		p.t.Fatal(err)
	}
	return got
}

func TestSealed(t *testing.T) {
	url := serve(t, nil).URL
	a, b := connect(t, openLeader(t, sealedSync(url)), "a"), connect(t, openLeader(t, sealedSync(url)), "b")
	syncNow := rpc.Request{Method: rpc.MethodSyncNow}
	a.ask(exec("INSERT INTO notes VALUES('k','from a',1)")).ok()
	a.ask(syncNow).fails(errcode.Locked)
	a.ask(rpc.Request{Method: rpc.MethodSealedMembers}).fails(errcode.Locked)
	a.ask(rpc.Request{Method: rpc.MethodSealedInvite, Role: "write"}).fails(errcode.Locked)
	a.ask(rpc.Request{Method: rpc.MethodSealedCreate, Name: "laptop"}).ok()
	a.ask(syncNow).ok()
	b.ask(rpc.Request{Method: rpc.MethodSealedCreate, Name: "phone"}).fails(errcode.Sealed) // there is one
	a.ask(rpc.Request{Method: rpc.MethodSealedInvite, Role: "king"}).fails(errcode.BadParam)

	invite := a.send(rpc.Request{Method: rpc.MethodSealedInvite, Role: "write"})
	link := a.pairing(invite).Link
	join := b.send(rpc.Request{Method: rpc.MethodSealedJoin, Name: "phone", Link: link})
	asked, shown := a.pairing(invite), b.pairing(join)
	if asked.Name != "phone" || len(asked.Digits) != 6 || asked.Digits != shown.Digits {
		t.Errorf("one shows %+v, the other %+v", asked, shown)
	}
	a.send(rpc.Request{Method: rpc.MethodSealedAnswer, Target: invite})
	a.wait(invite).ok()
	b.wait(join).ok()
	b.ask(syncNow).ok()
	if got := b.value("SELECT body FROM notes"); got != "from a" {
		t.Errorf("the new device has %v", got)
	}

	concealed, err := a.ask(rpc.Request{Method: rpc.MethodSealedCode}).ok().last.Payload.Str()
	if err != nil || !strings.HasPrefix(concealed, mark) {
		t.Fatalf("got the code as %q, %v", concealed, err)
	}
	c := connect(t, openLeader(t, sealedSync(url)), "c")
	unlock := rpc.Request{Method: rpc.MethodSealedUnlock, Name: "tablet", Code: strings.TrimPrefix(concealed, mark)}
	c.ask(unlock).fails(errcode.BadSeal) // a code that is not concealed is not taken
	unlock.Code = concealed
	c.ask(unlock).ok()
	c.ask(syncNow).ok()

	names := map[string]rpc.SpaceMember{}
	for _, m := range c.members() {
		names[m.Name] = m
	}
	if len(names) != 4 || !names["tablet"].Self || names["phone"].Role != "write" || !names[""].Code {
		t.Errorf("got %+v", names)
	}
	c.ask(rpc.Request{Method: rpc.MethodSealedRemove, Ids: []string{"zz"}}).fails(errcode.BadParam)
	c.ask(rpc.Request{Method: rpc.MethodSealedRemove, Ids: []string{names["phone"].ID}}).ok()
	b.ask(syncNow).fails(errcode.Removed)
	b.ask(exec("UPDATE notes SET n = 2")).ok() // the app goes on
}

// A passphrase stays on its page: the leader asks for what Argon2id makes of it.
func TestSealed_passphrase(t *testing.T) {
	url := serve(t, nil).URL
	a, b := connect(t, openLeader(t, sealedSync(url)), "a"), connect(t, openLeader(t, sealedSync(url)), "b")
	a.ask(rpc.Request{Method: rpc.MethodSealedPassphrase}).fails(errcode.Locked)
	a.ask(rpc.Request{Method: rpc.MethodSealedCreate, Name: "laptop"}).ok()
	a.ask(rpc.Request{Method: rpc.MethodSyncNow}).ok()
	// stretched makes a call, and says what was computed in its turn.
	stretched := func(p *tab, call rpc.Request, said string) answer {
		t.Helper()
		id := p.send(call)
		m := p.take("KDF", func(m rpctest.Message) bool { return m.ID == id && m.Kind == rpc.KindChunk })
		kdf, err := m.Payload.KDF()
		if err != nil || kdf.Time != 3 || kdf.Memory != 64<<10 || len(kdf.Salt) != 32 {
			t.Errorf("is asked for %+v, %v", kdf, err)
		}
		p.send(rpc.Request{Method: rpc.MethodSealedAnswer, Target: id, Text: said})
		return p.wait(id)
	}
	set := rpc.Request{Method: rpc.MethodSealedPassphrase}
	unlock := rpc.Request{Method: rpc.MethodSealedUnlockBy, Name: "b"}
	right, wrong := mark+strings.Repeat("01", 32), mark+strings.Repeat("02", 32)
	stretched(a, set, right[len(mark):]).fails(errcode.BadSeal)
	stretched(a, set, right+"03").fails(errcode.BadParam)
	stretched(a, set, right).ok()
	stretched(b, unlock, wrong).fails(errcode.BadPassphrase)
	stretched(b, unlock, right).ok()
	b.ask(rpc.Request{Method: rpc.MethodSyncNow}).ok()
	phrases := 0
	for _, m := range b.members() {
		if m.Passphrase && !m.Code {
			phrases++
		}
	}
	if phrases != 1 {
		t.Errorf("the members are %+v", b.members())
	}

	// With a code, which goes to the page, concealed, and comes back.
	set.Coded = true
	concealed, err := stretched(a, set, right).ok().last.Payload.Str()
	if err != nil || !strings.HasPrefix(concealed, mark) {
		t.Fatalf("got the code as %q, %v", concealed, err)
	}
	c := connect(t, openLeader(t, sealedSync(url)), "c")
	c.ask(unlock).fails(errcode.BadPassphrase)
	c.ask(rpc.Request{Method: rpc.MethodSealedUnlock, Name: "c", Code: concealed}).fails(errcode.BadCode)
	unlock.Code = concealed[len(mark):]
	c.ask(unlock).fails(errcode.BadSeal)
	unlock.Code = concealed
	stretched(c, unlock, wrong).fails(errcode.BadPassphrase)
	stretched(c, unlock, right).ok()
	c.ask(rpc.Request{Method: rpc.MethodSyncNow}).ok()
}

// What is asked of a key ring where there is none, or of a plain space.
func TestSealed_notHere(t *testing.T) {
	url := serve(t, nil).URL
	plain := connect(t, openLeader(t, synced(url)), "a")
	plain.ask(rpc.Request{Method: rpc.MethodSealedMembers}).fails(errcode.Sealed)
	config := rpc.OpenConfig{Name: "notes", Storage: "persistent", Migrations: []string{notes}}
	env := Env{Filename: "file:/nowhere/notes.db", Bounds: unhurried}
	sealedSync(url)(&config, &env)
	env.Keyring = nil
	if _, err := Open(t.Context(), config, env); errcode.Of(err) != errcode.Unsupported {
		t.Errorf("got %v", err)
	}
}

// An invitation that its page takes back is over for the other device as well.
func TestSealed_cancelled(t *testing.T) {
	url := serve(t, nil).URL
	a, b := connect(t, openLeader(t, sealedSync(url)), "a"), connect(t, openLeader(t, sealedSync(url)), "b")
	a.ask(rpc.Request{Method: rpc.MethodSealedCreate, Name: "laptop"}).ok()
	a.ask(rpc.Request{Method: rpc.MethodSyncNow}).ok()
	invite := a.send(rpc.Request{Method: rpc.MethodSealedInvite, Role: "read", Other: true})
	join := b.send(rpc.Request{Method: rpc.MethodSealedJoin, Name: "phone", Link: a.pairing(invite).Link})
	a.pairing(invite)
	a.send(rpc.Request{Method: rpc.MethodCancel, Target: invite})
	a.wait(invite).fails(errcode.Aborted)
	b.wait(join).fails(errcode.NotAllowed)
	if n := len(a.members()); n != 1 {
		t.Errorf("there are %d members", n)
	}
}
