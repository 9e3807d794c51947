package model

import (
	"fmt"
	"hash/maphash"
)

type (
	hash     uint64
	deviceID int // of a device or a slot; 0 is none
	clientID int // a device's Changes have the client -device
	txID     int
	keyID    int // the key of an epoch, and its commitment; 0 is none
	userID   int
)

var hashSeed = maphash.MakeSeed()

// hashOf is a hash without collisions, near enough. Only its equality means
// anything: its values differ from run to run.
func hashOf[T comparable](v T) hash { return hash(maphash.Comparable(hashSeed, v)) }

type kind int

const (
	data kind = iota + 1
	members
)

type position struct {
	seq   int
	chain hash
}

// sealed is a Sealed but for its signature.
type sealed struct {
	kind   kind
	device deviceID
	prev   hash
	epoch  int
	seen   position
	box    *box
}

// statement is what a signature covers, and, without the box, the associated data.
type statement struct {
	client  clientID
	counter int
	sealed
}

// box is a ciphertext: only who has the key, and the same associated data, sees
// what is in it. The box of a Change has no key.
type box struct {
	key    keyID
	about  statement
	tx     txID
	change *change
}

func (b *box) opens(key keyID, about statement) bool {
	about.box = nil
	return b != nil && b.key == key && b.about == about
}

// signature is in one batch or another: a device may sign one statement in several, and
// each is valid.
type signature struct {
	by    deviceID
	over  statement
	batch int
}

// body is a whole Sealed: what an entry carries.
type body struct {
	sealed
	sig signature
}

// signer is a device's private key. Who has none cannot sign for the device.
type signer struct{ id deviceID }

// seal signs and, where there is a key, encrypts.
func (s signer) seal(st statement, key keyID, tx txID, c *change) *body {
	st.device, st.box = s.id, nil
	b := &box{key: key, about: st, tx: tx, change: c}
	st.box = b
	return s.sign(st)
}

func (s signer) sign(st statement) *body {
	return &body{sealed: st.sealed, sig: signature{by: s.id, over: st}}
}

type entry struct {
	seq      int
	client   clientID
	counter  int
	outcome  string // of the server's, "" for none
	bodyHash hash
	body     *body
	chain    hash
}

// digest is what the next entry of e's client names.
func (e *entry) digest() hash { return hashOf(statement{e.client, e.counter, e.body.sealed}) }

func (e *entry) chainAfter(prev hash) hash {
	return hashOf(struct {
		prev, body   hash
		seq, counter int
		client       clientID
		outcome      string
	}{prev, e.bodyHash, e.seq, e.counter, e.client, e.outcome})
}

func (e *entry) String() string {
	b := e.body
	s := fmt.Sprintf("%d: %s client %d, number %d, device %d, epoch %d, has seen %d: ", e.seq, e.outcome, e.client,
		e.counter, b.device, b.epoch, b.seen.seq)
	c := b.box.change
	if c == nil {
		return s + fmt.Sprintf("transaction %d", b.box.tx)
	}
	s += fmt.Sprintf("add %v, remove %v", c.add, c.remove)
	if c.epoch != nil {
		s += fmt.Sprintf(", key %d", c.epoch.number)
	}
	if c.reset != nil {
		s += fmt.Sprintf(", lost behind %d", c.reset.pos.seq)
	}
	return s
}

// head is a signed Head; one whose signature is not its device's is never made.
type head struct {
	device deviceID
	n      int
	pos    position
	left   []position
}
