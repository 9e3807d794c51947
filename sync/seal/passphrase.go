package seal

import (
	"context"
	"io"
	"strconv"

	"heddle.dev/heddle/internal/errcode"
)

// KDF are the parameters of Argon2id (RFC 9106), version 0x13, with one lane and 32
// bytes of result, by which a passphrase becomes a key. They stand in the open: they are
// needed before anything can be opened.
type KDF struct {
	Time   uint64 // passes
	Memory uint64 // KiB
	Salt   [16]byte
}

// Beyond these bounds nothing is computed: whoever answers in the place of a server says
// which parameters a slot has. Cheaper ones would be a text to guess at, dearer ones
// would take a device's memory or time.
const (
	LeastKDFTime   = 2
	MostKDFTime    = 16
	LeastKDFMemory = 19 << 10 // KiB
	MostKDFMemory  = 256 << 10
)

// What new slots have: RFC 9106, section 4, recommends it where memory is short.
const (
	newKDFTime   = 3
	newKDFMemory = 64 << 10
)

// Limits of the format: a later version of Heddle may compute more than this one does.
const (
	maxKDFTime   = 1 << 10
	maxKDFMemory = 1 << 22
)

// LeastPassphrase is the fewest characters of a new passphrase, in NFC.
const LeastPassphrase = 12

// Stretch computes Argon2id of a passphrase, whose text is in NFC and in UTF-8. The
// parameters are within the bounds.
type Stretch func(context.Context, *KDF) (*Key, error)

// NewKDF returns the parameters of a new slot.
func NewKDF(random io.Reader) (*KDF, error) {
	k := &KDF{Time: newKDFTime, Memory: newKDFMemory}
	_, err := io.ReadFull(random, k.Salt[:])
	return k, errcode.Wrap(err, errcode.Internal, "seal: draw a salt")
}

func (k *KDF) fields(c *coder) {
	c.uint(1, &k.Time, maxKDFTime)
	c.uint(2, &k.Memory, maxKDFMemory)
	c.fixed(3, k.Salt[:])
	c.demand(k.Time != 0 && k.Memory != 0 && !zero(k.Salt[:]), "parameter of a passphrase")
}

// Key returns the key of a passphrase's slot in a space; code is nil, or what the slot
// needs as well. HEDDLE_BAD_PASSPHRASE: the parameters are beyond the bounds, and nothing
// was computed.
func (k *KDF) Key(ctx context.Context, space string, stretch Stretch, code *RecoveryCode) (*Key, error) {
	if k.Time < LeastKDFTime || k.Time > MostKDFTime || k.Memory < LeastKDFMemory || k.Memory > MostKDFMemory {
		return nil, errcode.New(errcode.BadPassphrase, "seal: passphrase", "Argon2id with "+
			strconv.FormatUint(k.Time, 10)+" passes over "+strconv.FormatUint(k.Memory, 10)+" KiB is not computed here")
	}
	stretched, err := stretch(ctx, k)
	if err != nil {
		return nil, err
	}
	about := lengthed([]byte(space))
	if code == nil {
		key := Key(keyed(stretched[:], labelPassphrase, about))
		return &key, nil
	}
	key := Key(keyed(stretched[:], labelBoth, append(about, code[:]...)))
	return &key, nil
}
