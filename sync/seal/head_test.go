package seal_test

import (
	"bytes"
	"testing"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/seal"
)

// TestHead_bits: no bit of an encoded Head can be another, and it counts in its space alone.
func TestHead_bits(t *testing.T) {
	by := device(t, 10, seal.RoleRead)
	h := head(t)
	data := h.Marshal()
	back, err := seal.UnmarshalHead(data)
	must(t, err)
	if !bytes.Equal(back.Marshal(), data) || !valid(t, by.Sign, back.Statement(anchor), back.Signature) {
		t.Error("a Head does not come back as it was signed")
	}
	if valid(t, by.Sign, back.Statement(seal.Anchor{1}), back.Signature) {
		t.Error("a Head counts in another space")
	}
	for i := range len(data) * 8 {
		altered := bytes.Clone(data)
		altered[i/8] ^= 1 << (i % 8)
		if h, err := seal.UnmarshalHead(altered); err == nil && valid(t, by.Sign, h.Statement(anchor), h.Signature) {
			t.Errorf("bit %d may be another", i)
		}
	}
}

func TestUnmarshalHead_refuses(t *testing.T) {
	alter := func(f func(h *seal.Head)) []byte {
		h := head(t)
		f(h)
		return h.Marshal()
	}
	for name, data := range map[string][]byte{
		"nothing":                    {},
		"a byte too many":            append(head(t).Marshal(), 0),
		"no device":                  alter(func(h *seal.Head) { h.Device = seal.ID{} }),
		"no number":                  alter(func(h *seal.Head) { h.N = 0 }),
		"a number that is too large": alter(func(h *seal.Head) { h.N = 1<<63 + 1 }),
		"no seq":                     alter(func(h *seal.Head) { h.At.Seq = 0 }),
		"no chain":                   alter(func(h *seal.Head) { h.At.Chain = seal.Hash{} }),
		"half a position":            alter(func(h *seal.Head) { h.Left[1].Seq = 0 }),
		"too many positions": alter(func(h *seal.Head) {
			h.Left = make([]seal.Position, seal.MaxLeft+1)
			for i := range h.Left {
				h.Left[i] = seal.Position{Seq: 1, Chain: seal.Hash{1}}
			}
		}),
		"no signature": alter(func(h *seal.Head) { h.Signature = seal.Signature{} }),
	} {
		if _, err := seal.UnmarshalHead(data); errcode.Of(err) != errcode.Protocol {
			t.Errorf("%s: got %v, want code %s", name, err, errcode.Protocol)
		}
	}
	longest := alter(func(h *seal.Head) {
		h.N, h.At.Seq, h.Time, h.Left = 1<<63, 1<<63, 1<<63, make([]seal.Position, seal.MaxLeft)
		for i := range h.Left {
			h.Left[i] = seal.Position{Seq: 1 << 63, Chain: seal.Hash{1}}
		}
	})
	if _, err := seal.UnmarshalHead(longest); err != nil || len(longest) > seal.MaxHead {
		t.Errorf("the longest Head has %d bytes: %v", len(longest), err)
	}
}

// TestLog_Contradicts: a Head cannot be of a log with another past at its position, or with one that was left.
func TestLog_Contradicts(t *testing.T) {
	o := newFounder(t)
	for range 3 {
		counter, last := o.log.Client(o.client)
		o.append(o.entry(o.client, counter+1, &seal.Sealed{Kind: seal.KindData, Prev: last}))
	}
	end := o.log.Head()
	other := func(seq uint64) seal.Position { return seal.Position{Seq: seq, Chain: seal.Hash{9}} }
	for name, test := range map[string]struct {
		head seal.Head
		want bool
	}{
		"at its end":             {seal.Head{At: end}, false},
		"ahead":                  {seal.Head{At: other(end.Seq + 1)}, false},
		"another chain":          {seal.Head{At: other(end.Seq)}, true},
		"another chain before":   {seal.Head{At: other(end.Seq - 1)}, true},
		"what it has left":       {seal.Head{At: other(end.Seq + 1), Left: []seal.Position{other(1), end}}, true},
		"a left one of another":  {seal.Head{At: end, Left: []seal.Position{other(end.Seq)}}, false},
		"a left one ahead of it": {seal.Head{At: end, Left: []seal.Position{other(end.Seq + 7)}}, false},
	} {
		if got := o.log.Contradicts(&test.head); got != test.want {
			t.Errorf("%s: got %v", name, got)
		}
	}
}
