package main

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"

	sqlite3_wasm "github.com/ncruces/go-sqlite3-wasm/v6"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/leader"
	"heddle.dev/heddle/jsbridge"
	"heddle.dev/heddle/sync/seal"
)

// keyringOf returns the worker's key ring. The part of the program for sealed spaces is there.
func keyringOf(host *jsbridge.Host) (leader.Keyring, error) {
	keys, err := host.Keyring()
	if err != nil {
		return nil, errcode.Wrap(err, errcode.Internal, "keys")
	}
	return &keyring{keys}, nil
}

// keyring is WebCrypto and IndexedDB as package leader wants them.
type keyring struct{ js *jsbridge.Keyring }

var _ leader.Keyring = (*keyring)(nil)

// Bulk implements seal.Suite.
func (k *keyring) Bulk() seal.Bulk { return sqlite3_wasm.Boxes{} }

// call calls a method whose answer has so many bytes; -1 is any number.
func (k *keyring) call(ctx context.Context, size int, method string, args ...any) ([]byte, error) {
	answer, err := k.js.Call(ctx, method, args...)
	var thrown *jsbridge.Error
	switch {
	case errors.As(err, &thrown) && thrown.Code != "":
		return nil, errcode.New(thrown.Code, "keys: "+method, thrown.Message)
	case err != nil:
		return nil, errcode.Wrap(err, errcode.Internal, "keys: "+method)
	case size >= 0 && len(answer) != size:
		return nil, errcode.New(errcode.Internal, "keys: "+method, "the worker answers with another number of bytes")
	}
	return answer, nil
}

// The worker's identities are numbered: the first is the device's.

// identity is one of the worker's.
type identity struct {
	*keyring
	number    int
	sign, box seal.PublicKey
}

func (k *keyring) identity(answer []byte) *identity {
	id := &identity{keyring: k, number: int(answer[0])}
	copy(id.sign[:], answer[1:])
	copy(id.box[:], answer[1+len(id.sign):])
	return id
}

const identitySize = 1 + 2*len(seal.PublicKey{})

func (i *identity) Public() (sign, box seal.PublicKey) { return i.sign, i.box }

func (i *identity) Sign(ctx context.Context, statement []byte) (s seal.Signature, err error) {
	all, err := i.SignAll(ctx, [][]byte{statement})
	if err != nil {
		return s, err
	}
	return all[0], nil
}

func (i *identity) SignAll(ctx context.Context, statements [][]byte) ([]seal.Signature, error) {
	var packed []byte
	for _, statement := range statements {
		packed = appendLong(packed, statement)
	}
	all := make([]seal.Signature, len(statements))
	answer, err := i.call(ctx, len(all)*len(seal.Signature{}), "sign", i.number, packed)
	if err != nil {
		return nil, err
	}
	for n := range all {
		copy(all[n][:], answer[n*len(all[n]):])
	}
	return all, nil
}

// appendLong appends a text with its length before it, as the worker reads it.
func appendLong(b, text []byte) []byte {
	return append(binary.LittleEndian.AppendUint32(b, uint32(len(text))), text...)
}

func (i *identity) Unwrap(ctx context.Context, info []byte, wrapped *[seal.WrapSize]byte) (*seal.Key, error) {
	key := &seal.Key{}
	answer, err := i.call(ctx, len(key), "unwrap", i.number, info, wrapped[:])
	copy(key[:], answer)
	return key, err
}

func (k *keyring) Device(ctx context.Context) (seal.Identity, error) {
	answer, err := k.call(ctx, identitySize, "device")
	if err != nil {
		return nil, err
	}
	return k.identity(answer), nil
}

func (k *keyring) Identity(ctx context.Context, secret *seal.SlotSecret) (seal.Identity, error) {
	answer, err := k.call(ctx, identitySize, "identity", secret.SignSeed[:], secret.BoxKey[:])
	if err != nil {
		return nil, err
	}
	return k.identity(answer), nil
}

func (k *keyring) Verify(ctx context.Context, claims []seal.Claim) ([]bool, error) {
	var packed []byte // of each: key, signature, length of the statement, statement
	for i := range claims {
		c := &claims[i]
		packed = append(append(packed, c.Key[:]...), c.Signature[:]...)
		packed = appendLong(packed, c.Signed())
	}
	answer, err := k.call(ctx, len(claims), "verify", packed)
	if err != nil {
		return nil, err
	}
	valid := make([]bool, len(claims))
	for i := range valid {
		valid[i] = answer[i] == 1
	}
	return valid, nil
}

func (k *keyring) Wrap(
	ctx context.Context, to seal.PublicKey, info []byte, key *seal.Key,
) (wrapped [seal.WrapSize]byte, err error) {
	answer, err := k.call(ctx, len(wrapped), "wrap", to[:], info, key[:])
	copy(wrapped[:], answer)
	return wrapped, err
}

func (k *keyring) Load(ctx context.Context) ([]byte, error) { return k.call(ctx, -1, "load") }

func (k *keyring) Save(ctx context.Context, data []byte) error {
	_, err := k.call(ctx, 0, "save", data)
	return err
}

func (k *keyring) Conceal(ctx context.Context, text string) (string, error) {
	answer, err := k.call(ctx, -1, "conceal", []byte(text))
	return base64.RawURLEncoding.EncodeToString(answer), err
}

func (k *keyring) Reveal(ctx context.Context, concealed string) (string, error) {
	data, err := base64.RawURLEncoding.DecodeString(concealed)
	if err != nil {
		return "", errcode.New(errcode.BadSeal, "keys: reveal", "what the page has sent is not concealed")
	}
	answer, err := k.call(ctx, -1, "reveal", data)
	return string(answer), err
}
