package wire

import (
	"encoding/binary"

	"golang.org/x/crypto/blake2b"
	"google.golang.org/protobuf/encoding/protowire"
)

// Each use of the hash begins with a text of its own, so that no hash of one
// kind can pass for one of another.
const (
	domainBody  = "heddle/1/body\x00"
	domainChain = "heddle/1/chain\x00"
	domainFork  = "heddle/1/fork\x00"
)

// HashBody hashes a marshalled body.
func HashBody(body []byte) Hash {
	if len(body) <= 1<<10 { // a state of its own costs more than to put domain and body together
		var room [len(domainBody) + 1<<10]byte
		return blake2b.Sum256(append(append(room[:0], domainBody...), body...))
	}
	h, _ := blake2b.New256(nil) // fails for long keys only
	h.Write([]byte(domainBody))
	h.Write(body)
	var sum Hash
	h.Sum(sum[:0])
	return sum
}

// ChainAfter returns e's chain hash, given that of the entry before: the zero
// Hash before entry 1. It covers Seq, Client, Counter, Outcome and BodyHash;
// e.Chain and e.Body are not read.
func (e *Entry) ChainAfter(prev Hash) Hash {
	b := make([]byte, 0, 160)
	b = append(b, domainChain...)
	b = append(b, prev[:]...)
	b = binary.LittleEndian.AppendUint64(b, e.Seq)
	b = append(b, e.Client[:]...)
	b = binary.LittleEndian.AppendUint64(b, e.Counter)
	b = protowire.AppendString(b, e.Outcome)
	b = append(b, e.BodyHash[:]...)
	return blake2b.Sum256(b)
}

// Fork returns the id that a replica takes in the place of id, where its next
// transaction would be number counter and another copy of its database has
// numbered another one so.
func (id ClientID) Fork(counter uint64, bodyHash Hash) ClientID {
	b := make([]byte, 0, 80)
	b = append(b, domainFork...)
	b = append(b, id[:]...)
	b = binary.LittleEndian.AppendUint64(b, counter)
	b = append(b, bodyHash[:]...)
	sum := blake2b.Sum256(b)
	return ClientID(sum[:len(id)])
}
