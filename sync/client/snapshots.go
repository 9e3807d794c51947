package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"slices"
	"time"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/replica"
	"heddle.dev/heddle/sync/wire"
)

// The snapshots of a sealed space are its members': this client makes one where the
// server asks for it, and starts from one where its replica is new, or the log does not
// reach back to where it is.

// Draft is a snapshot that is being made. It belongs to one goroutine.
type Draft interface {
	// Places returns where the chunks of the last snapshot of this device ended.
	Places() []replica.Place
	// Kept returns their hashes. Lost says which of them the server does not have.
	Kept() []wire.Hash
	Lost(missing []wire.Hash)
	// Known says whether there is a chunk of a piece.
	Known(sum wire.Hash) bool
	// Seal makes the chunk of the next piece, which is to be sent: Stored says that the
	// server has it. It returns nil where there is one already.
	Seal(*replica.Piece) ([]byte, error)
	Stored()
	// Finish returns the manifest, once all pieces are sealed. HEDDLE_DAMAGED: the rows of
	// this device are not what it has kept of them.
	Finish(context.Context, *replica.Pieces) ([]byte, error)
	// Sent says that the server has taken the manifest.
	Sent()
	// Save keeps what the next snapshot can use, inside SQLite.
	Save(replica.Conn) error
}

// Plan is a snapshot that this device may start from, as far as its manifest tells.
type Plan interface {
	ID() [16]byte
	At() (seq uint64, chain wire.Hash)
	Digest() wire.Hash
	Schema() []byte
	Rows() uint64
	Chunks() []PlanChunk
	// Open returns the rows of a chunk. HEDDLE_DAMAGED: the bytes are not the chunk's.
	// HEDDLE_TAMPERED: its maker has made it otherwise than it says.
	Open(i int, data []byte) ([]wire.SnapshotTable, error)
	// Decided returns the counters of all clients. Outcomes returns what the log has of an
	// author's transactions, as far as this device can prove it.
	Decided() []wire.Decided
	// voids are those that the server says are void.
	Outcomes(author wire.ClientID, voids []wire.Outcome) []wire.Outcome
	// Known is the last entry that this device had followed when it looked at the snapshot. Retrace judges the entries
	// from the snapshot's to there as a device would that begins with it, and returns them: next brings those that follow
	// the snapshot's, none at the log's end. HEDDLE_TAMPERED: such a device would not come to where this one is.
	// HEDDLE_BEHIND: the log has gone on too far.
	Known() uint64
	Retrace(ctx context.Context, next func() ([]wire.Entry, error)) ([]replica.Opened, error)
	// Adopt has the replica go on from the snapshot's entry, once its rows are there.
	Adopt()
	// Confirm says that this device has read the snapshot back whole, which its heads tell from now on; without Retrace
	// that it has started from it, which they tell once another device than its maker has confirmed it, or where there is
	// no other. Confirmed says whether they do.
	Confirm()
	Confirmed() bool
}

// Purpose is what a device looks at a snapshot for.
type Purpose int

// The purposes.
const (
	ToStart   Purpose = iota // it has what this device has seen of the log, and more
	ToProve                  // it is of the log that this device follows
	ToCompare                // it is of whatever log the server has
)

// PlanChunk is a chunk of a plan.
type PlanChunk struct {
	Hash wire.Hash
	Size uint64
	Rows uint64
}

// snapshots is what a client does about those of its sealed space.
type snapshots struct{ c *Client }

const (
	// makeFor is how long the making of a snapshot may keep the database's log from being
	// emptied. What was sent until then counts for the next try.
	makeFor = 5 * time.Minute
	// chunksAhead is how many chunks are asked for before they are needed.
	chunksAhead = 4
	// maxManifest is the longest manifest that is read.
	maxManifest = wire.MaxBody
)

// SnapshotFailed says that this device has not made a snapshot that the server has asked
// for, or has found one that is not to be started from. Nothing else depends on it.
type SnapshotFailed struct{ Err *errcode.Error }

// OnSnapshotFailed calls f when that was so.
func (c *Client) OnSnapshotFailed(f func(SnapshotFailed)) (remove func()) { return on(&c.events, f) }

// each calls f with the manifests that the server has, the newest first, until it
// returns false.
func (s snapshots) each(ctx context.Context, f func(manifest []byte) bool) error {
	const op = "sync: snapshots"
	a, err := s.c.ask(ctx, "GET", "snapshots", nil)
	if err != nil {
		return err
	}
	defer a.close()
	for r := bufio.NewReader(a.Body); ; {
		n, err := binary.ReadUvarint(r)
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return errcode.Wrap(err, errcode.Network, op)
		case n > maxManifest:
			return errcode.New(errcode.Protocol, op, "a manifest is too long")
		}
		data := make([]byte, n)
		if _, err := io.ReadFull(r, data); err != nil {
			return errcode.Wrap(err, errcode.Network, op)
		}
		if !f(data) {
			return nil
		}
	}
}

// manifests returns all of them.
func (s snapshots) manifests(ctx context.Context) (all [][]byte, err error) {
	err = s.each(ctx, func(manifest []byte) bool {
		all = append(all, manifest)
		return true
	})
	return all, err
}

// start has a replica that is new, or too far back, at a position, start from the newest
// snapshot that is what it says. It is false where there is none.
func (s snapshots) start(ctx context.Context, from wire.Position) (started bool, err error) {
	c := s.c
	select {
	case c.bootstrapTurn <- struct{}{}:
		defer func() { <-c.bootstrapTurn }()
	case <-ctx.Done():
		return false, errcode.Wrap(context.Cause(ctx), errcode.Aborted, "sync: start from a snapshot")
	}
	c.mu.Lock()
	started = c.view.Bootstrap == nil && c.view.Position != from
	c.mu.Unlock()
	if started { // by another pull, while this one waited for its turn
		return true, nil
	}
	manifests, err := s.manifests(ctx)
	switch errcode.Of(err) {
	case errcode.NotFound, errcode.NotMember, errcode.Removed: // the pull says what is to be done about it
		return false, nil
	}
	if err != nil || len(manifests) == 0 {
		return false, err
	}
	told, err := c.members(ctx, c.ClientID())
	if err != nil {
		return false, err
	}
	c.cfg.Sealer.Learn(ctx, told.changes)
	var first error
	for _, manifest := range manifests {
		plan, err := s.tryStart(ctx, &told, manifest)
		if err == nil || errors.Is(err, replica.ErrFork) {
			s.confirm(plan)
			return true, err
		}
		if !errors.As(err, new(*unusable)) {
			return false, err
		}
		if first == nil || otherHistory(err) {
			first = err
		}
	}
	return false, first
}

// tryStart starts from a snapshot. An *unusable says that another one, or the log's beginning, may do.
func (s snapshots) tryStart(ctx context.Context, told *toldMembers, manifest []byte) (Plan, error) {
	c := s.c
	name := wire.HashBody(manifest)
	if err := c.unusable[name]; err != nil { // it was said before
		return nil, err
	}
	plan, err := c.cfg.Sealer.Survey(ctx, told.changes, manifest, ToStart)
	if code := errcode.Of(err); code == errcode.Tampered || code == errcode.Behind {
		err = &unusable{err}
	}
	if err == nil {
		err = s.goesOn(ctx, told.epoch, plan)
	}
	var why *unusable
	if err == nil {
		err = s.fill(ctx, told, plan)
		if errors.As(err, &why) && errcode.Of(err) == errcode.Tampered { // its maker is to blame: it stays so
			if len(c.unusable) >= maxUnusable {
				clear(c.unusable)
			}
			c.unusable[name] = why
		}
	}
	if errors.As(err, &why) {
		c.events.put(SnapshotFailed{errcode.From(err, "sync: snapshot")})
		c.events.deliver()
	}
	return plan, err
}

// maxUnusable bounds how many snapshots are remembered that are not tried again.
const maxUnusable = 64

// unusable is why a snapshot is not started from.
type unusable struct{ error }

func (u *unusable) Unwrap() error { return u.error }

// goesOn says whether the server's log goes on from a snapshot: what is started from a position that it does not have
// cannot be followed.
func (s snapshots) goesOn(ctx context.Context, epoch wire.Epoch, plan Plan) error {
	at := wire.Position{Epoch: epoch}
	at.Seq, at.Chain = plan.At()
	_, closeLog, err := s.c.logFrom(ctx, at)
	switch errcode.Of(err) {
	case "":
		closeLog()
	case errcode.Diverged:
		return &unusable{&errcode.Error{Code: errcode.Tampered, Op: "sync: start from a snapshot", Err: err,
			Msg: "the server's log does not go on from the snapshot"}}
	case errcode.Behind:
		return &unusable{err}
	}
	return err
}

// base returns the newest snapshot of the log that the server has, whatever this device has
// followed. HEDDLE_BEHIND: there is none that is what it says.
func (s snapshots) base(ctx context.Context) (epoch wire.Epoch, plan Plan, err error) {
	manifests, err := s.manifests(ctx)
	if err != nil {
		return epoch, nil, err
	}
	told, err := s.c.members(ctx, wire.ClientID{})
	if err != nil {
		return epoch, nil, err
	}
	err = errcode.New(errcode.Behind, "sync: read", "the server's log is cut, and it has no snapshot")
	for _, manifest := range manifests {
		if plan, err = s.c.cfg.Sealer.Survey(ctx, told.changes, manifest, ToCompare); err == nil {
			break
		}
	}
	return told.epoch, plan, err
}

// startOrFollow is start for a replica that is new: where no snapshot is what it says, the
// log is followed from its first entry, as far as the server still has that.
func (s snapshots) startOrFollow(ctx context.Context, from wire.Position) (started bool, err error) {
	c := s.c
	if started, err = s.start(ctx, from); !errors.As(err, new(*unusable)) {
		return started, err
	}
	c.mu.Lock()
	at, begun := c.view.Position.Seq, c.view.Bootstrap != nil
	c.mu.Unlock()
	switch {
	case at > 0:
		return false, err
	case begun: // what has come of it goes
		return false, c.replica.StartOver(ctx, func(replica.Conn) error { return nil })
	}
	return false, nil
}

// fetched is a chunk's bytes.
type fetched struct {
	data []byte
	err  error
}

// fetch asks for the chunks of a plan from one on, some ahead of who takes them.
func (s snapshots) fetch(ctx context.Context, chunks []PlanChunk) (next func() ([]byte, error), end func()) {
	ctx, cancel := context.WithCancel(ctx)
	queue := make(chan chan fetched, chunksAhead-1)
	go func() {
		defer close(queue)
		for _, k := range chunks {
			one := make(chan fetched, 1)
			select {
			case queue <- one:
			case <-ctx.Done():
				return
			}
			go func() {
				data, err := s.chunk(ctx, k)
				one <- fetched{data, err}
			}()
		}
	}()
	return func() ([]byte, error) {
			select {
			case one := <-queue:
				f := <-one
				return f.data, f.err
			case <-ctx.Done():
				return nil, errcode.Wrap(context.Cause(ctx), errcode.Aborted, "sync: fetch a chunk")
			}
		}, func() {
			cancel()
			for one := range queue {
				<-one
			}
		}
}

func (s snapshots) chunk(ctx context.Context, k PlanChunk) ([]byte, error) {
	a, err := s.c.ask(ctx, "GET", "chunk?id="+hex.EncodeToString(k.Hash[:]), nil)
	if err != nil {
		return nil, err
	}
	defer a.close()
	data := bytes.NewBuffer(make([]byte, 0, k.Size+1+bytes.MinRead)) // which does not grow
	_, err = data.ReadFrom(io.LimitReader(a.Body, int64(k.Size)+1))
	return data.Bytes(), errcode.Wrap(err, errcode.Network, "sync: fetch a chunk")
}

// fill applies a snapshot, chunk by chunk. It goes on with one that has broken off.
func (s snapshots) fill(ctx context.Context, told *toldMembers, plan Plan) error {
	c := s.c
	c.mu.Lock()
	view := c.view
	req := &wire.PullRequest{Position: view.Position, Client: view.Client, Anew: true,
		Clients: slices.Clone(c.askedClients)}
	c.mu.Unlock()
	seq, chain := plan.At()
	chunks, from := plan.Chunks(), 0
	if at := view.Bootstrap; at != nil && at.Epoch == told.epoch && at.Seq == seq && at.Chain == chain && at.Table != "" {
		for rows := uint64(0); from < len(chunks) && rows < at.Rows; from++ {
			rows += chunks[from].Rows
		}
		copied := *at
		req.Resume = &copied
	}
	next, end := s.fetch(ctx, chunks[from:])
	defer end()
	for i := from; ; i++ {
		f := &wire.Snapshot{Resumed: i == from && req.Resume != nil, Seq: seq, Chain: chain, Total: plan.Rows(),
			Schema: plan.Schema()}
		if i < len(chunks) {
			data, err := next()
			if err == nil {
				f.Tables, err = plan.Open(i, data)
			}
			switch errcode.Of(err) {
			case "":
			case errcode.Behind, errcode.NotFound, errcode.Damaged, errcode.Tampered:
				return &unusable{err}
			default:
				return err
			}
		}
		if i == from { // the server answers, whatever came of the attempts before: the status says what is going on
			c.update(func(cond *condition) { cond.pull, cond.push = nil, nil })
		}
		if f.Last = i >= len(chunks)-1; f.Last {
			f.End = &wire.SnapshotEnd{Digest: plan.Digest()}
			f.Clients, f.Own = plan.Decided(), plan.Outcomes(req.Client, told.voids)
			plan.Adopt()
		}
		if err := s.apply(ctx, req, told.epoch, f, i == from); err != nil {
			return err
		}
		if f.Last {
			return nil
		}
	}
}

// apply applies a frame of a snapshot.
func (s snapshots) apply(
	ctx context.Context, req *wire.PullRequest, epoch wire.Epoch, f *wire.Snapshot, first bool,
) error {
	c := s.c
	rows, err := c.replica.Snapshot(ctx, req, epoch, f, first)
	var ask *replica.AskError
	if errors.As(err, &ask) {
		c.mu.Lock()
		c.askedClients = append(c.askedClients, ask.Client)
		c.mu.Unlock()
	}
	if code := errcode.Of(err); code == errcode.Diverged || code == errcode.Protocol {
		return &unusable{&errcode.Error{Code: errcode.Tampered, Op: "sync: start from a snapshot", Err: err,
			Msg: "the snapshot does not have the rows that it says"}}
	}
	if err != nil && !errors.Is(err, replica.ErrFork) {
		return err
	}
	c.events.put(Progress{Phase: "snapshot", Done: rows, Total: max(f.Total, rows), Rows: rows})
	c.events.deliver()
	if f.End != nil {
		c.mu.Lock()
		c.restart, c.askedClients = false, nil
		c.generation++
		c.progress = c.progress.forgotten()
		c.mu.Unlock()
		c.wakePush()
	}
	return err
}

// confirm has this device's next head say that a snapshot is what it says.
func (s snapshots) confirm(plan Plan) {
	plan.Confirm()
	s.note()
	s.c.tellSoon()
}

// note has the status say who has confirmed the last snapshot.
func (s snapshots) note() {
	s.c.update(func(cond *condition) { cond.snapshot = s.c.cfg.Sealer.Snapshot() })
}
