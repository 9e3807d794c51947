// Package native is the cryptography with public keys of sealed spaces for Go
// programs: the standard library's Ed25519 and HPKE. A browser's program does not link
// it: there, WebCrypto has the keys.
package native

import (
	"context"
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/hpke"
	"crypto/rand"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/seal"
)

// Suite implements seal.Suite.
type Suite struct{}

var (
	_    seal.Suite    = Suite{}
	_    seal.Identity = (*identity)(nil)
	kem                = hpke.DHKEM(ecdh.X25519())
	kdf                = hpke.HKDFSHA256()
	aead               = hpke.AES256GCM()
)

type identity struct {
	sign ed25519.PrivateKey
	box  hpke.PrivateKey
}

// NewIdentity draws two key pairs.
func (Suite) NewIdentity(context.Context) (seal.Identity, error) {
	const op = "seal: new keys"
	_, sign, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, errcode.Wrap(err, errcode.Internal, op)
	}
	box, err := kem.GenerateKey()
	if err != nil {
		return nil, errcode.Wrap(err, errcode.Internal, op)
	}
	return &identity{sign, box}, nil
}

// Bulk returns nil: Go's own code has assembly here.
func (Suite) Bulk() seal.Bulk { return nil }

// Identity returns a slot's keys.
func (Suite) Identity(_ context.Context, secret *seal.SlotSecret) (seal.Identity, error) {
	box, err := kem.NewPrivateKey(secret.BoxKey[:])
	if err != nil {
		return nil, errcode.Wrap(err, errcode.BadSeal, "seal: a slot's keys")
	}
	return &identity{ed25519.NewKeyFromSeed(secret.SignSeed[:]), box}, nil
}

// Verify reports for each claim whether its signature is valid.
func (Suite) Verify(ctx context.Context, claims []seal.Claim) ([]bool, error) {
	valid := make([]bool, len(claims))
	for i, c := range claims {
		if err := ctx.Err(); err != nil {
			return nil, errcode.Wrap(err, errcode.Internal, "seal: verify")
		}
		valid[i] = ed25519.Verify(c.Key[:], c.Signed(), c.Signature[:])
	}
	return valid, nil
}

// Wrap encrypts an epoch's key for a device or a slot.
func (Suite) Wrap(_ context.Context, to seal.PublicKey, info []byte, key *seal.Key) (w [seal.WrapSize]byte, err error) {
	const op = "seal: wrap a key"
	public, err := kem.NewPublicKey(to[:])
	if err != nil {
		return w, errcode.Wrap(err, errcode.Protocol, op)
	}
	sealed, err := hpke.Seal(public, kdf, aead, info, key[:])
	if err != nil {
		return w, errcode.Wrap(err, errcode.Protocol, op) // a key of a small order
	}
	return [seal.WrapSize]byte(sealed), nil
}

func (i *identity) Public() (sign, box seal.PublicKey) {
	return seal.PublicKey(i.sign.Public().(ed25519.PublicKey)), seal.PublicKey(i.box.PublicKey().Bytes())
}

func (i *identity) Sign(_ context.Context, statement []byte) (seal.Signature, error) {
	return seal.Signature(ed25519.Sign(i.sign, statement)), nil
}

func (i *identity) SignAll(ctx context.Context, statements [][]byte) (all []seal.Signature, err error) {
	for _, statement := range statements {
		if err := ctx.Err(); err != nil {
			return nil, errcode.Wrap(err, errcode.Internal, "seal: sign")
		}
		all = append(all, seal.Signature(ed25519.Sign(i.sign, statement)))
	}
	return all, nil
}

func (i *identity) Unwrap(_ context.Context, info []byte, wrapped *[seal.WrapSize]byte) (*seal.Key, error) {
	plain, err := hpke.Open(i.box, kdf, aead, info, wrapped[:])
	if err != nil {
		return nil, errcode.Wrap(err, errcode.BadSeal, "seal: unwrap a key")
	}
	if len(plain) != len(seal.Key{}) {
		return nil, errcode.New(errcode.BadSeal, "seal: unwrap a key", "the key has another length")
	}
	return (*seal.Key)(plain), nil
}
