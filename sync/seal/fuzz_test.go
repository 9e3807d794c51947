package seal_test

import (
	"bytes"
	"errors"
	"flag"
	"math/rand/v2"
	"slices"
	"testing"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/seal"
	"heddle.dev/heddle/sync/wire"
)

// format is one of what others send, and what holds of any bytes in its place.
type format struct {
	good [][]byte
	// check fails where bytes do not have what holds, and reports whether they decode.
	check func(t testing.TB, data []byte) bool
}

func (m format) fuzz(f *testing.F) {
	for _, g := range m.good {
		f.Add(g)
	}
	f.Fuzz(func(t *testing.T, data []byte) { m.check(t, data) })
}

// canonical checks that bytes are refused as HEDDLE_PROTOCOL, or encode again to themselves.
func canonical[M interface{ Marshal() []byte }](
	t testing.TB, data []byte, unmarshal func([]byte) (M, error),
) (decoded M, ok bool) {
	t.Helper()
	decoded, err := unmarshal(data)
	switch {
	case err != nil && errcode.Of(err) != errcode.Protocol:
		t.Fatalf("%x: code %s", data, errcode.Of(err))
	case err == nil && !bytes.Equal(decoded.Marshal(), data):
		t.Fatalf("%x decodes, and encodes to %x", data, decoded.Marshal())
	}
	return decoded, err == nil
}

func FuzzUnmarshalSealed(f *testing.F) { sealedFormat(f).fuzz(f) }

// sealedFormat: nothing that is not what was sealed opens.
func sealedFormat(tb testing.TB) format {
	data := []*seal.Sealed{sealed(tb, []byte("a text"), true), sealed(tb, bytes.Repeat([]byte("abc"), 1000), true)}
	members := &seal.Sealed{Kind: seal.KindMembers, Device: seal.ID{1}, Epoch: 1, Box: change(tb).Marshal(),
		Signature: seal.Signature{2}}
	good := [][]byte{data[0].Marshal(), data[1].Marshal(), members.Marshal()}
	return format{good, func(t testing.TB, p []byte) bool {
		s, ok := canonical(t, p, seal.UnmarshalSealed)
		if !ok || s.Kind != seal.KindData {
			return ok
		}
		if _, err := s.Decrypt(place, &key); err == nil && !slices.ContainsFunc(data, func(d *seal.Sealed) bool {
			s.Signature = d.Signature // which alone may differ: the box does not cover it
			return bytes.Equal(s.Marshal(), d.Marshal())
		}) {
			t.Fatalf("%x is altered, and opens", p)
		}
		return true
	}}
}

func FuzzUnmarshalChange(f *testing.F) { changeFormat(f).fuzz(f) }

func changeFormat(tb testing.TB) format {
	small := &seal.Change{Prev: seal.Hash{1}, Remove: []seal.ID{{1}}}
	return format{[][]byte{change(tb).Marshal(), small.Marshal()}, func(t testing.TB, data []byte) bool {
		_, ok := canonical(t, data, seal.UnmarshalChange)
		return ok
	}}
}

func FuzzUnmarshalHead(f *testing.F) { headFormat(f).fuzz(f) }

// headFormat: it is signed only where it is what was.
func headFormat(tb testing.TB) format {
	signed, by := head(tb), device(tb, 10, seal.RoleRead)
	good := signed.Marshal()
	other := &seal.Head{Device: seal.ID{1}, N: 1, At: seal.Position{Seq: 1, Chain: seal.Hash{1}},
		Signature: signed.Signature}
	return format{[][]byte{good, other.Marshal()}, func(t testing.TB, data []byte) bool {
		h, ok := canonical(t, data, seal.UnmarshalHead)
		if ok && !bytes.Equal(data, good) && valid(t, by.Sign, h.Statement(anchor), h.Signature) {
			t.Fatalf("%x is altered, and signed", data)
		}
		return ok
	}}
}

func FuzzUnmarshalEvidence(f *testing.F) { evidenceFormat(f).fuzz(f) }

// evidenceFormat: it holds only where it is what was signed.
func evidenceFormat(tb testing.TB) format {
	good := evidence(tb).Marshal()
	return format{[][]byte{good}, func(t testing.TB, data []byte) bool {
		e, ok := canonical(t, data, seal.UnmarshalEvidence)
		if !ok {
			return false
		}
		if _, err := e.Check(t.Context(), suite); err == nil && !bytes.Equal(data, good) {
			t.Fatalf("%x is altered, and holds", data)
		}
		return true
	}}
}

func FuzzUnmarshalPairing(f *testing.F) { pairingFormat(f).fuzz(f) }

// pairingFormat is any of the three messages: each decoder meets them all.
func pairingFormat(tb testing.TB) format {
	good := [][]byte{hello(tb, 10, "Phone").Marshal(), offer(tb).Marshal(), pass().Marshal()}
	return format{good, func(t testing.TB, data []byte) bool {
		_, hello := canonical(t, data, seal.UnmarshalPairHello)
		_, offer := canonical(t, data, seal.UnmarshalPairOffer)
		_, pass := canonical(t, data, seal.UnmarshalPass)
		return hello || offer || pass
	}}
}

func FuzzUnmarshalManifest(f *testing.F) { manifestFormat(f).fuzz(f) }

// manifestFormat: it opens only where it is what was sealed.
func manifestFormat(tb testing.TB) format {
	original := manifest(tb)
	other := &seal.Manifest{Device: seal.ID{1}, Epoch: 1, At: seal.Position{Seq: 1, Chain: seal.Hash{1}},
		Members: seal.Hash{1}, Nonce: seal.Nonce{1}, Box: make([]byte, 272), Signature: seal.Signature{2}}
	return format{[][]byte{original.Marshal(), other.Marshal()}, func(t testing.TB, data []byte) bool {
		m, ok := canonical(t, data, seal.UnmarshalManifest)
		if !ok {
			return false
		}
		if _, err := m.Decrypt(anchor, &key); err == nil && m.ID(anchor) != original.ID(anchor) {
			t.Fatalf("%x is altered, and opens", data)
		}
		return true
	}}
}

func FuzzSummary(f *testing.F) { summaryFormat(f).fuzz(f) }

// summaryFormat is a manifest's summary, as a member has sealed it.
func summaryFormat(testing.TB) format {
	good := [][]byte{seal.MarshalSummary(summary()), {10, 32}}
	return format{good, func(t testing.TB, data []byte) bool {
		_, ok := canonical(t, data, func(p []byte) (marshalled, error) {
			s, err := seal.UnmarshalSummary(p)
			return marshalled{s}, err
		})
		return ok
	}}
}

type marshalled struct{ *seal.Summary }

func (m marshalled) Marshal() []byte { return seal.MarshalSummary(m.Summary) }

func FuzzParseRecoveryCode(f *testing.F) { codeFormat(f).fuzz(f) }

// codeFormat: what people type is the code, or refused.
func codeFormat(testing.TB) format {
	good := [][]byte{[]byte(code.String()), []byte("0000-0000-0000-0000-0000-0000-0000")}
	return format{good, func(t testing.TB, data []byte) bool {
		c, err := seal.ParseRecoveryCode(string(data))
		if err != nil {
			return false
		}
		if back, err := seal.ParseRecoveryCode(c.String()); err != nil || back != c {
			t.Fatalf("%q is read as %s, which is read as %s, %v", data, c, back, err)
		}
		return true
	}}
}

func FuzzUnframe(f *testing.F) { frameFormat(f).fuzz(f) }

// frameFormat: a plain text that a member has made is content, or refused; content goes
// through unchanged.
func frameFormat(tb testing.TB) format {
	plain, err := seal.Frame([]byte("a text"), 256, false)
	packed, err2 := seal.Frame(bytes.Repeat([]byte("abc"), 1000), 256, true)
	must(tb, errors.Join(err, err2))
	good := [][]byte{plain, packed, {1, 0, 0, 0, 0, 'x'}, bytes.Repeat([]byte("abc"), 1000),
		{20, 0, 0, 0, 1, 0x80, 0x10, 0xf0, 0xff, 1, 2, 3}}
	return format{good, func(t testing.TB, data []byte) bool {
		content, err := seal.Unframe(data, 256)
		if err == nil && len(content) > seal.MaxContent {
			t.Fatalf("a content of %d bytes", len(content))
		}
		if err == nil && data[4] == 0 { // as it is: what is compressed may be so in several ways
			if plain, err := seal.Frame(content, 256, false); err != nil || !bytes.Equal(plain, data) {
				t.Fatalf("%x is framed again as %x, %v", data, plain, err)
			}
		}
		padded := append(bytes.Clone(data), make([]byte, max(0, 256-len(data)))...)
		_, _ = seal.Unframe(padded, 256)
		plain, err2 := seal.Frame(data, 256, len(data)%2 == 0)
		if err2 != nil {
			t.Fatal(err2)
		}
		if back, err := seal.Unframe(plain, 256); err != nil || !bytes.Equal(back, data) {
			t.Fatalf("%x comes back as %x, %v", data, back, err)
		}
		return err == nil
	}}
}

func FuzzJudge(f *testing.F) { judgeFormat(f).fuzz(f) }

// judgeFormat: whatever a server sends as the next entry's body is judged, and ok only where
// its author has signed it.
func judgeFormat(tb testing.TB) format {
	o := newFounder(tb)
	signed := o.entry(o.client, 1, &seal.Sealed{Kind: seal.KindData})
	c := &seal.Change{Prev: o.log.Newest(), Remove: []seal.ID{{1}}}
	good := [][]byte{signed.Body, o.members(c, 2).Body, o.members(c, 1).Body}
	return format{good, func(t testing.TB, body []byte) bool {
		for _, client := range []wire.ClientID{o.client, o.device.ID().Members()} {
			for counter := range uint64(3) {
				v := o.log.Judge(o.next(client, counter, body), checks)
				if v.Stop == "" && v.Counted && v.Code == "" && !bytes.Equal(body, signed.Body) {
					t.Fatalf("%x is %+v", body, v)
				}
			}
		}
		_, err := seal.UnmarshalSealed(body)
		return err == nil
	}}
}

var (
	mutants     = flag.Int("mutants", 20_000, "how many mutants of a format TestMutants tries")
	mutantsSeed = flag.Uint64("mutants.seed", 1, "what they are made of")
)

// TestMutants changes what is good, and what decodes after that further: the fuzzers' checks,
// without looking for new paths in the code, and so many times as fast. Where a signature is
// verified for each, a hundredth is tried.
func TestMutants(t *testing.T) {
	for name, m := range map[string]struct {
		format
		share int
	}{
		"sealed":   {sealedFormat(t), 1},
		"change":   {changeFormat(t), 1},
		"head":     {headFormat(t), 100},
		"evidence": {evidenceFormat(t), 100},
		"pairing":  {pairingFormat(t), 1},
		"manifest": {manifestFormat(t), 1},
		"summary":  {summaryFormat(t), 1},
		"code":     {codeFormat(t), 1},
		"frame":    {frameFormat(t), 1},
		"judge":    {judgeFormat(t), 100},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if !m.check(t, m.good[0]) {
				t.Fatal("what is good does not decode")
			}
			rnd, pool, decoded := rand.New(rand.NewPCG(*mutantsSeed, 0)), bytesOf(m.good), 0
			for range *mutants / m.share {
				data := mutant(rnd, pool)
				if !m.check(t, data) {
					continue
				}
				decoded++
				if len(pool) < 1000 {
					pool = append(pool, data)
				} else {
					pool[len(m.good)+rnd.IntN(len(pool)-len(m.good))] = data
				}
			}
			t.Logf("%d mutants, of which %d decode", *mutants/m.share, decoded)
			if decoded < *mutants/m.share/100 {
				t.Error("hardly any decodes: the check sees the first lines of a decoder alone")
			}
		})
	}
}

func bytesOf(all [][]byte) (clones [][]byte) {
	for _, one := range all {
		clones = append(clones, bytes.Clone(one))
	}
	return clones
}

// mutant changes one of a pool in one to four places, seldom in its length by much.
func mutant(rnd *rand.Rand, pool [][]byte) []byte {
	p := bytes.Clone(pool[rnd.IntN(len(pool))])
	for range 1 + rnd.IntN(4) {
		if len(p) == 0 {
			return p
		}
		at := rnd.IntN(len(p))
		end := min(len(p), at+1+rnd.IntN(40))
		switch rnd.IntN(8) {
		case 0, 1:
			p[at] ^= 1 << rnd.IntN(8)
		case 2:
			p[at] = []byte{0, 1, 0x7f, 0x80, 0xff}[rnd.IntN(5)]
		case 3:
			p[at] += byte(rnd.IntN(9)) - 4 // lengths and numbers of fields
		case 4:
			p = append(p[:at], p[end:]...)
		case 5: // a part comes twice
			p = append(p[:end:end], p[at:]...)
		case 6: // a part of another one
			other := pool[rnd.IntN(len(pool))]
			from := rnd.IntN(len(other) + 1)
			part := other[from:min(len(other), from+1+rnd.IntN(40))]
			p = append(p[:at:at], append(bytes.Clone(part), p[at:]...)...)
		case 7:
			switch rnd.IntN(3) {
			case 0:
				p = p[:at]
			case 1:
				clear(p[at:end])
			case 2: // a number, but not in its shortest form
				p[at] |= 0x80
				p = append(p[:at+1:at+1], append([]byte{0}, p[at+1:]...)...)
			}
		}
	}
	return p
}
