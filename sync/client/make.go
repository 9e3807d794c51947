package client

import (
	"context"
	"io"
	"sync"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/wire"
)

// making is what the server has asked this device for.
type making struct {
	busy bool
	next *wire.Wanted // what is to be done then; nil for nothing
	done sync.WaitGroup
}

// wanted does what the server asks this device for, one thing at a time. What it has asked
// for last counts.
func (s snapshots) wanted(ctx context.Context, w *wire.Wanted) {
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.making.next = w; c.making.busy || c.closed {
		return
	}
	c.making.busy = true
	c.making.done.Go(func() {
		for w := s.take(); w != nil; w = s.take() {
			if err := s.try(ctx, w); err != nil && ctx.Err() == nil {
				c.events.put(SnapshotFailed{errcode.From(err, "sync: snapshot")})
				c.events.deliver()
			}
		}
	})
}

// take returns what is to be done next, nil for nothing.
func (s snapshots) take() *wire.Wanted {
	m := &s.c.making
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	w := m.next
	m.next, m.busy = nil, w != nil
	return w
}

// makeTries is how often what failed on the way is tried again.
const makeTries = 10

// try is do until that has an end. What was sent before counts.
func (s snapshots) try(ctx context.Context, w *wire.Wanted) error {
	for tries := 0; ; tries++ {
		err := s.do(ctx, w)
		code := errcode.Of(err)
		if err == nil || tries == makeTries || ctx.Err() != nil ||
			needsAttention(&errcode.Error{Code: code}, true) || code == errcode.Behind {
			return err
		}
		s.c.sleep(ctx, s.c.backoff(tries, code))
	}
}

func (s snapshots) do(ctx context.Context, w *wire.Wanted) error {
	ctx, cancel := context.WithTimeout(ctx, makeFor)
	defer cancel()
	if len(w.Prove) == 0 {
		return s.make(ctx)
	}
	return s.prove(ctx, w.Prove)
}

// make makes a snapshot and sends it.
func (s snapshots) make(ctx context.Context) (err error) {
	c := s.c
	p, err := c.replica.OpenPrefix(ctx)
	if err != nil {
		return err
	}
	defer p.Close()
	d, err := c.cfg.Sealer.Draft(ctx, p)
	if err != nil {
		return err
	}
	missing, err := s.missing(ctx, d.Kept())
	if err != nil {
		return err
	}
	d.Lost(missing)
	defer func() { // the next try goes on from here
		if e := c.replica.Inside(context.WithoutCancel(ctx), d.Save); err == nil {
			err = e
		}
	}()
	pieces := p.Pieces(d.Places(), d.Known)
	for {
		piece, err := pieces.Next(ctx)
		if err != nil {
			return err
		}
		if piece == nil {
			break
		}
		data, err := d.Seal(piece)
		if err != nil {
			return err
		}
		if data == nil {
			continue
		}
		if err := s.send(ctx, "chunks", data); err != nil {
			return err
		}
		d.Stored()
	}
	manifest, err := d.Finish(ctx, pieces)
	if err != nil {
		return err
	}
	if err = s.send(ctx, "snapshot", manifest); err == nil {
		d.Sent()
		s.note()
	}
	return err
}

func (s snapshots) send(ctx context.Context, resource string, data []byte) error {
	a, err := s.c.ask(ctx, "POST", resource, data)
	if err != nil {
		return err
	}
	_, err = a.whole()
	return err
}

// missing asks which chunks the server does not have.
func (s snapshots) missing(ctx context.Context, all []wire.Hash) ([]wire.Hash, error) {
	if len(all) == 0 {
		return nil, nil
	}
	a, err := s.c.ask(ctx, "POST", "missing", (&wire.Missing{Chunks: all}).Marshal())
	if err != nil {
		return nil, err
	}
	defer a.close()
	data, err := io.ReadAll(io.LimitReader(a.Body, wire.MaxRequest))
	if err != nil {
		return nil, err
	}
	m, err := wire.UnmarshalMissing(data)
	return m.Chunks, err
}
