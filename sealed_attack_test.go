package heddle

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"heddle.dev/heddle/sync/member"
	"heddle.dev/heddle/sync/seal"
	"heddle.dev/heddle/sync/seal/native"
	"heddle.dev/heddle/sync/wire"
)

// liar is a malicious server around the real one: it answers pulls itself, with the log
// as lie changes it. Pushes reach the real server.
type liar struct {
	real http.Handler

	mu      sync.Mutex
	lie     func(log []wire.Entry) []wire.Entry // nil: an honest server
	members []wire.Entry                        // what it says of members; nil: what is so
}

func (l *liar) setMembers(entries []wire.Entry) {
	l.mu.Lock()
	l.members = entries
	l.mu.Unlock()
}

func (l *liar) set(lie func([]wire.Entry) []wire.Entry) {
	l.mu.Lock()
	l.lie = lie
	l.mu.Unlock()
}

func (l *liar) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	lie, members := l.lie, l.members
	l.mu.Unlock()
	if members != nil && strings.HasSuffix(r.URL.Path, "/members") {
		w.Header().Set("Content-Type", wire.MediaType)
		for _, f := range []wire.Frame{{Entries: members}, {CaughtUp: &wire.CaughtUp{}}} {
			w.Write(wire.AppendFrame(nil, &f))
		}
		return
	}
	if lie == nil || !strings.HasSuffix(r.URL.Path, "/pull") {
		l.real.ServeHTTP(w, r)
		return
	}
	data, _ := io.ReadAll(r.Body)
	req, err := wire.UnmarshalPullRequest(data)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	epoch, log := l.log(w, r)
	if log == nil {
		return // what the real one says
	}
	log = lie(log)
	w.Header().Set("Content-Type", wire.MediaType)
	frames := []wire.Frame{{Hello: &wire.Hello{Epoch: epoch, Head: uint64(len(log))}}}
	if after := int(req.Position.Seq); after < len(log) {
		frames = append(frames, wire.Frame{Entries: log[after:]})
	}
	frames = append(frames, wire.Frame{CaughtUp: &wire.CaughtUp{Seq: uint64(len(log))}})
	for i := range frames {
		w.Write(wire.AppendFrame(nil, &frames[i]))
	}
}

// log reads the real log.
func (l *liar) log(w http.ResponseWriter, r *http.Request) (epoch wire.Epoch, all []wire.Entry) {
	ask := (&wire.PullRequest{Client: wire.ClientID{9}, OwnBodies: true}).Marshal()
	real, _ := http.NewRequest("POST", r.URL.Path+"?wait=0", bytes.NewReader(ask))
	real.Header.Set("Content-Type", wire.MediaType)
	real.Header.Set("Heddle-Device", r.Header.Get("Heddle-Device"))
	real.RemoteAddr = r.RemoteAddr
	rec := httptest.NewRecorder()
	l.real.ServeHTTP(rec, real)
	for name, values := range rec.Header() {
		w.Header()[name] = values
	}
	if rec.Code != http.StatusOK {
		w.WriteHeader(rec.Code)
		w.Write(rec.Body.Bytes())
		return epoch, nil
	}
	for frames := wire.NewFrameReader(rec.Body); ; {
		f, err := frames.Next()
		if err != nil {
			return epoch, all
		}
		if f.Hello != nil {
			epoch = f.Hello.Epoch
		}
		all = append(all, f.Entries...)
	}
}

// chained numbers entries and chains them, as a server may that has no key.
func chained(log []wire.Entry) []wire.Entry {
	var chain wire.Hash
	for i := range log {
		e := &log[i]
		e.Seq, e.BodyHash = uint64(i+1), wire.HashBody(e.Body)
		e.Chain = e.ChainAfter(chain)
		chain = e.Chain
	}
	return log
}

// attacked is a space whose server lies, with two devices that both have written twice:
// entry 1 founds it, 2 and 3 are the first one's, 4 adds the second, 5 and 6 are its,
// 7 is the first one's again.
type attacked struct {
	*sealedSpace
	liar       *liar
	key        *Key
	ada, phone *DB
}

func newAttacked(t *testing.T) *attacked {
	t.Helper()
	a := &attacked{liar: &liar{}}
	a.sealedSpace = newSealedSpaceOf(t, func(h http.Handler) http.Handler {
		a.liar.real = h
		return a.liar
	})
	a.key, a.ada = a.found()
	a.write(a.ada, "1", "ada")
	a.write(a.ada, "2", "ada")
	a.now(a.ada)
	a.phone = a.added(a.ada, "phone", RoleWrite)
	a.now(a.phone)
	a.write(a.phone, "3", "phone")
	a.write(a.phone, "4", "phone")
	a.now(a.phone, a.ada)
	a.write(a.ada, "5", "ada")
	a.now(a.ada)
	return a
}

// victim is another database of the first device's, which has seen nothing yet.
func (a *attacked) victim() *DB { return a.open(a.key, "") }

// stops demands that a database stops, and why, and that the app writes on.
func (a *attacked) stops(db *DB, kind string, seq uint64) {
	a.t.Helper()
	err := db.Sync().Now(a.t.Context())
	wantCode(a.t, err, CodeTampered)
	var why *member.Tampered
	if errors.As(err, &why); kind != "rollback" && (why == nil || why.Kind != kind || why.Seq != seq) {
		a.t.Errorf("got %v, want %s at entry %d", why, kind, seq)
	}
	a.write(db, "local", "goes on")
}

// recovers demands that all is well as soon as the server is honest.
func (a *attacked) recovers(db *DB) {
	a.t.Helper()
	a.liar.set(nil)
	a.now(db, a.ada, a.phone)
	a.same(6, db, a.ada, a.phone)
}

// What a server gets by changing the log, docs/SECURITY.md.
func TestSealed_attacks(t *testing.T) {
	body := func(log []wire.Entry, i int, change func(*seal.Sealed)) {
		s, err := seal.UnmarshalSealed(log[i].Body)
		if err != nil {
			t.Fatal(err)
		}
		change(s)
		log[i].Body = s.Marshal()
	}
	tests := map[string]struct {
		kind string
		seq  uint64
		lie  func(log []wire.Entry) []wire.Entry
	}{
		"a byte on the way": {"chain", 2, func(log []wire.Entry) []wire.Entry {
			log[1].Body[40] ^= 1
			return log
		}},
		"another box": {"forged", 2, func(log []wire.Entry) []wire.Entry {
			body(log, 1, func(s *seal.Sealed) { s.Box[0] ^= 1 })
			return chained(log)
		}},
		"another's Change": {"forged", 4, func(log []wire.Entry) []wire.Entry {
			body(log, 3, func(s *seal.Sealed) { s.Box[len(s.Box)-1] ^= 1 })
			return chained(log)
		}},
		"a transaction left out": {"link", 2, func(log []wire.Entry) []wire.Entry {
			return chained(slices.Delete(log, 1, 2))
		}},
		"a transaction twice": {"link", 4, func(log []wire.Entry) []wire.Entry {
			return chained(slices.Insert(log, 3, log[2]))
		}},
		"two of one author in another order": {"link", 2, func(log []wire.Entry) []wire.Entry {
			log[1], log[2] = log[2], log[1]
			return chained(log)
		}},
		"two of different authors in another order": {"fork", 3, func(log []wire.Entry) []wire.Entry {
			log[2], log[3] = log[3], log[2]
			return chained(log)
		}},
		"another author's": {"forged", 2, func(log []wire.Entry) []wire.Entry {
			log[1].Client[0] ^= 1
			return chained(log)
		}},
		"another counter": {"forged", 2, func(log []wire.Entry) []wire.Entry {
			log[1].Counter++
			return chained(log)
		}},
		"another founder": {"anchor", 1, func(log []wire.Entry) []wire.Entry { return chained(log[1:]) }},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			a := newAttacked(t)
			victim := a.victim()
			a.liar.set(test.lie)
			a.stops(victim, test.kind, test.seq)
			a.recovers(victim)
		})
	}
}

// A device that has seen the log is not shown a shorter one.
func TestSealed_rollback(t *testing.T) {
	a := newAttacked(t)
	a.liar.set(func(log []wire.Entry) []wire.Entry { return log[:4] })
	a.stops(a.phone, "rollback", 0)
	a.recovers(a.phone)
}

// Nor is one that was let in after what is left out: it was told where the log was.
func TestSealed_rollbackForANewDevice(t *testing.T) {
	a := newAttacked(t)
	code, err := a.ada.Sync().NewRecoveryCode(t.Context())
	a.must(err)
	a.write(a.ada, "6", "ada")
	a.now(a.ada)
	key, err := UnlockSpace(t.Context(), a.options(nil), code, "tablet")
	a.must(err)
	a.liar.set(func(log []wire.Entry) []wire.Entry { return log[:5] })
	tablet := a.open(key, "")
	wantCode(t, tablet.Sync().Now(t.Context()), CodeTampered)
	a.liar.set(nil)
	a.now(tablet)
	a.same(6, tablet, a.ada)
}

// A refusal that the server makes up for one device shows with the next word of a
// member who has seen it otherwise. The device stays with what it was shown: it is not
// known which of the two is right.
func TestSealed_voidForOne(t *testing.T) {
	a := newAttacked(t)
	a.liar.set(func(log []wire.Entry) []wire.Entry {
		log[4].Outcome = "QUOTA"
		return chained(log)
	})
	victim := a.victim()
	a.stops(victim, "fork", 7)
	a.liar.set(nil)
	wantCode(t, victim.Sync().Now(t.Context()), CodeTampered)
}

// A removal that is hidden shows with the first word of one who knows of it.
func TestSealed_hiddenRemoval(t *testing.T) {
	a := newAttacked(t)
	tablet := a.added(a.ada, "tablet", RoleWrite)
	a.now(tablet)
	members, err := a.ada.Sync().Members(t.Context())
	a.must(err)
	for _, m := range members {
		if m.Name == "phone" {
			a.must(a.ada.Sync().RemoveDevices(t.Context(), m.ID))
		}
	}
	a.write(a.ada, "6", "not for the phone")
	a.now(a.ada)
	a.liar.set(func(log []wire.Entry) []wire.Entry {
		return chained(slices.DeleteFunc(log, func(e wire.Entry) bool { return e.Seq == 9 }))
	})
	err = tablet.Sync().Now(t.Context())
	var why *member.Tampered
	if errors.As(err, &why); why == nil || why.Kind != "fork" {
		t.Errorf("got %v, want a fork", err)
	}
}

// A key that a server makes up for a device that comes in is one that no entry asks for.
func TestSealed_falseKeys(t *testing.T) {
	a := newAttacked(t)
	tablet := a.added(a.ada, "tablet", RoleWrite)
	id := tablet.Sync().member.ID()
	fake := seal.Key{1}
	c := &seal.Change{Prev: seal.Hash{1}, Epoch: &seal.Epoch{Number: 1, Commit: fake.Commit(a.key.k.Anchor, 1)}}
	for _, m := range a.ada.Sync().member.Infos(t.Context()) {
		if m.ID == id {
			box, err := native.Suite{}.Wrap(t.Context(), m.Box, seal.WrapInfo(a.key.k.Anchor, 1, id), &fake)
			a.must(err)
			c.Epoch.Wrap = []seal.Wrap{{ID: id, HPKE: box}}
		}
	}
	s := &seal.Sealed{Kind: seal.KindMembers, Device: id, Epoch: 1, Box: c.Marshal(), Signature: seal.Signature{2}}
	lie := []wire.Entry{{Seq: 1, Client: id.Members(), Counter: 1, Body: s.Marshal()}}
	a.liar.setMembers(lie)
	tablet.Sync().member.Learn(t.Context(), lie)
	a.now(tablet)
	a.same(5, tablet, a.ada)
}
