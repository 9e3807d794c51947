package seal_test

import (
	"fmt"
	"testing"

	"heddle.dev/heddle/sync/seal"
)

// BenchmarkSealed is what a transaction costs beside its signature.
func BenchmarkSealed(b *testing.B) {
	for _, size := range []int{200, 20_000} {
		content := make([]byte, size)
		_, _ = stream(1).Read(content)
		b.Run(fmt.Sprintf("encrypt/%d", size), func(b *testing.B) {
			s := &seal.Sealed{Kind: seal.KindData, Device: seal.ID{1}, Epoch: 1}
			random := stream(2)
			b.SetBytes(int64(size))
			for b.Loop() {
				must(b, s.Encrypt(place, &key, content, false, random))
			}
		})
		s := sealed(b, content, false)
		b.Run(fmt.Sprintf("decrypt/%d", size), func(b *testing.B) {
			b.SetBytes(int64(size))
			for b.Loop() {
				_, err := s.Decrypt(place, &key)
				must(b, err)
			}
		})
		b.Run(fmt.Sprintf("statement/%d", size), func(b *testing.B) {
			b.SetBytes(int64(size))
			for b.Loop() {
				s.Statement(place)
			}
		})
	}
}

// BenchmarkLog_Judge is one entry, with and without its signature.
func BenchmarkLog_Judge(b *testing.B) {
	f := newFounder(b)
	e := f.entry(f.client, 1, &seal.Sealed{Kind: seal.KindData})
	unsigned := seal.Checks{Valid: func(seal.Claim) bool { return true }}
	for name, c := range map[string]seal.Checks{"verified": checks, "vouched for": unsigned} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if v := f.log.Judge(e, c); v.Stop != "" {
					b.Fatal(v)
				}
			}
		})
	}
}
