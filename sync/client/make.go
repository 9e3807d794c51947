package client

import (
	"bytes"
	"context"
	"sync"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/replica"
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
			err := s.try(ctx, w)
			behind := len(w.Prove) > 0 && errcode.Of(err) == errcode.Behind // another device, or another snapshot, will do
			if err != nil && !behind && ctx.Err() == nil {
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
	_, err = a.whole(maxAnswer)
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
	data, err := a.whole(wire.MaxRequest)
	if err != nil {
		return nil, err
	}
	m, err := wire.UnmarshalMissing(data)
	return m.Chunks, err
}

// prove reads a snapshot back whole, and has this device's next head say that it is what this device has.
func (s snapshots) prove(ctx context.Context, id []byte) error {
	const op = "sync: read a snapshot back"
	c := s.c
	manifests, err := s.manifests(ctx)
	if err != nil {
		return err
	}
	told, err := c.members(ctx, wire.ClientID{})
	if err != nil {
		return err
	}
	err = errcode.New(errcode.Behind, op, "the snapshot is gone")
	for _, manifest := range manifests {
		plan, perr := c.cfg.Sealer.Survey(ctx, told.changes, manifest, ToProve)
		if perr != nil {
			err = perr // of this one, or of another that is newer
			continue
		}
		if name := plan.ID(); !bytes.Equal(name[:], id) {
			continue
		}
		if plan.Confirmed() { // the server has not heard of it yet
			c.tellSoon()
			return nil
		}
		if err := s.readBack(ctx, told.epoch, plan); err != nil {
			return err
		}
		s.confirm(plan)
		return nil
	}
	return err
}

// readBack does with a snapshot what a new device would, without a database: it reads the chunks, and applies the
// entries that follow. Both have to lead to the rows and the state of the log that this device has itself.
func (s snapshots) readBack(ctx context.Context, epoch wire.Epoch, plan Plan) error {
	const op = "sync: read a snapshot back"
	seq, digest, err := s.c.replica.Digest(ctx)
	if err != nil {
		return err
	}
	if seq != plan.Known() {
		return errcode.New(errcode.Network, op, "the log has gone on meanwhile") // it is tried again
	}
	at := wire.Position{Epoch: epoch}
	at.Seq, at.Chain = plan.At()
	entries, closeLog, err := s.c.logFrom(ctx, at)
	if err != nil {
		return err
	}
	defer closeLog()
	tail, err := plan.Retrace(ctx, entries)
	if err != nil {
		return err
	}
	read, err := replica.NewReadBack(plan.Schema(), tail)
	if err != nil {
		return err
	}
	next, end := s.fetch(ctx, plan.Chunks())
	defer end()
	for i := range plan.Chunks() {
		data, err := next()
		if err != nil {
			return err
		}
		tables, err := plan.Open(i, data)
		if err == nil {
			err = read.Add(tables)
		}
		if err != nil {
			return err
		}
	}
	switch {
	case read.Digest() != plan.Digest():
		return errcode.New(errcode.Tampered, op, "the snapshot does not have the rows that it says")
	case read.Follow() != digest:
		return errcode.New(errcode.Tampered, op, "the snapshot has other rows than this device")
	}
	return nil
}
