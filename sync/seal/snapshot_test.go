package seal_test

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"

	"github.com/golang/snappy"
	"golang.org/x/crypto/chacha20poly1305"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/seal"
	"heddle.dev/heddle/sync/wire"
)

const manifestEpoch = 3

// chunk returns a sealed chunk as a manifest names it, and its bytes.
func chunk(t testing.TB, content []byte, n byte) (seal.Chunk, []byte) {
	t.Helper()
	data, err := seal.SealChunk(anchor, &key, manifestEpoch, content, false, stream(n))
	must(t, err)
	return seal.Chunk{Hash: seal.HashChunk(data), Epoch: manifestEpoch, Size: uint64(len(data)), Rows: 2}, data
}

func summary() *seal.Summary {
	return &seal.Summary{Digest: fill[seal.Hash](70), Rows: 4, Schema: []byte{10, 3, 10, 1, 't'},
		Ranges: []seal.Range{{Table: "a", Key: []byte{3, 1, 'x'}}, {Table: "b", Key: []byte{3, 1, 'y'}}},
		Clients: []seal.SavedClient{{ID: wire.ClientID(fill[[16]byte](71)), Device: fill[seal.ID](72), Counter: 9,
			Last: fill[seal.Hash](73)}, {ID: wire.ClientID(fill[[16]byte](74)), Device: fill[seal.ID](75)}}}
}

// manifest returns a manifest of device 10 that has every field.
func manifest(t testing.TB) *seal.Manifest {
	t.Helper()
	d := device(t, 10, seal.RoleWrite)
	first, _ := chunk(t, []byte("rows"), 76)
	second, _ := chunk(t, []byte("more rows"), 77)
	m := &seal.Manifest{Device: d.ID(), Epoch: manifestEpoch, At: seal.Position{Seq: 512, Chain: fill[seal.Hash](78)},
		Members: fill[seal.Hash](79), Chunks: []seal.Chunk{first, second}}
	must(t, m.Encrypt(anchor, &key, summary(), false, stream(80)))
	m.Signature = sign(t, identity(t, 10), m.Statement(anchor))
	return m
}

func TestManifest_roundTrip(t *testing.T) {
	m := manifest(t)
	data := m.Marshal()
	back, err := seal.UnmarshalManifest(data)
	must(t, err)
	if !bytes.Equal(back.Marshal(), data) || back.ID(anchor) != m.ID(anchor) {
		t.Fatal("other bytes when encoded again, or another name")
	}
	s, err := back.Decrypt(anchor, &key)
	must(t, err)
	want := summary()
	if s.Digest != want.Digest || s.Rows != want.Rows || !bytes.Equal(s.Schema, want.Schema) ||
		!slices.Equal(s.Clients, want.Clients) || len(s.Ranges) != 2 || s.Ranges[1].Table != "b" {
		t.Errorf("got %+v", s)
	}
	d := device(t, 10, seal.RoleWrite)
	if !valid(t, d.Sign, back.Statement(anchor), back.Signature) {
		t.Error("the signature is not valid")
	}
	if n := back.Size(); n != int64(m.Chunks[0].Size+m.Chunks[1].Size) {
		t.Errorf("the chunks have %d bytes", n)
	}
}

// manifestSwaps change one thing that a manifest is bound to.
var manifestSwaps = map[string]func(m *seal.Manifest, a *seal.Anchor, k *seal.Key){
	"nothing":          func(*seal.Manifest, *seal.Anchor, *seal.Key) {},
	"another space":    func(_ *seal.Manifest, a *seal.Anchor, _ *seal.Key) { a[5] ^= 1 },
	"another device":   func(m *seal.Manifest, _ *seal.Anchor, _ *seal.Key) { m.Device[5] ^= 1 },
	"another epoch":    func(m *seal.Manifest, _ *seal.Anchor, _ *seal.Key) { m.Epoch++ },
	"another seq":      func(m *seal.Manifest, _ *seal.Anchor, _ *seal.Key) { m.At.Seq++ },
	"another chain":    func(m *seal.Manifest, _ *seal.Anchor, _ *seal.Key) { m.At.Chain[5] ^= 1 },
	"other members":    func(m *seal.Manifest, _ *seal.Anchor, _ *seal.Key) { m.Members[5] ^= 1 },
	"a chunk less":     func(m *seal.Manifest, _ *seal.Anchor, _ *seal.Key) { m.Chunks = m.Chunks[:1] },
	"chunks exchanged": func(m *seal.Manifest, _ *seal.Anchor, _ *seal.Key) { slices.Reverse(m.Chunks) },
	"another chunk":    func(m *seal.Manifest, _ *seal.Anchor, _ *seal.Key) { m.Chunks[0].Hash[5] ^= 1 },
	"a chunk's epoch":  func(m *seal.Manifest, _ *seal.Anchor, _ *seal.Key) { m.Chunks[0].Epoch-- },
	"a chunk's size":   func(m *seal.Manifest, _ *seal.Anchor, _ *seal.Key) { m.Chunks[0].Size++ },
	"a chunk's rows":   func(m *seal.Manifest, _ *seal.Anchor, _ *seal.Key) { m.Chunks[0].Rows++ },
	"another nonce":    func(m *seal.Manifest, _ *seal.Anchor, _ *seal.Key) { m.Nonce[5] ^= 1 },
	"another box":      func(m *seal.Manifest, _ *seal.Anchor, _ *seal.Key) { m.Box[5] ^= 1 },
	"another key":      func(_ *seal.Manifest, _ *seal.Anchor, k *seal.Key) { k[5] ^= 1 },
}

// TestManifest_swaps: what is bound, and each two things, cannot be exchanged.
func TestManifest_swaps(t *testing.T) {
	signer := device(t, 10, seal.RoleWrite)
	for a, swapA := range manifestSwaps {
		for b, swapB := range manifestSwaps {
			if a == b && a != "nothing" {
				continue // the second swap may undo the first
			}
			m, of, k := manifest(t), anchor, key
			swapA(m, &of, &k)
			swapB(m, &of, &k)
			_, err := m.Decrypt(of, &k)
			if opens := a == "nothing" && b == "nothing"; (err == nil) != opens {
				t.Errorf("%s and %s: opens, %v", a, b, err)
			}
			keyAlone := (a == "nothing" || a == "another key") && (b == "nothing" || b == "another key")
			if valid(t, signer.Sign, m.Statement(of), m.Signature) != keyAlone {
				t.Errorf("%s and %s: the signature's validity is not %v", a, b, keyAlone)
			}
			if (m.ID(of) == manifest(t).ID(anchor)) != keyAlone {
				t.Errorf("%s and %s: the name is that of another", a, b)
			}
		}
	}
}

// TestManifest_bits: no bit of an encoded manifest can be another.
func TestManifest_bits(t *testing.T) {
	signer := device(t, 10, seal.RoleWrite)
	data := manifest(t).Marshal()
	for i := range len(data) * 8 {
		altered := bytes.Clone(data)
		altered[i/8] ^= 1 << (i % 8)
		m, err := seal.UnmarshalManifest(altered)
		if err != nil {
			continue
		}
		if valid(t, signer.Sign, m.Statement(anchor), m.Signature) {
			t.Errorf("bit %d may be another", i)
		}
	}
}

func TestUnmarshalManifest_refuses(t *testing.T) {
	alter := func(f func(m *seal.Manifest)) []byte {
		m := manifest(t)
		f(m)
		return m.Marshal()
	}
	good := alter(func(*seal.Manifest) {})
	for name, data := range map[string][]byte{
		"nothing":           {},
		"a byte too many":   append(bytes.Clone(good), 0),
		"cut short":         good[:len(good)-1],
		"no device":         alter(func(m *seal.Manifest) { m.Device = seal.ID{} }),
		"no epoch":          alter(func(m *seal.Manifest) { m.Epoch = 0 }),
		"no entry":          alter(func(m *seal.Manifest) { m.At.Seq = 0 }),
		"no chain":          alter(func(m *seal.Manifest) { m.At.Chain = seal.Hash{} }),
		"no members":        alter(func(m *seal.Manifest) { m.Members = seal.Hash{} }),
		"no nonce":          alter(func(m *seal.Manifest) { m.Nonce = seal.Nonce{} }),
		"no box":            alter(func(m *seal.Manifest) { m.Box = nil }),
		"no signature":      alter(func(m *seal.Manifest) { m.Signature = seal.Signature{} }),
		"a chunk unnamed":   alter(func(m *seal.Manifest) { m.Chunks[0].Hash = seal.Hash{} }),
		"a chunk of later":  alter(func(m *seal.Manifest) { m.Chunks[0].Epoch = manifestEpoch + 1 }),
		"an empty chunk":    alter(func(m *seal.Manifest) { m.Chunks[0].Rows = 0 }),
		"a chunk too small": alter(func(m *seal.Manifest) { m.Chunks[0].Size = 40 }),
		"a chunk too large": alter(func(m *seal.Manifest) { m.Chunks[0].Size = seal.MaxChunk + 1 }),
		"a row too large": alter(func(m *seal.Manifest) {
			m.Chunks[0].Size, m.Chunks[0].Rows = seal.MaxLargeChunk+1, 1
		}),
		"too many chunks": alter(func(m *seal.Manifest) {
			m.Chunks = slices.Repeat(m.Chunks[:1], seal.MaxChunks+1)
		}),
	} {
		if _, err := seal.UnmarshalManifest(data); errcode.Of(err) != errcode.Protocol {
			t.Errorf("%s: got %v, want code %s", name, err, errcode.Protocol)
		}
	}
	for name, data := range map[string][]byte{
		"what the others were made of": good,
		"no chunks":                    alter(func(m *seal.Manifest) { m.Chunks = nil }),
		"a large row": alter(func(m *seal.Manifest) {
			m.Chunks[0].Size, m.Chunks[0].Rows = seal.MaxLargeChunk, 1
		}),
	} {
		if _, err := seal.UnmarshalManifest(data); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestManifest_summaries: a member who seals nonsense is found out.
func TestManifest_summaries(t *testing.T) {
	for name, change := range map[string]func(*seal.Summary){
		"a range less":        func(s *seal.Summary) { s.Ranges = s.Ranges[:1] },
		"other rows":          func(s *seal.Summary) { s.Rows++ },
		"no digest":           func(s *seal.Summary) { s.Digest = seal.Hash{} },
		"a range of no table": func(s *seal.Summary) { s.Ranges[0].Table = "" },
		"a range of no key":   func(s *seal.Summary) { s.Ranges[0].Key = nil },
		"no client":           func(s *seal.Summary) { s.Clients[0].ID = wire.ClientID{} },
		"no client's device":  func(s *seal.Summary) { s.Clients[0].Device = seal.ID{} },
		"a counter alone":     func(s *seal.Summary) { s.Clients[0].Last = seal.Hash{} },
		"a digest alone":      func(s *seal.Summary) { s.Clients[0].Counter = 0 },
	} {
		m, s := manifest(t), summary()
		change(s)
		must(t, m.Encrypt(anchor, &key, s, false, stream(1)))
		if _, err := m.Decrypt(anchor, &key); errcode.Of(err) != errcode.Protocol {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestChunk(t *testing.T) {
	noise := make([]byte, seal.MaxChunk/2)
	_, _ = stream(3).Read(noise)
	for _, content := range [][]byte{[]byte("x"), bytes.Repeat([]byte("rows "), 1000), noise} {
		for _, compress := range []bool{false, true} {
			data, err := seal.SealChunk(anchor, &key, 2, content, compress, stream(4))
			must(t, err)
			k := seal.Chunk{Hash: seal.HashChunk(data), Epoch: 2, Size: uint64(len(data)), Rows: 1}
			for _, b := range []seal.Bulk{nil, bulk{}, bulk{works: true}} {
				if got, err := k.Open(anchor, &key, data, b); err != nil || !bytes.Equal(got, content) {
					t.Errorf("%d bytes come back as %d by %+v: %v", len(content), len(got), b, err)
				}
			}
		}
	}
	large := make([]byte, wire.MaxRow+wire.MaxKey)
	_, _ = stream(5).Read(large)
	data, err := seal.SealChunk(anchor, &key, 2, large, true, stream(4))
	if must(t, err); len(data) > seal.MaxLargeChunk {
		t.Errorf("the largest row takes %d bytes", len(data))
	}
}

// bulk works as Go's own code does, or does nothing.
type bulk struct{ works bool }

func (b bulk) Decrypt(plain, box, about []byte, nonce *[24]byte, key *[32]byte) (done, valid bool) {
	aead, err := chacha20poly1305.NewX(key[:])
	if !b.works || err != nil {
		return false, false
	}
	opened, err := aead.Open(nil, nonce[:], box, about)
	return true, copy(plain, opened) == len(plain) && err == nil
}

func (b bulk) Unpack(content, block []byte) (done, valid bool) {
	_, err := snappy.Decode(content, append(binary.AppendUvarint(nil, uint64(len(content))), block...))
	return b.works, err == nil
}

// TestChunk_unpacked: content that does not unpack is a member's fault, whoever unpacks it.
func TestChunk_unpacked(t *testing.T) {
	packed, err := seal.Frame(bytes.Repeat([]byte("rows "), 1000), 256, true)
	must(t, err)
	for _, b := range []seal.Bulk{nil, bulk{}, bulk{works: true}} {
		if _, err := seal.UnframeBulk(b, packed, 256); err != nil {
			t.Fatal(err)
		}
	}
	packed[7] = 0xff // a copy from before the beginning
	for _, b := range []seal.Bulk{nil, bulk{}, bulk{works: true}} {
		if _, err := seal.UnframeBulk(b, packed, 256); errcode.Of(err) != errcode.BadSeal {
			t.Errorf("by %+v: %v", b, err)
		}
	}
}

// TestChunk_bits: no bit of a chunk can be another, and neither can what it is bound to.
func TestChunk_bits(t *testing.T) {
	k, data := chunk(t, []byte("rows"), 76)
	for i := range len(data) * 8 {
		altered := bytes.Clone(data)
		altered[i/8] ^= 1 << (i % 8)
		if _, err := k.Open(anchor, &key, altered, nil); errcode.Of(err) != errcode.Damaged {
			t.Errorf("bit %d may be another: %v", i, err)
		}
		named := k
		named.Hash = seal.HashChunk(altered) // by one who signs it
		for _, b := range []seal.Bulk{nil, bulk{}, bulk{works: true}} {
			if _, err := named.Open(anchor, &key, altered, b); errcode.Of(err) != errcode.BadSeal {
				t.Errorf("bit %d may be another for who knows no key: %v", i, err)
			}
		}
	}
	other, otherData := chunk(t, []byte("rows"), 77)
	if _, err := k.Open(anchor, &key, otherData, nil); errcode.Of(err) != errcode.Damaged || other.Hash == k.Hash {
		t.Errorf("another chunk in its place: %v", err)
	}
	space, epoch, secret := anchor, k, key
	space[5] ^= 1
	epoch.Epoch++
	secret[5] ^= 1
	for name, open := range map[string]func() ([]byte, error){
		"another space": func() ([]byte, error) { return k.Open(space, &key, data, nil) },
		"another epoch": func() ([]byte, error) { return epoch.Open(anchor, &key, data, nil) },
		"another key":   func() ([]byte, error) { return k.Open(anchor, &secret, data, nil) },
	} {
		if _, err := open(); errcode.Of(err) != errcode.BadSeal {
			t.Errorf("%s: %v", name, err)
		}
	}
}
