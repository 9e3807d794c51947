package seal

import (
	"encoding/binary"
	"io"
	"math/bits"

	"github.com/golang/snappy"
	"golang.org/x/crypto/chacha20poly1305"

	"heddle.dev/heddle/internal/errcode"
)

// Nonce is drawn at random for each box: 24 bytes do not come twice.
type Nonce [chacha20poly1305.NonceSizeX]byte

const (
	// MaxContent is the most bytes that a box's content may have.
	MaxContent = 30 << 20
	// maxPlain is the most that a plain text may have: MaxContent, padded.
	maxPlain = 32 << 20
	// compressFrom is the size from which content is compressed.
	compressFrom = 1 << 10
	// overhead is what a box is longer than its plain text.
	overhead = chacha20poly1305.Overhead
	// plainHead is a plain text's length and flag.
	plainHead = 5
)

// What a plain text's content is.
const (
	stored     = 0
	compressed = 1 // Snappy's block format
)

// pad returns the size to which n bytes are padded: PADMÉ (Nikitin and others,
// "Reducing Metadata Leakage from Encrypted Files and Communication with PURBs",
// 2019), at least least. It tells O(log log n) bits of n, and adds 12 % at most.
func pad(n, least int) int {
	n = max(n, least)
	e := bits.Len(uint(n)) - 1
	last := e - bits.Len(uint(e))
	mask := 1<<last - 1
	return (n + mask) &^ mask
}

// encrypt makes a box of a plain text.
func encrypt(key Key, nonce *Nonce, plain, about []byte) []byte {
	aead, err := chacha20poly1305.NewX(key[:])
	if err != nil {
		panic(err) // the key has another length
	}
	return aead.Seal(plain[:0], nonce[:], plain, about) // in place: plain has room for the tag
}

// decrypt opens a box, into memory of its own.
func decrypt(key Key, nonce *Nonce, box, about []byte) ([]byte, error) {
	aead, err := chacha20poly1305.NewX(key[:])
	if err != nil {
		panic(err) // the key has another length
	}
	plain, err := aead.Open(nil, nonce[:], box, about)
	if err != nil {
		return nil, errSeal()
	}
	return plain, nil
}

func errSeal() error {
	return errcode.New(errcode.BadSeal, "seal: open", "the box does not open: another key, or altered")
}

// Bulk does the work on a large box where something is faster than Go's own code: in a
// browser C with SIMD. A method that reports done as false has done nothing.
type Bulk interface {
	// Decrypt writes the plain text of a box, which is shorter by a tag.
	Decrypt(plain, box, about []byte, nonce *[24]byte, key *[32]byte) (done, valid bool)
	// Unpack writes the content of a block of Snappy, whose length in front is cut off.
	Unpack(content, block []byte) (done, valid bool)
}

// decryptBulk is decrypt by bulk, which may be nil.
func decryptBulk(bulk Bulk, key Key, nonce *Nonce, box, about []byte) ([]byte, error) {
	if bulk == nil || len(box) <= overhead {
		return decrypt(key, nonce, box, about)
	}
	plain := make([]byte, len(box)-overhead)
	switch done, valid := bulk.Decrypt(plain, box, about, (*[24]byte)(nonce), (*[32]byte)(&key)); {
	case !done:
		return decrypt(key, nonce, box, about)
	case !valid:
		return nil, errSeal()
	}
	return plain, nil
}

// draw fills a nonce. Randomness does not fail on the platforms that Heddle runs on;
// where a reader does, nothing is sealed.
func draw(random io.Reader) (n Nonce, err error) {
	_, err = io.ReadFull(random, n[:])
	return n, errcode.Wrap(err, errcode.Internal, "seal: draw a nonce")
}

// frame puts content into a padded plain text: u32 length, flag, content, zeros. It
// leaves room for a box's tag.
func frame(content []byte, least int, compress bool) ([]byte, error) {
	if len(content) > MaxContent {
		return nil, errcode.New(errcode.TooBig, "seal: frame", "a transaction is larger than what can be sealed")
	}
	flag := byte(stored)
	if compress && len(content) >= compressFrom {
		if packed := snappy.Encode(nil, content); len(packed) < len(content) {
			flag, content = compressed, packed
		}
	}
	size := pad(plainHead+len(content), least)
	plain := make([]byte, size, size+overhead)
	binary.LittleEndian.PutUint32(plain, uint32(len(content)))
	plain[4] = flag
	copy(plain[plainHead:], content)
	return plain, nil
}

// unframe undoes frame. It accepts no other padding than frame's.
func unframe(plain []byte, least int) ([]byte, error) { return unframeBulk(nil, plain, least) }

// unframeBulk is unframe by bulk, which may be nil.
func unframeBulk(bulk Bulk, plain []byte, least int) ([]byte, error) {
	bad := func(msg string) ([]byte, error) { return nil, errcode.New(errcode.BadSeal, "seal: open", msg) }
	if len(plain) < plainHead || len(plain) > maxPlain {
		return bad("a plain text has a wrong size")
	}
	n := binary.LittleEndian.Uint32(plain)
	if uint64(n) > uint64(len(plain)-plainHead) || pad(plainHead+int(n), least) != len(plain) {
		return bad("a plain text has a wrong length")
	}
	content, rest := plain[plainHead:plainHead+int(n):plainHead+int(n)], plain[plainHead+int(n):]
	if !zero(rest) {
		return bad("a plain text is not padded with zeros")
	}
	switch plain[4] {
	case stored:
		if len(content) > MaxContent {
			return bad("a content is too long")
		}
		return content, nil
	case compressed:
		size, err := snappy.DecodedLen(content)
		if err != nil || size > MaxContent || size < compressFrom || size <= len(content) {
			return bad("a compressed content has a wrong length")
		}
		if out, ok := unpack(bulk, content, size); ok {
			return out, nil
		}
		return bad("a content does not decompress")
	}
	return bad("a content is of an unknown kind")
}

// unpack returns the content of a block of Snappy, which says that it has so many bytes.
func unpack(bulk Bulk, block []byte, size int) (content []byte, ok bool) {
	content = make([]byte, size)
	if bulk != nil {
		_, head := binary.Uvarint(block)
		if done, valid := bulk.Unpack(content, block[head:]); done {
			return content, valid
		}
	}
	_, err := snappy.Decode(content, block)
	return content, err == nil
}
