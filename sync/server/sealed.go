package server

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"net/http"
	"strconv"
	"time"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/logstore"
	"heddle.dev/heddle/sync/seal"
	"heddle.dev/heddle/sync/seal/native"
	"heddle.dev/heddle/sync/server/mailbox"
	"heddle.dev/heddle/sync/server/shelf"
	"heddle.dev/heddle/sync/wire"
)

// In a sealed space the server orders what it cannot read: it folds no rows, and its
// snapshots are the members': see snapshots.go. It runs each check of docs/SECURITY.md,
// section 11, that needs no key, and refuses what would be void or would stop a replica.
// So nothing of a member's can stop the others.

var (
	errSealed = errcode.New(errcode.Sealed, "server",
		"the space is sealed: it takes what is sealed alone, and its snapshots are its members'")
	errPlain = errcode.New(errcode.Sealed, "server: push", "the space is not sealed")
)

// refusal is an error of one transaction in a sealed space. It is not decided.
type refusal struct{ error }

func (r *refusal) Unwrap() error { return r.error }

// sealedLog is what judging the next entry of a sealed space needs, up to some entry. It
// is read from the log once, and goes on with it.
type sealedLog struct {
	*seal.Log
	changes []uint64 // the numbers of the entries with Changes, void ones as well
	heads   deviceHeads
	toldAt  map[seal.ID]time.Time // when a device has told its head here
	shelf   *shelf.Shelf          // as the store had it last
}

// isSealed says whether a space is sealed: its first entry is, which no cut takes away
// there. Only where there is nothing folded has the log to be asked.
func isSealed(v logstore.View, m *logstore.Meta) (bool, error) {
	if m.RowCount > 0 || m.Head.Seq == 0 {
		return false, nil
	}
	first, err := v.Entries(0, 1, wire.ClientID{})
	return err == nil && len(first) > 0 && wire.Sealed(first[0].Body), err
}

// readSealed brings sp.sealed to the head, nil for a plain space. The caller has the turn.
func (sp *space) readSealed(v logstore.View, m *logstore.Meta) error {
	is, err := isSealed(v, m)
	if err != nil || !is {
		sp.sealed = nil
		return err
	}
	if sp.sealed != nil {
		sp.sealed.Rollback(0)
		at := sp.sealed.Head()
		chain, found, err := v.Chain(at.Seq)
		if err != nil {
			return err
		}
		if !found || chain != at.Chain {
			sp.forgetSealed() // the store was put back
		}
	}
	log := sp.sealed
	if sp.sealed = nil; log == nil {
		if log, err = sp.sealedFrom(v, m); err != nil {
			return err
		}
	}
	if _, err := log.follow(v, m.Head.Seq); err != nil {
		return err
	}
	if err := log.readHeads(v, m); err != nil {
		return err
	}
	if log.shelf, err = shelf.Read(v); err != nil {
		return err
	}
	sp.sealed = log
	sp.assess(m, 0)
	return nil
}

// forgetSealed forgets a log that is not the store's any more, and the heads that were told of it.
func (sp *space) forgetSealed() {
	sp.sealed = nil
	sp.mu.Lock()
	sp.heads = nil
	sp.mu.Unlock()
}

// trusted takes the signatures of entries for valid that were verified when they came.
func trusted(seal.Claim) bool { return true }

func (l *sealedLog) append(e *wire.Entry, v seal.Verdict) {
	l.Append(e, v)
	if v.Sealed().Kind == seal.KindMembers {
		l.changes = append(l.changes, e.Seq)
	}
}

// Rollback is [seal.Log.Rollback].
func (l *sealedLog) Rollback(seq uint64) {
	l.Log.Rollback(seq)
	for n := len(l.changes); n > 0 && l.changes[n-1] > l.Head().Seq; n-- {
		l.changes = l.changes[:n-1]
	}
}

// keepSealed makes what was decided final, after the commit.
func (t *turn) keepSealed() {
	if t.sp.sealed != nil {
		t.sp.sealed.Keep()
		t.sp.assess(&t.st.meta, 0)
	}
}

// sealed says whether the space is, after what was decided in this turn.
func (t *turn) sealed() bool { return t.sp.sealed != nil && t.sp.sealed.Head().Seq > 0 }

// decideSealed is decideOne in a sealed space.
func (t *turn) decideSealed(p *push, tx *transaction) error {
	switch {
	case tx.body == nil:
		return &refusal{errcode.New(errcode.TooBig, "server: decide", "the transaction is larger than the server takes")}
	case !wire.Sealed(tx.data):
		return &refusal{errSealed}
	case t.w.Head.Seq > 0 && !t.sealed():
		return &refusal{errPlain}
	case t.sp.sealed == nil:
		t.sp.sealed = &sealedLog{Log: seal.NewLog(t.sp.name, seal.Anchor{}, seal.Window), shelf: shelf.New()}
	}
	log := t.sp.sealed
	e := wire.Entry{Seq: t.w.Head.Seq + 1, Client: p.req.Client, Counter: tx.counter, BodyHash: tx.hash, Body: tx.data}
	e.Chain = e.ChainAfter(t.w.Head.Chain)
	verdict := log.Judge(&e, seal.Checks{Valid: p.valid})
	if err := p.ctx.Err(); err != nil {
		return err
	}
	if verdict.Stop != "" || verdict.Code != "" {
		return refuseSealed(log, tx, &verdict)
	}
	if verdict.Sealed().Kind != seal.KindMembers { // who may write is told whatever the log has
		if err := t.checkLog(p.caller, tx); err != nil {
			return &refusal{err}
		}
	}
	var void *void
	err := t.decideUnread(p, tx, verdict.Sealed())
	switch {
	case errors.As(err, &void): // it keeps its Sealed
		e.Outcome = void.code
		e.Chain = e.ChainAfter(t.w.Head.Chain)
		verdict = log.Judge(&e, seal.Checks{Valid: trusted})
	case err != nil:
		return err
	}
	if err := log.refuseLeft(&e); err != nil {
		return err
	}
	log.append(&e, verdict)
	t.w.Head.Seq, t.w.Head.Chain = e.Seq, e.Chain
	t.w.Entries = append(t.w.Entries, e)
	if e.Seq == 1 {
		t.w.Blobs = append(t.w.Blobs, log.shelf.Blob())
	}
	return nil
}

// valid verifies a signature. One that covers a batch is verified once.
func (p *push) valid(c seal.Claim) bool {
	if p.verified.Is(c) {
		return true
	}
	valid, err := native.Suite{}.Verify(p.ctx, []seal.Claim{c})
	if err != nil || !valid[0] {
		return false
	}
	p.verified = c
	return true
}

// refuseSealed says why a transaction would be void, or would stop a replica.
func refuseSealed(log *sealedLog, tx *transaction, v *seal.Verdict) error {
	code, msg := v.Code, "the transaction would be void"
	switch {
	case v.Stop != "":
		code, msg = errcode.Protocol, "the entry would stop each replica: "+string(v.Stop)
	case code == errcode.NotMember:
		msg = "the device is no member of the space that may write"
		if s, err := seal.UnmarshalSealed(tx.data); err == nil && log.Removed(s.Device) {
			code, msg = errcode.Removed, "the device was removed from the space"
		}
	}
	return &refusal{errcode.New(code, "server: decide", msg)}
}

// decideUnread asks the app's rule about a transaction that only members can read.
func (t *turn) decideUnread(p *push, tx *transaction, s *seal.Sealed) error {
	if s.Kind == seal.KindMembers {
		return nil
	}
	d := &Decision{Client: p.req.Client, Counter: tx.counter, Subject: p.caller.Subject, Claims: p.caller.Claims,
		Sealed: &SealedDecision{Device: s.Device, Size: len(s.Box)}}
	return t.callDecide(p.ctx, d, &effects{})
}

// members answers with the entries that change who is a member: a stream of frames, as
// a pull's; a plain space has none. A device that comes in finds its keys there before it
// can read the log.
func (s *Server) members(w http.ResponseWriter, r *http.Request, c *caller) error {
	sp := s.acquire(c.space)
	defer s.release(sp)
	head, changes, err := sp.changes(r.Context())
	if err != nil {
		return err
	}
	voids, err := sp.voidsOf(r.Context(), c, r.URL.Query().Get("own"))
	if err != nil {
		return err
	}
	rc := http.NewResponseController(w)
	send := func(f *wire.Frame) error {
		data := wire.AppendFrame(nil, f)
		rc.SetWriteDeadline(time.Now().Add(s.o.Limits.Request + transferTime(len(data))))
		_, err := w.Write(data)
		return err
	}
	w.Header().Set("Content-Type", wire.MediaType)
	if err := send(&wire.Frame{Hello: &wire.Hello{Epoch: head.Epoch, Head: head.Seq}}); err != nil {
		return nil // the connection is gone
	}
	for _, seq := range changes {
		var entries []wire.Entry
		err := sp.read(r.Context(), func(v logstore.View) (err error) {
			entries, err = v.Entries(seq-1, 1, wire.ClientID{})
			return err
		})
		if err == nil {
			err = send(&wire.Frame{Entries: entries[:min(1, len(entries))]})
		}
		if err != nil {
			return nil // the stream ends without its last frame
		}
	}
	if len(voids) > 0 && send(&wire.Frame{Snapshot: &wire.Snapshot{Own: voids}}) != nil {
		return nil
	}
	_ = send(&wire.Frame{CaughtUp: &wire.CaughtUp{Seq: head.Seq}})
	return nil
}

// voidsOf returns which transactions of a client are void, as far as that is known: who
// starts from a snapshot does not see their entries.
func (sp *space) voidsOf(ctx context.Context, c *caller, own string) (all []wire.Outcome, err error) {
	var id wire.ClientID
	if own == "" {
		return nil, nil
	}
	if data, err := hex.DecodeString(own); err != nil || copy(id[:], data) != len(id) || len(data) != len(id) {
		return nil, errcode.New(errcode.BadParam, "server: members", "own is no client's id in hexadecimal")
	}
	err = sp.read(ctx, func(v logstore.View) error {
		if err := sp.s.o.mayRead(v, c, id); err != nil {
			return err
		}
		all = nil
		for o, err := range v.Outcomes(id, maxOutcomes) {
			if err != nil {
				return err
			}
			if o.Code != "" {
				all = append(all, o)
			}
		}
		return nil
	})
	return all, err
}

// changes returns the numbers of the entries with Changes, up to the head.
func (sp *space) changes(ctx context.Context) (head wire.Position, all []uint64, err error) {
	err = sp.withSealed(ctx, func(at wire.Position, log *sealedLog) error {
		if head = at; log != nil {
			all = append(all, log.changes...)
		}
		return nil
	})
	return head, all, err
}

// Who follows the log of a sealed space proves that it is a member's device, beside the
// token: so a device that was removed gets no more of it, also where its user's token
// counts. What it would get is encrypted with a key that it has not.
//
// A challenge is the time until which it counts and a MAC over that: the server keeps
// none. It is in each answer to a pull, for the next one, which may go to another server.

const (
	challengeHeader = "Heddle-Challenge"
	deviceHeader    = "Heddle-Device"
	challengeLife   = 10 * time.Minute
	challengeMAC    = 16
	challengeSize   = 8 + challengeMAC
)

var (
	errUnproved = errcode.New(errcode.Unproved, "server: pull",
		"the space is sealed: the request needs the signature of a member's device over the challenge")
	errNotMember = errcode.New(errcode.NotMember, "server: pull", "the device is no member of the space")
	errRemoved   = errcode.New(errcode.Removed, "server: pull", "the device was removed from the space")
)

// A challenger makes the challenges of a space, and knows them again.
type challenger struct {
	key   []byte
	space string
}

func (c challenger) until(t int64) []byte {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, challengeSize), uint64(t))
	mac := hmac.New(sha256.New, c.key)
	mac.Write(b)
	mac.Write([]byte(c.space))
	return append(b, mac.Sum(nil)[:challengeMAC]...)
}

// counts reports whether a challenge is one of the space's, and not too old.
func (c challenger) counts(challenge []byte) bool {
	until := int64(binary.BigEndian.Uint64(challenge))
	return hmac.Equal(challenge, c.until(until)) && time.Now().Unix() < until
}

// proved returns the device, or the slot, that a request is proved to come from.
func (s *Server) proved(w http.ResponseWriter, r *http.Request, sp *space, action string) (who seal.Member, err error) {
	var id seal.ID
	proof, malformed := base64.RawURLEncoding.DecodeString(r.Header.Get(deviceHeader))
	copy(id[:], proof)
	who, on, err := sp.memberOf(r.Context(), id)
	if err != nil && !errors.Is(err, errNotMember) && !errors.Is(err, errRemoved) {
		return who, err
	}
	challenges := challenger{on.challenges, sp.name}
	if challenges.key == nil {
		challenges.key = s.challengeKey[:]
	}
	w.Header().Set(challengeHeader,
		base64.RawURLEncoding.EncodeToString(challenges.until(time.Now().Add(challengeLife).Unix())))
	if malformed != nil || len(proof) != len(id)+challengeSize+len(seal.Signature{}) {
		return who, errUnproved
	}
	challenge := proof[len(id) : len(id)+challengeSize]
	if !challenges.counts(challenge) {
		return who, errUnproved
	}
	if err != nil {
		return who, err
	}
	valid, err := native.Suite{}.Verify(r.Context(), []seal.Claim{{Key: who.Sign,
		Statement: seal.RequestStatement(on.anchor, challenge, action),
		Signature: seal.Signature(proof[len(id)+challengeSize:])}})
	if err == nil && !valid[0] {
		err = errUnproved
	}
	return who, err
}

// proofOf is what the proof of a request in a space rests on.
type proofOf struct {
	anchor     seal.Anchor
	challenges []byte // the key; nil: the server's own
}

// memberOf looks a member up. What the proof of it rests on is there beside an error as well.
func (sp *space) memberOf(ctx context.Context, id seal.ID) (who seal.Member, on proofOf, err error) {
	err = sp.withSealed(ctx, func(_ wire.Position, log *sealedLog) error {
		is := false
		if log == nil {
			return errNotMember
		}
		on = proofOf{log.Anchor(), log.shelf.Challenges}
		if who, is = log.Member(id); !is && log.Removed(id) {
			return errRemoved
		} else if !is {
			return errNotMember
		}
		return nil
	})
	return who, on, err
}

// withSealed calls f with the turn, and with the sealed log up to the head; nil for a
// plain space.
func (sp *space) withSealed(ctx context.Context, f func(head wire.Position, log *sealedLog) error) error {
	var m logstore.Meta
	return sp.withSealedAt(ctx, &m, func(log *sealedLog) error { return f(m.Head, log) })
}

// withSealedAt is withSealed that sets the space's state as well.
func (sp *space) withSealedAt(ctx context.Context, m *logstore.Meta, f func(log *sealedLog) error) error {
	select {
	case sp.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer sp.endTurn()
	err := sp.read(ctx, func(v logstore.View) (err error) {
		if *m, err = v.Meta(); err != nil {
			return err
		}
		return sp.readSealed(v, m)
	})
	if err != nil {
		return err
	}
	return f(sp.sealed)
}

// noteRemoved takes the removals among entries of a sealed space. The caller holds
// sp.mu.
func (sp *space) noteRemoved(entries []wire.Entry) {
	for i := range entries {
		if e := &entries[i]; e.Outcome != "" || !wire.Sealed(e.Body) {
			continue
		}
		s, err := seal.UnmarshalSealed(entries[i].Body)
		if err != nil || s.Kind != seal.KindMembers {
			continue
		}
		c, err := seal.UnmarshalChange(s.Box)
		if err != nil {
			continue
		}
		for _, id := range c.Remove {
			if sp.removed == nil {
				sp.removed = map[seal.ID]uint64{}
			}
			sp.removed[id] = entries[i].Seq
		}
	}
}

// removedAt is the number of the entry that has removed a device, as far as it was seen
// since the server has begun; else 0. A device does not come back under its id.
func (sp *space) removedAt(id seal.ID) uint64 {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	return sp.removed[id]
}

// mailWait is how long a request waits for a message of a pairing.
const mailWait = 20 * time.Second

var errPairing = errcode.New(errcode.BadParam, "server: pair", "a pairing has an id of 16 bytes and messages 1 to 8")

// pair takes the message of a number, or waits for it where the request has none. It
// answers nothing where none has come yet.
func (s *Server) pair(w http.ResponseWriter, r *http.Request, c *caller) error {
	q := r.URL.Query()
	n, err := strconv.Atoi(q.Get("n"))
	id, e := hex.DecodeString(q.Get("id"))
	if e != nil || len(id) != 16 || err != nil || n < 1 || n > mailbox.Messages {
		return errPairing
	}
	message, err := s.readBody(w, r)
	if err != nil {
		return err
	}
	name := mailbox.Name{Space: c.space, ID: string(id)}
	var answer []byte
	if len(message) > 0 {
		err = s.mailboxes.Put(name, c.by, n, message)
	} else {
		ctx, stop := context.WithTimeout(r.Context(), mailWait)
		defer stop()
		answer, err = s.mailboxes.Get(ctx, name, c.by, n, s.drain)
	}
	if err != nil {
		return err
	}
	s.respond(w, http.StatusOK, answer)
	return nil
}
