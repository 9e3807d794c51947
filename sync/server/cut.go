package server

import (
	"context"
	"errors"
	"time"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/logstore"
	"heddle.dev/heddle/sync/seal"
	"heddle.dev/heddle/sync/server/shelf"
	"heddle.dev/heddle/sync/wire"
)

const (
	// cutStep is how many entries of a sealed log are cut at a time: they are judged for that.
	cutStep = 10_000
	// abandonedChunk is how long after it came a chunk goes that no snapshot names.
	abandonedChunk = time.Hour
	// wantedFor is how long a device has that was asked for a snapshot.
	wantedFor = 10 * time.Minute
)

// prove notes that a device has started from a snapshot, or has read it back whole. That of its maker
// counts where there is no other device. The log is cut then.
func (sp *space) prove(ctx context.Context, id, by seal.ID) error {
	proved := false
	err := sp.changeSealed(ctx, func(v logstore.View, _ *logstore.Meta, log *sealedLog) (*logstore.WriteSet, error) {
		kept, err := shelf.Read(v)
		if err != nil {
			return nil, err
		}
		one := kept.Find(id)
		if one == nil || one.Proved || one.Maker == by && !log.alone() {
			return nil, nil
		}
		gone := kept.Prove(id)
		waste, err := shelf.Waste(v, kept, gone, nil, sp.s.o.Limits.shelf(), time.Now().Unix())
		if err != nil {
			return nil, err
		}
		proved, log.shelf = true, kept
		return &logstore.WriteSet{Blobs: append(waste, kept.Blob())}, nil
	})
	if err == nil && proved {
		sp.cutLater()
	}
	return err
}

// alone says whether a space has one device.
func (l *sealedLog) alone() bool {
	n := 0
	for who := range l.Each() {
		if who.Slot == 0 {
			n++
		}
	}
	return n == 1
}

// cutLater cuts the log, as far as it may be, while others go on.
func (sp *space) cutLater() {
	if !sp.s.beginRequest() {
		return
	}
	sp.mu.Lock()
	begun := sp.cuts > 0
	sp.cuts++
	sp.mu.Unlock()
	if begun { // it looks again
		sp.s.active.Done()
		return
	}
	held := sp.s.acquire(sp.name)
	go func() {
		defer sp.s.active.Done()
		defer sp.s.release(held)
		for n := 1; n > 0; {
			err := sp.cutAll()
			if n = sp.cutsSince(n, err); err != nil {
				sp.s.log.Warn("a sealed log was not cut; it is tried again after the next entries",
					"space", sp.name, "error", err)
			}
		}
	}()
}

// cutsSince returns how often the log was to be cut, where that is more than n; else the cutting has ended, as it has
// after an error: to read the log for a cut asks for one as well, so that a store that fails would be read for ever.
func (sp *space) cutsSince(n int, err error) int {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	if sp.cuts == n || err != nil {
		sp.cuts = 0
	}
	return sp.cuts
}

// cutAll cuts in steps, and then gives back the room.
func (sp *space) cutAll() error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		select {
		case <-sp.s.closing:
			cancel()
		case <-ctx.Done():
		}
	}()
	for {
		to, err := sp.cutOnce(ctx)
		if err != nil || to == 0 {
			return err
		}
		bound, cancel := context.WithTimeout(ctx, sp.s.o.Limits.Decision)
		err = sp.s.store.Cut(bound, sp.name, 0) // gives back the room alone: the store may have been put back since
		cancel()
		if err != nil {
			return err
		}
	}
}

// cutOnce judges the entries that may be cut, outside of the turn, and cuts them. It returns up to
// which entry; 0 if none may be.
func (sp *space) cutOnce(ctx context.Context) (to uint64, err error) {
	var base *seal.Base
	bytes := int64(0)
	err = sp.read(ctx, func(v logstore.View) error {
		m, err := v.Meta()
		if err != nil {
			return err
		}
		kept, err := shelf.Read(v)
		if err != nil {
			return err
		}
		if to = kept.CutTo(&m, sp.s.o.Limits.shelf()); to == m.Horizon {
			to = 0
			return nil
		}
		log, err := sp.sealedFrom(v, &m)
		if err == nil {
			bytes, err = log.follow(v, to)
		}
		if err == nil {
			base = log.Base()
		}
		return err
	})
	if err != nil || to == 0 {
		return 0, err
	}
	err = sp.changeSealed(ctx, func(v logstore.View, m *logstore.Meta, log *sealedLog) (*logstore.WriteSet, error) {
		kept, err := shelf.Read(v)
		chain, found, err2 := v.Chain(to)
		if err := errors.Join(err, err2); err != nil {
			return nil, err
		}
		if !found || chain != base.Head.Chain || m.Horizon >= to || kept.CutTo(m, sp.s.o.Limits.shelf()) < to {
			return nil, nil // another server has cut it, or the store was put back
		}
		kept.WasCut(bytes)
		log.shelf = kept
		return &logstore.WriteSet{Cut: to, Keep: seal.ChangePrefix, Blobs: []logstore.Blob{shelf.BaseBlob(base),
			kept.Blob()}}, nil
	})
	return to, err
}

// sealedFrom returns the log of a sealed space as of where it begins.
func (sp *space) sealedFrom(v logstore.View, m *logstore.Meta) (*sealedLog, error) {
	l := &sealedLog{Log: seal.NewLog(sp.name, seal.Anchor{}, seal.Window)}
	base, err := shelf.Base(v, m)
	if err != nil || base == nil {
		return l, err
	}
	saved := &seal.Saved{Head: base.Head, Chains: []seal.Hash{base.Head.Chain}, Clients: base.Clients}
	counts := map[uint64]bool{}
	for _, seq := range base.Changes {
		counts[seq] = true
	}
	for at := uint64(0); at < m.Horizon; {
		kept, err := v.Entries(at, batchBytes, wire.ClientID{})
		if err != nil {
			return nil, err
		}
		if at = m.Horizon; len(kept) > 0 {
			at = kept[len(kept)-1].Seq
		}
		for i := 0; i < len(kept) && kept[i].Seq <= m.Horizon; i++ {
			e := &kept[i]
			s, err := seal.UnmarshalSealed(e.Body)
			if err != nil {
				return nil, errcode.Wrap(err, errcode.Damaged, "server: read log")
			}
			if l.changes = append(l.changes, e.Seq); counts[e.Seq] {
				saved.Changes = append(saved.Changes, seal.SavedChange{Seq: e.Seq, Box: s.Box})
			}
		}
	}
	return l, errcode.Wrap(l.Restore(saved), errcode.Damaged, "server: read log")
}

// follow judges the entries up to one, all of which were judged before, and returns how many bytes a
// cut takes away with them.
func (l *sealedLog) follow(v logstore.View, to uint64) (bytes int64, err error) {
	for l.Head().Seq < to {
		entries, err := v.Entries(l.Head().Seq, batchBytes, wire.ClientID{})
		if err != nil {
			return 0, err
		}
		if len(entries) == 0 {
			return 0, errcode.New(errcode.Damaged, "server: read log", "the log ends before its head")
		}
		for i := 0; i < len(entries) && entries[i].Seq <= to; i++ {
			e := &entries[i]
			verdict := l.Judge(e, seal.Checks{Valid: trusted})
			if verdict.Stop != "" {
				return 0, errcode.New(errcode.Damaged, "server: read log", "an entry of the sealed log is not one")
			}
			if l.append(e, verdict); !seal.IsChange(e.Body) {
				bytes += int64(len(e.Body)) + entryBytes
			}
		}
		l.Keep()
	}
	return bytes, nil
}

// wanting says what a server wants of the devices of a sealed space.
type wanting struct {
	snapshot bool    // a new one
	beside   bool    // a new one, if that which is to be proved is not: the member who has made it may lie
	proof    seal.ID // of a snapshot; zeros for none
	maker    seal.ID // whose that is
	alone    bool    // and who may prove it
	by       *feed   // which was asked last
	until    time.Time
	doubted  time.Time // when the proof should have come that was asked for first; zero: none was asked for
}

// assess sees what is wanted of the space as a commit has left it, but for the entries up to cut. The
// caller has the turn.
func (sp *space) assess(m *logstore.Meta, cut uint64) {
	kept := sp.sealed.shelf
	if kept == nil {
		return
	}
	limits := sp.s.o.Limits.shelf()
	now := *m
	now.Horizon = max(now.Horizon, cut)
	gone := func(one *shelf.Snapshot) bool { // nobody starts from it any more
		_, is := sp.sealed.Member(one.Maker)
		return !is
	}
	newest, proved := kept.Newest(), kept.Proved()
	next := wanting{snapshot: kept.Due(&now, limits, newest), alone: sp.sealed.alone()}
	switch {
	case newest == nil:
	case gone(newest):
		next.snapshot = true
	case !newest.Proved:
		next.proof, next.maker = newest.ID, newest.Maker
		next.beside = proved != nil && gone(proved) || kept.Due(&now, limits, proved)
	}
	sp.mu.Lock()
	last := sp.wanted
	if next.by, next.until = last.by, last.until; next.snapshot != last.snapshot || next.proof != last.proof {
		next.by, next.until = nil, time.Time{}
	}
	if next.proof == last.proof {
		next.doubted = last.doubted
	}
	sp.wanted = next
	if next.until.IsZero() && (next.proof != last.proof || next.snapshot && !last.snapshot) {
		sp.move(sp.head.Position, sp.head.err) // wakes the streams
	}
	sp.mu.Unlock()
	if to := kept.CutTo(&now, limits); to > now.Horizon && to-now.Horizon > limits.Kept/8 {
		sp.cutLater()
	}
}

// asks returns what a stream's device is asked for, nil for nothing.
func (sp *space) asks(f *feed) *wire.Wanted {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	if f.wait == 0 {
		return nil
	}
	return sp.wanted.ask(f, time.Now())
}

// ask says what a stream's device is asked for: one device at a time, which has wantedFor. Where no proof has come in
// that time another snapshot is asked for, of another device than the maker.
func (w *wanting) ask(f *feed, now time.Time) *wire.Wanted {
	if now.Before(w.until) || f.device.Slot != 0 {
		return nil
	}
	writes, prove := f.device.Role <= seal.RoleWrite, w.proof != seal.ID{}
	doubted := prove && !w.doubted.IsZero() && !now.Before(w.doubted)
	ask := &wire.Wanted{}
	switch {
	case doubted && w.beside && writes && f.device.ID != w.maker:
	case prove && (f.device.ID != w.maker || w.alone):
		if ask.Prove = w.proof[:]; w.doubted.IsZero() {
			w.doubted = now.Add(wantedFor)
		}
	case w.snapshot && !prove && writes:
	default:
		return nil
	}
	w.by, w.until = f, now.Add(wantedFor)
	return ask
}

// asksNoMore has another stream asked in the place of one that ends.
func (sp *space) asksNoMore(f *feed) {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	if sp.wanted.by == f {
		sp.wanted.by, sp.wanted.until = nil, time.Time{}
		if sp.head.err == nil {
			sp.move(sp.head.Position, nil) // wakes the others
		}
	}
}
