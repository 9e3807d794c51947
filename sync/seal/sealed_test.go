package seal_test

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/seal"
	"heddle.dev/heddle/sync/wire"
)

func TestSealed_roundTrip(t *testing.T) {
	random := make([]byte, 300_000)
	_, _ = stream(1).Read(random)
	for _, content := range [][]byte{nil, []byte("x"), bytes.Repeat([]byte("a"), 251), bytes.Repeat([]byte("a"), 252),
		bytes.Repeat([]byte("abc"), 400), bytes.Repeat([]byte("abc"), 100_000), random} {
		for _, compress := range []bool{false, true} {
			s := sealed(t, content, compress)
			data := s.Marshal()
			back, err := seal.UnmarshalSealed(data)
			must(t, err)
			if !bytes.Equal(back.Marshal(), data) {
				t.Fatalf("%d bytes: other bytes when encoded again", len(content))
			}
			got, err := back.Decrypt(place, &key)
			must(t, err)
			if !bytes.Equal(got, content) {
				t.Errorf("%d bytes came back as %d", len(content), len(got))
			}
			signer := device(t, 10, seal.RoleWrite)
			if !valid(t, signer.Sign, back.Statement(place), back.Signature) {
				t.Errorf("%d bytes: the signature is not valid", len(content))
			}
			if data[0] != 8 {
				t.Errorf("the first byte is %d, which a plain body's may be too", data[0])
			}
		}
	}
	if n := len(sealed(t, bytes.Repeat([]byte("abc"), 100_000), true).Box); n > 50_000 {
		t.Errorf("compressed, 300,000 repeated bytes take %d", n)
	}
}

// TestSealed_sizes: neither a short text nor a few bytes more or less of a long one show.
func TestSealed_sizes(t *testing.T) {
	sizes := map[int]bool{}
	for n := range 2000 {
		sizes[len(sealed(t, make([]byte, n), false).Box)] = true
	}
	if len(sizes) > 50 {
		t.Errorf("2,000 contents have %d sizes", len(sizes))
	}
	s := &seal.Sealed{Kind: seal.KindData, Epoch: 1}
	if err := s.Encrypt(place, &key, make([]byte, seal.MaxContent+1), true, stream(1)); errcode.Of(err) != errcode.TooBig {
		t.Errorf("a content that is too long: %v", err)
	}
	noise := make([]byte, seal.MaxContent)
	_, _ = stream(2).Read(noise)
	must(t, s.Encrypt(place, &key, noise, true, stream(1)))
	if n := len(s.Marshal()); n > wire.MaxBody {
		t.Errorf("the longest content makes a body of %d bytes", n)
	}
	got, err := s.Decrypt(place, &key)
	if err != nil || !bytes.Equal(got, noise) {
		t.Errorf("the longest content does not come back: %v", err)
	}
}

// swaps change one thing that a Sealed is bound to.
var swaps = map[string]func(s *seal.Sealed, p *seal.Place, k *seal.Key){
	"nothing":         func(*seal.Sealed, *seal.Place, *seal.Key) {},
	"another space":   func(_ *seal.Sealed, p *seal.Place, _ *seal.Key) { p.Anchor[5] ^= 1 },
	"another author":  func(_ *seal.Sealed, p *seal.Place, _ *seal.Key) { p.Client[5] ^= 1 },
	"another counter": func(_ *seal.Sealed, p *seal.Place, _ *seal.Key) { p.Counter++ },
	"another device":  func(s *seal.Sealed, _ *seal.Place, _ *seal.Key) { s.Device[5] ^= 1 },
	"another prev":    func(s *seal.Sealed, _ *seal.Place, _ *seal.Key) { s.Prev[5] ^= 1 },
	"no prev":         func(s *seal.Sealed, _ *seal.Place, _ *seal.Key) { s.Prev = seal.Hash{} },
	"another epoch":   func(s *seal.Sealed, _ *seal.Place, _ *seal.Key) { s.Epoch++ },
	"another seq":     func(s *seal.Sealed, _ *seal.Place, _ *seal.Key) { s.Seen.Seq++ },
	"another chain":   func(s *seal.Sealed, _ *seal.Place, _ *seal.Key) { s.Seen.Chain[5] ^= 1 },
	"another kind":    func(s *seal.Sealed, _ *seal.Place, _ *seal.Key) { s.Kind = seal.KindMembers },
	"another nonce":   func(s *seal.Sealed, _ *seal.Place, _ *seal.Key) { s.Nonce[5] ^= 1 },
	"another box":     func(s *seal.Sealed, _ *seal.Place, _ *seal.Key) { s.Box[5] ^= 1 },
	"another key":     func(_ *seal.Sealed, _ *seal.Place, k *seal.Key) { k[5] ^= 1 },
}

// TestSealed_swaps: what is bound, and each two things, cannot be exchanged.
func TestSealed_swaps(t *testing.T) {
	signer := device(t, 10, seal.RoleWrite)
	for a, swapA := range swaps {
		for b, swapB := range swaps {
			if a == b && a != "nothing" {
				continue // the second swap may undo the first
			}
			s, p, k := sealed(t, []byte("a text"), true), place, key
			swapA(s, &p, &k)
			swapB(s, &p, &k)
			_, err := s.Decrypt(p, &k)
			if opens := a == "nothing" && b == "nothing"; (err == nil) != opens {
				t.Errorf("%s and %s: opens, %v", a, b, err)
			}
			keyAlone := (a == "nothing" || a == "another key") && (b == "nothing" || b == "another key")
			if valid(t, signer.Sign, s.Statement(p), s.Signature) != keyAlone {
				t.Errorf("%s and %s: the signature's validity is not %v", a, b, keyAlone)
			}
		}
	}
}

// TestSealed_bits: no bit of an encoded Sealed can be another.
func TestSealed_bits(t *testing.T) {
	signer := device(t, 10, seal.RoleWrite)
	data := sealed(t, []byte("a text"), true).Marshal()
	for i := range len(data) * 8 {
		altered := bytes.Clone(data)
		altered[i/8] ^= 1 << (i % 8)
		s, err := seal.UnmarshalSealed(altered)
		if err != nil {
			continue
		}
		if valid(t, signer.Sign, s.Statement(place), s.Signature) {
			t.Errorf("bit %d may be another", i)
		}
	}
}

func TestUnmarshalSealed_refuses(t *testing.T) {
	alter := func(f func(s *seal.Sealed)) []byte {
		s := sealed(t, []byte("a text"), true)
		f(s)
		return s.Marshal()
	}
	good := alter(func(*seal.Sealed) {})
	for name, data := range map[string][]byte{
		"nothing":                {},
		"a body":                 {0x1a, 0},
		"a byte too many":        append(bytes.Clone(good), 0),
		"cut short":              good[:len(good)-1],
		"a field twice":          append(bytes.Clone(good), good[len(good)-66:]...),
		"no kind":                alter(func(s *seal.Sealed) { s.Kind = 0 }),
		"an unknown kind":        alter(func(s *seal.Sealed) { s.Kind = 3 }),
		"no device":              alter(func(s *seal.Sealed) { s.Device = seal.ID{} }),
		"no epoch":               alter(func(s *seal.Sealed) { s.Epoch = 0 }),
		"a seq without a chain":  alter(func(s *seal.Sealed) { s.Seen.Chain = seal.Hash{} }),
		"a chain without a seq":  alter(func(s *seal.Sealed) { s.Seen.Seq = 0 }),
		"no nonce":               alter(func(s *seal.Sealed) { s.Nonce = seal.Nonce{} }),
		"no box":                 alter(func(s *seal.Sealed) { s.Box = nil }),
		"a box of another size":  alter(func(s *seal.Sealed) { s.Box = append(s.Box, 0) }),
		"no signature":           alter(func(s *seal.Sealed) { s.Signature = seal.Signature{} }),
		"a Change with a nonce":  alter(func(s *seal.Sealed) { s.Kind = seal.KindMembers }),
		"an epoch that is large": alter(func(s *seal.Sealed) { s.Epoch = 1<<63 + 1 }),
		"a Change that is too long": alter(func(s *seal.Sealed) {
			s.Kind, s.Nonce, s.Box = seal.KindMembers, seal.Nonce{}, make([]byte, seal.MaxChange+1)
		}),
	} {
		if _, err := seal.UnmarshalSealed(data); errcode.Of(err) != errcode.Protocol {
			t.Errorf("%s: got %v, want code %s", name, err, errcode.Protocol)
		}
	}
	if _, err := seal.UnmarshalSealed(good); err != nil {
		t.Errorf("what the others were made of: %v", err)
	}
}

func TestRecoveryCode(t *testing.T) {
	for range 2000 {
		c, err := seal.NewRecoveryCode(stream(byte(rand.N(256))))
		must(t, err)
		text := c.String()
		if len(text) != 34 || strings.Count(text, "-") != 6 {
			t.Fatalf("a code is written %q", text)
		}
		for _, typed := range []string{text, strings.ToLower(text), strings.ReplaceAll(text, "-", " "),
			strings.NewReplacer("0", "o", "1", "l", "-", "").Replace(text)} {
			if back, err := seal.ParseRecoveryCode(typed); err != nil || back != c {
				t.Fatalf("%q, typed %q: %v, %v", text, typed, back, err)
			}
		}
	}
	if code.Key("a") == code.Key("b") {
		t.Error("one code has one key in two spaces")
	}
}

// TestRecoveryCode_mistakes: each wrong symbol is found, and each two that have changed
// places.
func TestRecoveryCode_mistakes(t *testing.T) {
	const symbols = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
	text := []byte(strings.ReplaceAll(code.String(), "-", ""))
	fails := func(typed []byte) {
		t.Helper()
		if _, err := seal.ParseRecoveryCode(string(typed)); errcode.Of(err) != errcode.BadCode {
			t.Errorf("%s is read as %s: %v", typed, text, err)
		}
	}
	for i := range text {
		for _, symbol := range []byte(symbols) {
			typed := bytes.Clone(text)
			if typed[i] = symbol; symbol != text[i] {
				fails(typed)
			}
		}
		for j := range i {
			typed := bytes.Clone(text)
			if typed[i], typed[j] = typed[j], typed[i]; text[i] != text[j] {
				fails(typed)
			}
		}
		fails(append(bytes.Clone(text[:i]), text[i+1:]...))
	}
	fails(append(bytes.Clone(text), '0'))
	fails(append(bytes.Clone(text), 'U'))
	fails(nil)
}
