package seal_test

import (
	"bytes"
	"testing"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/seal"
	"heddle.dev/heddle/sync/wire"
)

// FuzzUnmarshalSealed: what decodes encodes again to the same bytes, and nothing that
// is not what was sealed opens.
func FuzzUnmarshalSealed(f *testing.F) {
	good := sealed(f, []byte("a text"), true).Marshal()
	f.Add(good)
	f.Add(sealed(f, bytes.Repeat([]byte("abc"), 1000), true).Marshal())
	f.Add((&seal.Sealed{Kind: seal.KindMembers, Device: seal.ID{1}, Epoch: 1, Box: change(f).Marshal(),
		Signature: seal.Signature{2}}).Marshal())
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := seal.UnmarshalSealed(data)
		if err != nil {
			if errcode.Of(err) != errcode.Protocol {
				t.Fatalf("code %s", errcode.Of(err))
			}
			return
		}
		if again := s.Marshal(); !bytes.Equal(again, data) {
			t.Fatalf("decodes, and encodes to %x", again)
		}
		if s.Kind != seal.KindData {
			return
		}
		// The signature alone may differ: the box does not cover it.
		original, _ := seal.UnmarshalSealed(good)
		if _, err := s.Decrypt(place, &key); err == nil && bytes.Equal(s.Box, original.Box) {
			if original.Signature = s.Signature; !bytes.Equal(original.Marshal(), data) {
				t.Fatal("an altered Sealed opens")
			}
		}
	})
}

// FuzzUnmarshalChange: what decodes encodes again to the same bytes.
func FuzzUnmarshalChange(f *testing.F) {
	f.Add(change(f).Marshal())
	f.Add((&seal.Change{Prev: seal.Hash{1}, Remove: []seal.ID{{1}}}).Marshal())
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := seal.UnmarshalChange(data)
		if err != nil {
			if errcode.Of(err) != errcode.Protocol {
				t.Fatalf("code %s", errcode.Of(err))
			}
			return
		}
		if again := c.Marshal(); !bytes.Equal(again, data) {
			t.Fatalf("decodes, and encodes to %x", again)
		}
	})
}

// FuzzUnmarshalHead: what decodes encodes again to the same bytes, and is signed only where it is what was.
func FuzzUnmarshalHead(f *testing.F) {
	good := head(f)
	f.Add(good.Marshal())
	f.Add((&seal.Head{Device: seal.ID{1}, N: 1, At: seal.Position{Seq: 1, Chain: seal.Hash{1}},
		Signature: good.Signature}).Marshal())
	by := device(f, 10, seal.RoleRead)
	f.Fuzz(func(t *testing.T, data []byte) {
		h, err := seal.UnmarshalHead(data)
		if err != nil {
			if errcode.Of(err) != errcode.Protocol {
				t.Fatalf("code %s", errcode.Of(err))
			}
			return
		}
		if again := h.Marshal(); !bytes.Equal(again, data) {
			t.Fatalf("decodes, and encodes to %x", again)
		}
		if !bytes.Equal(data, good.Marshal()) && valid(t, by.Sign, h.Statement(anchor), h.Signature) {
			t.Fatal("an altered Head is signed")
		}
	})
}

// FuzzUnmarshalEvidence: what decodes encodes again to the same bytes, and holds only where it is what was signed.
func FuzzUnmarshalEvidence(f *testing.F) {
	good := evidence(f).Marshal()
	f.Add(good)
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := seal.UnmarshalEvidence(data)
		if err != nil {
			if errcode.Of(err) != errcode.Protocol {
				t.Fatalf("code %s", errcode.Of(err))
			}
			return
		}
		if again := e.Marshal(); !bytes.Equal(again, data) {
			t.Fatalf("decodes, and encodes to %x", again)
		}
		if _, err := e.Check(t.Context(), suite); err == nil && !bytes.Equal(data, good) {
			t.Fatal("altered evidence holds")
		}
	})
}

// FuzzUnframe: a plain text that a member has made is content, or refused; content
// goes through unchanged.
func FuzzUnframe(f *testing.F) {
	f.Add([]byte{1, 0, 0, 0, 0, 'x'}, false)
	f.Add(bytes.Repeat([]byte("abc"), 1000), true)
	f.Add([]byte{20, 0, 0, 0, 1, 0x80, 0x10, 0xf0, 0xff, 1, 2, 3}, true)
	f.Fuzz(func(t *testing.T, data []byte, compress bool) {
		if content, err := seal.Unframe(data, 256); err == nil && len(content) > seal.MaxContent {
			t.Fatalf("a content of %d bytes", len(content))
		}
		padded := append(bytes.Clone(data), make([]byte, max(0, 256-len(data)))...)
		_, _ = seal.Unframe(padded, 256)
		plain, err := seal.Frame(data, 256, compress)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := seal.Unframe(plain, 256); err != nil || !bytes.Equal(back, data) {
			t.Fatalf("%x comes back as %x, %v", data, back, err)
		}
	})
}

// FuzzParseRecoveryCode: what people type is the code, or refused.
func FuzzParseRecoveryCode(f *testing.F) {
	f.Add(code.String())
	f.Add("0000-0000-0000-0000-0000-0000-0000")
	f.Fuzz(func(t *testing.T, typed string) {
		c, err := seal.ParseRecoveryCode(typed)
		if err != nil {
			return
		}
		if back, err := seal.ParseRecoveryCode(c.String()); err != nil || back != c {
			t.Fatalf("%q is read as %s, which is read as %s, %v", typed, c, back, err)
		}
	})
}

// FuzzJudge: whatever a server sends as the next entry's body is judged, and ok only
// where its author has signed it.
func FuzzJudge(f *testing.F) {
	o := newFounder(f)
	signed := o.entry(o.client, 1, &seal.Sealed{Kind: seal.KindData})
	c := &seal.Change{Prev: o.log.Newest(), Remove: []seal.ID{{1}}}
	f.Add(signed.Body)
	f.Add(o.members(c, 2).Body)
	f.Add(o.members(c, 1).Body)
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, client := range []wire.ClientID{o.client, o.device.ID().Members()} {
			for counter := range uint64(3) {
				v := o.log.Judge(o.next(client, counter, body), checks)
				if v.Stop == "" && v.Counted && v.Code == "" && !bytes.Equal(body, signed.Body) {
					t.Fatalf("%x is %+v", body, v)
				}
			}
		}
	})
}
