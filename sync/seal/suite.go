package seal

import (
	"bytes"
	"context"
)

// Suite is the cryptography that this package leaves to its platform: that with public keys is
// WebCrypto's in a browser, and package native's in a Go program.
type Suite interface {
	// Identity returns the keys of a slot.
	Identity(ctx context.Context, secret *SlotSecret) (Identity, error)
	// Verify reports for each claim whether its signature is valid.
	Verify(ctx context.Context, claims []Claim) ([]bool, error)
	// Wrap encrypts an epoch's key for who has the private key of to. info is WrapInfo's.
	Wrap(ctx context.Context, to PublicKey, info []byte, key *Key) ([WrapSize]byte, error)
	// Bulk returns what opens and unpacks large boxes faster than Go's own code; nil where nothing does.
	Bulk() Bulk
}

// Identity is a device's or a slot's private keys, which need not be readable.
type Identity interface {
	// Public returns the public keys.
	Public() (sign, box PublicKey)
	// Sign signs a statement: [Sealed.Statement], [Device.ProofStatement].
	Sign(ctx context.Context, statement []byte) (Signature, error)
	// SignAll signs several statements at once.
	SignAll(ctx context.Context, statements [][]byte) ([]Signature, error)
	// Unwrap opens a wrapped key. Errors are HEDDLE_BAD_SEAL.
	Unwrap(ctx context.Context, info []byte, wrapped *[WrapSize]byte) (*Key, error)
}

// Claim is a signature with what it is said to be of: see [Claim.Signed].
type Claim struct {
	Key       PublicKey
	Statement []byte // unless it is a Sealed's
	Signature Signature
	sealed    *Sealed
	digest    Hash // the Sealed's
}

// Signed returns the statement that the signature is said to be of. That of a batch takes some hashes, which are not
// spent on a claim that nobody verifies.
func (c *Claim) Signed() []byte {
	if c.sealed != nil {
		return signedStatement(c.sealed.root(c.digest))
	}
	return c.Statement
}

// Is reports whether two claims are the same.
func (c *Claim) Is(other Claim) bool {
	return c.Key == other.Key && c.Signature == other.Signature && bytes.Equal(c.Signed(), other.Signed())
}
