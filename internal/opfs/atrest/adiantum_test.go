package atrest

import (
	"bytes"
	"math/rand/v2"
	"testing"

	library "lukechampine.com/adiantum"
)

// TestAdiantum_library compares it with the library's.
func TestAdiantum_library(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	random := func(n int) []byte {
		p := make([]byte, n)
		for i := range p {
			p[i] = byte(r.Uint32())
		}
		return p
	}
	for i := range 500 {
		key := Key(random(KeySize))
		plain, tweak := random(16+r.IntN(5000)), random(r.IntN(25))
		if i%4 == 0 {
			plain = plain[:16]
		}
		want := library.New(key[:]).Encrypt(bytes.Clone(plain), tweak)
		c := newAdiantum(key, nil).mode
		got := c.Encrypt(bytes.Clone(plain), tweak)
		if !bytes.Equal(got, want) {
			t.Fatalf("%d bytes, a tweak of %d: encrypted otherwise", len(plain), len(tweak))
		}
		if got = c.Decrypt(got, tweak); !bytes.Equal(got, plain) {
			t.Fatalf("%d bytes, a tweak of %d: decrypted otherwise", len(plain), len(tweak))
		}
	}
}

func BenchmarkAdiantum_library(b *testing.B) {
	c := library.New(make([]byte, KeySize))
	p, t := make([]byte, BlockSize), make([]byte, 16)
	b.SetBytes(BlockSize)
	for b.Loop() {
		c.Encrypt(p, t)
	}
}
