package member

import (
	"bytes"
	"slices"
	"testing"

	"heddle.dev/heddle/sync/wire"
)

// stripped is the log as a server sends it to an author: without the author's bodies.
func (s *space) stripped(author wire.ClientID) []wire.Entry {
	all := slices.Clone(s.log)
	for i := range all {
		if all[i].Client == author {
			all[i].Body = nil
		}
	}
	return all
}

// An own entry needs no body, as long as the device remembers what it has sealed: what it
// comes to is the same.
func TestMember_recalls(t *testing.T) {
	s := newSpace(t)
	ada := s.founded()
	bodies := [][]byte{[]byte("one"), bytes.Repeat([]byte("large "), maxKept/4), []byte("three")}
	sealed, err := ada.Sealed(t.Context(), writer, 1, pending(bodies...))
	s.must(err)
	for i, parts := range sealed {
		var data []byte
		for _, part := range parts {
			if part.Counter != uint64(i+1) || part.BodyHash != sealed[i][0].BodyHash {
				t.Errorf("transaction %d has a part %+v", i+1, part)
			}
			data = append(data, part.Bytes...)
		}
		s.append(writer, uint64(i+1), data)
	}
	head := ada.Head()
	at := wire.Position{Seq: head.Seq, Chain: head.Chain}

	log := s.stripped(writer)
	if n := ada.Recall(0, log); n != len(log) {
		t.Fatalf("%d of %d entries have bodies", n, len(log))
	}
	all, err := ada.Open(t.Context(), at, log)
	s.must(err)
	for i := range bodies {
		if o := all[i]; !bytes.Equal(o.Body, bodies[i]) || o.Outcome != "" {
			t.Errorf("entry %d is opened as %d bytes, %q", o.Seq, len(o.Body), o.Outcome)
		}
	}

	// What was not sealed here, or was sealed otherwise, has to come with its body.
	log = s.stripped(writer)
	log[2].BodyHash[0] ^= 1
	if n := ada.Recall(0, log); n != 2 {
		t.Errorf("another seal is recalled: %d entries have bodies", n)
	}
	if n := ada.Recall(3, log); n != len(log) {
		t.Errorf("entries that are here already are looked for: %d", n)
	}
	stranger := s.stripped(writer)
	for i := range stranger {
		if stranger[i].Client == writer {
			stranger[i].Client = wire.ClientID{77}
		}
	}
	if n := ada.Recall(0, stranger); n != 1 {
		t.Errorf("another's are recalled: %d entries have bodies", n)
	}
	ada.Reseal()
	if n := ada.Recall(0, s.stripped(writer)); n != 1 {
		t.Errorf("what was forgotten is recalled: %d entries have bodies", n)
	}
}
