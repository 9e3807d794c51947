package replica

import "testing"

func FuzzDecodeRefs(f *testing.F) {
	f.Add([]byte{})
	f.Add(appendRef(appendRef(nil, ref{1, 0}), ref{1 << 40, 300}))
	f.Add([]byte{0x80})
	f.Fuzz(func(t *testing.T, data []byte) {
		refs, err := decodeRefs(data)
		if err != nil {
			return
		}
		var again []byte
		for _, r := range refs {
			again = appendRef(again, r)
		}
		if more, err := decodeRefs(again); err != nil || len(more) != len(refs) {
			t.Errorf("%x: %v became %v (%v)", data, refs, more, err)
		}
	})
}
