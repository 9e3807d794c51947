package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/logstore"
	"heddle.dev/heddle/sync/seal"
	"heddle.dev/heddle/sync/seal/native"
	"heddle.dev/heddle/sync/wire"
)

// The devices of a sealed space tell each other by signed heads which log they follow:
// docs/SECURITY.md, section 11. The server keeps each device's newest, hands it on, and
// takes none that would stop a replica which follows this log: so no member can stop the
// others.

// deviceHeads are the heads that the members of a space have told, as of a count of the
// store's. They are not changed.
type deviceHeads struct {
	told uint64
	all  []deviceHead
}

type deviceHead struct {
	*seal.Head
	data []byte
}

// of returns a device's head, nil without one.
func (d *deviceHeads) of(id seal.ID) *seal.Head {
	for i := range d.all {
		if d.all[i].Device == id {
			return d.all[i].Head
		}
	}
	return nil
}

// with returns them after a device has told one more.
func (d *deviceHeads) with(h *seal.Head, data []byte) deviceHeads {
	next := deviceHeads{told: d.told + 1, all: []deviceHead{{h, data}}}
	for _, one := range d.all {
		if one.Device != h.Device {
			next.all = append(next.all, one)
		}
	}
	return next
}

// left says whether a device has told that it has left a position.
func (d *deviceHeads) left(p seal.Position) bool {
	return slices.ContainsFunc(d.all, func(h deviceHead) bool { return slices.Contains(h.Left, p) })
}

// readHeads brings the heads to those of the store.
func (l *sealedLog) readHeads(v logstore.View, m *logstore.Meta) error {
	if l.heads.told == m.Told {
		return nil
	}
	stored, err := v.DeviceHeads()
	if err != nil {
		return err
	}
	next := deviceHeads{told: m.Told}
	for _, one := range stored {
		h, err := seal.UnmarshalHead(one.Bytes)
		if err != nil {
			return errcode.Wrap(err, errcode.Damaged, "server: read heads")
		}
		if _, is := l.Member(h.Device); is {
			next.all = append(next.all, deviceHead{h, one.Bytes})
		}
	}
	l.heads = next
	return nil
}

// postHead takes a device's head.
func (s *Server) postHead(w http.ResponseWriter, r *http.Request, c *caller) error {
	data, err := s.readBody(w, r)
	if err != nil {
		return err
	}
	h, err := seal.UnmarshalHead(data)
	if err != nil {
		return err
	}
	sp := s.acquire(c.space)
	defer s.release(sp)
	ctx, cancel := context.WithTimeout(r.Context(), s.o.Limits.Store)
	defer cancel()
	for err = logstore.ErrMoved; errors.Is(err, logstore.ErrMoved); {
		err = sp.takeHead(ctx, h, data, s.o.Limits.Heads)
	}
	if err != nil {
		return err
	}
	if h.Proves != (seal.ID{}) {
		if err := sp.prove(ctx, h.Proves, h.Device); err != nil { // the device's next head says so again
			s.log.Warn("the proof of a snapshot was not kept", "space", sp.name, "error", err)
		}
	}
	s.respond(w, http.StatusOK, nil)
	return nil
}

// takeHead commits a head on the log that it was checked against: ErrMoved if that is not the log any more.
func (sp *space) takeHead(ctx context.Context, h *seal.Head, data []byte, every time.Duration) error {
	var meta logstore.Meta
	return sp.withSealedAt(ctx, &meta, func(log *sealedLog) error {
		if err := sp.checkHead(ctx, log, h, every); err != nil {
			return err
		}
		err := sp.s.store.Commit(ctx, sp.name, &logstore.WriteSet{Base: meta.Head, State: meta.State,
			Told: []logstore.DeviceHead{{Device: h.Device, N: h.N, Bytes: data}}})
		if err != nil {
			return err
		}
		log.noteTold(h.Device, time.Now())
		log.heads = log.heads.with(h, data)
		sp.mu.Lock()
		defer sp.mu.Unlock()
		sp.found(sp.head.Position, sp.head.kicks, max(log.heads.told, sp.head.told))
		return nil
	})
}

// checkHead says why a head is not taken.
func (sp *space) checkHead(ctx context.Context, log *sealedLog, h *seal.Head, every time.Duration) error {
	const op = "server: take head"
	if log == nil {
		return errPlain
	}
	who, is := log.Member(h.Device)
	switch {
	case !is && log.Removed(h.Device):
		return errRemoved
	case !is || who.Slot != 0:
		return errNotMember
	}
	valid, err := native.Suite{}.Verify(ctx, []seal.Claim{h.Claim(log.Anchor(), &who)})
	if err != nil {
		return err
	}
	if !valid[0] {
		return errcode.New(errcode.Protocol, op, "the head is not signed by its device")
	}
	before := log.heads.of(h.Device)
	switch {
	case before != nil && h.N <= before.N:
		return errcode.New(errcode.Behind, op, fmt.Sprintf("the device has told its head number %d", before.N))
	case h.At.Seq > log.Head().Seq, log.Contradicts(h), before != nil && h.At.Seq < before.At.Seq:
		return errcode.New(errcode.Diverged, op, "the head is not of this log, or older than the device's last")
	case time.Since(log.toldAt[h.Device]) < every:
		return errcode.New(errcode.RateLimited, op, "the device has told its head just now")
	}
	return nil
}

// noteTold remembers when a device has told its head.
func (l *sealedLog) noteTold(id seal.ID, at time.Time) {
	if l.toldAt == nil {
		l.toldAt = map[seal.ID]time.Time{}
	}
	l.toldAt[id] = at
}

// refuseLeft refuses an entry at a position that a member has told to have left: with such
// a head, each replica that took the entry would stop. Sealed anew it has another chain
// hash. The position comes back where a server was put back and is sent what it had, or
// where a member has told of an entry before it pushed it. A head that another server has
// just taken is not known here yet: a member who uses that moment stops the others until it
// tells another head, or is removed.
func (l *sealedLog) refuseLeft(e *wire.Entry) error {
	if !l.heads.left(seal.Position{Seq: e.Seq, Chain: e.Chain}) {
		return nil
	}
	return &refusal{errcode.New(errcode.Stale, "server: decide",
		"a member has left the history that has this entry: it has to be sealed anew")}
}

// toldHeads returns the heads of the members, from memory where those are of this count of the store's.
func (sp *space) toldHeads(ctx context.Context, told uint64) (*deviceHeads, error) {
	sp.mu.Lock()
	known := sp.heads
	sp.mu.Unlock()
	if known != nil && known.told == told {
		return known, nil
	}
	err := sp.withSealed(ctx, func(_ wire.Position, log *sealedLog) error {
		if known = &(deviceHeads{}); log != nil {
			all := log.heads
			known = &all
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	sp.mu.Lock()
	defer sp.mu.Unlock()
	sp.heads = known
	return known, nil
}

// tellHeads sends the heads that the stream has not sent yet.
func (f *feed) tellHeads(told uint64) error {
	heads, err := f.sp.toldHeads(f.ctx, told)
	if err != nil {
		return err
	}
	f.told = told
	frame := &wire.Frame{}
	for _, h := range heads.all {
		if f.heads[h.Device] < h.N {
			frame.Heads = append(frame.Heads, h.data)
			if f.heads == nil {
				f.heads = map[seal.ID]uint64{}
			}
			f.heads[h.Device] = h.N
		}
	}
	if len(frame.Heads) == 0 {
		return nil
	}
	return f.send(frame)
}
