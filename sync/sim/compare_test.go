package sim

import (
	"context"
	"strings"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/fold"
	"heddle.dev/heddle/sync/wire"
)

// compare is what must hold once all is quiet and on the last version: one
// digest, the same for the server and for a fresh fold of the model, and each
// acknowledged transaction decided.
func (s *sim) compare() {
	m := s.model
	sum := m.digest()
	rec := s.srv.digest()
	if s.keys == nil && (rec.Seq != m.at.Seq || rec.Digest != sum) { // of a sealed space the server has no rows
		s.violate("the server's digest at %d is %x, the model's at %d %x", rec.Seq, rec.Digest[:4], m.at.Seq, sum[:4])
	}
	for _, d := range s.present {
		seq, digest, err := d.c.Digest(context.Background())
		if err != nil || seq != m.at.Seq || digest != sum {
			s.violate("device %d: the digest at %d is %x, the model's at %d %x (%v)", d.id, seq, digest[:4], m.at.Seq,
				sum[:4], err)
		}
		if st := d.c.Status(); st.Differs.Device != "" {
			s.violate("device %d: a member has told of other rows, %+v", d.id, st.Differs)
		}
		returned := d.returned()
		for _, n := range d.acked {
			if _, ok := m.marks[mark{d.id, n}]; !ok && !(m.restored && returned[mark{d.id, n}]) {
				s.violate("transaction %v was acknowledged and is not in the log", mark{d.id, n})
			}
		}
		for n := range d.failed {
			if _, ok := m.marks[mark{d.id, n}]; ok {
				s.violate("transaction %v failed and is in the log", mark{d.id, n})
			}
		}
		d.checkRejected()
	}
}

// returned are the transactions that the app has back, since it is not known what became of them: those that the
// device lists, and those that the app has discarded. A log that was put back may lack them, and the device does not
// send them again: another copy of it may have used their numbers.
func (d *device) returned() map[mark]bool {
	all := map[mark]bool{}
	list, err := d.c.Rejected(context.Background())
	if err != nil {
		d.s.violate("device %d: %v", d.id, err)
	}
	for _, r := range list {
		if r.Code == errcode.Behind {
			for _, k := range marksOf(&wire.Body{Ops: r.Ops}) {
				all[k] = true
			}
		}
	}
	for n := range d.discarded {
		if d.unproved[n] {
			all[mark{d.id, n}] = true
		}
	}
	return all
}

// checkRejected: a device lists each of its transactions that ended void, and no
// other, also those that a copy of it has retried or discarded: rejections are
// local.
func (d *device) checkRejected() {
	if d.unsure {
		return
	}
	told := map[mark]bool{}
	all, err := d.c.Rejected(context.Background())
	if err != nil {
		d.s.violate("device %d: %v", d.id, err)
	}
	for _, r := range all {
		if r.Code == errcode.Behind { // it is not known what became of it
			continue
		}
		for _, k := range marksOf(&wire.Body{Ops: r.Ops}) {
			told[k] = true
		}
	}
	for k, outcome := range d.s.model.marks {
		if k.device == d.id && !d.elsewhere[k.n] && (outcome != "" && !d.discarded[k.n]) != told[k] {
			d.s.violate("transaction %v ended %q, told as rejected: %v", k, outcome, told[k])
		}
	}
}

// digest computes that of the model's state from nothing.
func (m *model) digest() wire.Hash {
	n := len(m.entries)
	told := &fold.Schema{}
	for _, e := range m.entries {
		if e.Outcome == "" && e.Body != nil {
			if body, err := wire.UnmarshalBody(e.Body); err == nil {
				told.Apply(body.Schema)
			}
		}
	}
	sum := &fold.Digest{}
	for id, row := range m.states[n] {
		name, enc, _ := strings.Cut(id, "\x00")
		key, _ := wire.DecodeKey([]byte(enc))
		sum.Add(name, key, &fold.Row{Cells: row}, told)
	}
	return sum.Sum()
}
