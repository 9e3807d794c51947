package native

import (
	"context"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
	"golang.org/x/text/unicode/norm"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/seal"
)

// Stretch returns what computes Argon2id of a passphrase. A computation that has begun
// does not end early: it takes a second or so.
func Stretch(passphrase string) seal.Stretch {
	text := norm.NFC.Bytes([]byte(passphrase))
	return func(ctx context.Context, k *seal.KDF) (*seal.Key, error) {
		if err := ctx.Err(); err != nil {
			return nil, errcode.Wrap(err, errcode.Aborted, "seal: passphrase")
		}
		key := argon2.IDKey(text, k.Salt[:], uint32(k.Time), uint32(k.Memory), 1, uint32(len(seal.Key{})))
		return (*seal.Key)(key), nil
	}
}

// CheckPassphrase fails where a passphrase is too short to be a new one:
// HEDDLE_BAD_PASSPHRASE.
func CheckPassphrase(passphrase string) error {
	if utf8.RuneCount(norm.NFC.Bytes([]byte(passphrase))) < seal.LeastPassphrase {
		return errcode.New(errcode.BadPassphrase, "seal: passphrase", "a passphrase has at least 12 characters")
	}
	return nil
}
