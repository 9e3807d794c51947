package member

import (
	"errors"
	"testing"
	"time"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/client"
	"heddle.dev/heddle/sync/seal"
	"heddle.dev/heddle/sync/wire"
)

// says makes a head of a device, whatever it has seen.
func (s *space) says(k *Keys, n uint64, at seal.Position, left ...seal.Position) []byte {
	s.t.Helper()
	h := &seal.Head{Device: k.id, N: n, At: at, Left: left}
	var err error
	h.Signature, err = k.cfg.Identity.Sign(s.t.Context(), h.Statement(k.cfg.Anchor))
	s.must(err)
	return h.Marshal()
}

// two returns two members of a space whose log has four entries.
func two(t *testing.T) (s *space, ada, phone *Keys) {
	s = newSpace(t)
	ada = s.founded()
	phone, _ = s.device()
	joined, invited := s.paired(ada, phone, "phone", s.alike)
	s.must(errors.Join(joined, invited))
	s.follow(ada.Member, phone.Member)
	for counter := range uint64(2) {
		s.write(ada.Member, writer, counter+1, "text")
		s.follow(ada.Member, phone.Member)
	}
	return s, ada, phone
}

// A head that cannot be of the log stops a device, until its author tells another one, or an admin gives that up.
func TestMember_Hear(t *testing.T) {
	other := func(seq uint64) seal.Position { return seal.Position{Seq: seq, Chain: seal.Hash{9}} }
	for name, test := range map[string]struct {
		at    func(end seal.Position) seal.Position
		left  func(end seal.Position) []seal.Position
		stops bool
	}{
		"the log's end":     {func(end seal.Position) seal.Position { return end }, nil, false},
		"ahead":             {func(end seal.Position) seal.Position { return other(end.Seq + 2) }, nil, false},
		"another end":       {func(end seal.Position) seal.Position { return other(end.Seq) }, nil, true},
		"another past":      {func(seal.Position) seal.Position { return other(1) }, nil, true},
		"it has left this":  {func(end seal.Position) seal.Position { return other(end.Seq + 2) }, ends, true},
		"it has left other": {func(end seal.Position) seal.Position { return end }, others, false},
	} {
		t.Run(name, func(t *testing.T) {
			s, ada, phone := two(t)
			end := ada.Head()
			var left []seal.Position
			if test.left != nil {
				left = test.left(end)
			}
			err := ada.Hear(t.Context(), [][]byte{s.says(phone, 5, test.at(end), left...)})
			var why *client.Tampered
			if errors.As(err, &why) != test.stops || test.stops && why.Device != idText(phone.id) {
				t.Fatalf("got %v", err)
			}
			if !test.stops {
				return
			}
			s.write(phone.Member, wire.ClientID{8}, 1, "more")
			if _, err := s.pull(ada.Member); errcode.Of(err) != errcode.Tampered {
				t.Errorf("it follows the log on: %v", err)
			}
			if e, err := ada.Found(t.Context(), why, time.Now()); err != nil || e == nil {
				t.Errorf("%d bytes of evidence, %v", len(e), err)
			}
			s.wantCode(ada.Hear(t.Context(), [][]byte{s.says(phone, 4, end)}), errcode.Tampered) // an older one
			s.must(ada.Hear(t.Context(), [][]byte{s.says(phone, 6, end)}))
			s.follow(ada.Member)
		})
	}
}

func ends(end seal.Position) []seal.Position {
	return []seal.Position{{Seq: 77, Chain: seal.Hash{1}}, end}
}
func others(end seal.Position) []seal.Position {
	return []seal.Position{{Seq: end.Seq, Chain: seal.Hash{1}}}
}

// What is not signed by a member says nothing; two heads of one number say what both say.
func TestMember_Hear_others(t *testing.T) {
	s, ada, phone := two(t)
	end := ada.Head()
	bad := seal.Position{Seq: end.Seq, Chain: seal.Hash{9}}
	stranger := newSpace(t).founded()
	forged, err := seal.UnmarshalHead(s.says(phone, 5, bad))
	s.must(err)
	forged.N = 9
	s.must(ada.Hear(t.Context(), [][]byte{s.says(stranger, 1, bad), forged.Marshal()}))
	s.must(ada.Hear(t.Context(), [][]byte{s.says(phone, 2, end)})) // the forged number does not count
	s.wantCode(ada.Hear(t.Context(), [][]byte{s.says(phone, 2, bad)}), errcode.Tampered)
	if !ada.Overrule() || ada.Overrule() {
		t.Error("what has stopped the device is not given up once")
	}
	s.must(ada.Hear(t.Context(), nil))
	if _, lost := ada.Ahead(); lost.Device != idText(phone.id) {
		t.Errorf("got the warning %+v", lost)
	}
	if err := ada.Hear(t.Context(), [][]byte{{1, 2, 3}}); errcode.Of(err) != errcode.Protocol {
		t.Errorf("what is no head: %v", err)
	}
}

// A head that is ahead is compared before the entry at its place is taken, also by a device that does not know its
// author yet.
func TestMember_Hear_ahead(t *testing.T) {
	s, ada, phone := two(t)
	end := ada.Head()
	later, _ := s.device()
	s.mail = map[int][]byte{} // of another link
	joined, invited := s.paired(ada, later, "tablet", s.alike)
	s.must(errors.Join(joined, invited))
	s.follow(ada.Member, phone.Member)
	next := ada.Head()
	s.write(ada.Member, writer, 3, "text")
	head := s.says(phone, 1, seal.Position{Seq: next.Seq + 1, Chain: seal.Hash{9}})
	for _, m := range []*Keys{ada, later} {
		s.must(m.Hear(t.Context(), [][]byte{head}))
		if _, err := s.pull(m.Member); errcode.Of(err) != errcode.Tampered || m.Head() != next {
			t.Errorf("at %d, of %d: %v", m.Head().Seq, end.Seq, err)
		}
	}
	if ahead, _ := ada.Ahead(); ahead.Seq != next.Seq+1 {
		t.Errorf("got %+v", ahead)
	}
}

// What a device tells counts up, is told once for a place, and lists what it has left.
func TestMember_Tell(t *testing.T) {
	s, ada, _ := two(t)
	tell := func() *seal.Head {
		t.Helper()
		data, err := ada.Tell(t.Context(), ada.Head().Seq, wire.Hash{1}, time.UnixMilli(5))
		s.must(err)
		if data == nil {
			return nil
		}
		ada.Told(data)
		h, err := seal.UnmarshalHead(data)
		s.must(err)
		return h
	}
	first := tell()
	if first == nil || first.N != 1 || first.At != ada.Head() || len(first.Left) > 0 || first.Time != 5 || tell() != nil {
		t.Errorf("got %+v", first)
	}
	gone := seal.Position{Seq: first.At.Seq, Chain: seal.Hash{9}}
	ada.heads.note(gone)
	ada.heads.n = 7 // a copy has told them
	s.write(ada.Member, writer, 3, "text")
	s.follow(ada.Member)
	if h := tell(); h == nil || h.N != 8 || len(h.Left) != 1 || h.Left[0] != gone {
		t.Errorf("got %+v", h)
	}
	if h, err := ada.Tell(t.Context(), 1, wire.Hash{}, time.Now()); h != nil || err != nil {
		t.Errorf("a digest of another place is told: %v", err)
	}
}
