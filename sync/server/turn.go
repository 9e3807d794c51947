package server

import (
	"cmp"
	"errors"
	"maps"
	"runtime/debug"
	"slices"
	"time"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/fold"
	"heddle.dev/heddle/sync/logstore"
	"heddle.dev/heddle/sync/wire"
)

// turn decides pushes in memory: first all is gathered that they need, of the space's
// state or in one View, then they are decided one after the other, and w is what to
// commit. It may run again, on another base or without one of them.
type turn struct {
	sp     *space
	o      *Options
	pushes []*push

	st       *state // of the head that they are decided on
	warm     bool   // all else is of st as well: the store was not read
	meta     logstore.Meta
	schema   *fold.Schema // that of st, until it changes
	clients  map[wire.ClientID]*client
	uploads  uploads
	sizes    []logstore.Size // of the log's first entries, where some may be cut
	rows     map[logstore.RowID]*row
	inserted []logstore.RowID // of which nothing was known before they were read
	w        logstore.WriteSet
	steps    []Step

	newcomers int64 // pushes of devices that are new to the space
}

// client is a replica as it stands in the turn.
type client struct {
	logstore.Client
	changed bool
	claimed bool   // in the turn
	before  uint64 // its last decided counter before the turn
	hashes  []wire.Hash
}

// row is a row of the folded state as it stands in the turn.
type row struct {
	cells   []byte // encoded; nil: there is none
	guessed bool   // that there was none before
	folded  *fold.Row
	decoded bool
	changed bool
}

// recall gathers what the pushes need of memory. It is false where that does not have
// all of it, or would have one of them refused: that is for the store to say.
func (t *turn) recall() bool {
	if t.sp.st == nil {
		return false
	}
	t.st = t.sp.st
	if sealed := t.sp.sealed; sealed != nil {
		sealed.Rollback(0) // what an earlier try has appended
		if at, head := sealed.Head(), t.st.meta.Head; at.Seq != head.Seq || at.Chain != head.Chain {
			return false
		}
	}
	return t.read(t.st) == nil
}

// readStore reads what the pushes need.
func (t *turn) readStore(v logstore.View) (err error) {
	if t.st, err = t.sp.stateAt(v); err != nil {
		return err
	}
	if err := t.sp.readSealed(v, &t.st.meta); err != nil {
		return err
	}
	if err := t.read(v); err != nil {
		return err
	}
	t.st.meta = t.meta // its log may have been cut
	t.st.knows(t)
	for _, id := range t.inserted {
		if r := t.rows[id]; r != nil { // else its push has failed before that
			t.st.met(r.cells != nil)
		}
	}
	return nil
}

func (t *turn) read(v past) (err error) {
	t.clients, t.rows, t.sizes, t.inserted = map[wire.ClientID]*client{}, map[logstore.RowID]*row{}, nil, nil
	t.newcomers = 0
	t.st.digest.Undo() // what an earlier try has changed
	t.schema = t.st.schema
	if t.meta, err = v.Meta(); err != nil {
		return err
	}
	t.w = logstore.WriteSet{Base: t.meta.Head, State: t.meta.State}
	held, err := v.Uploads()
	if err != nil {
		return err
	}
	t.uploads = newUploads(held)
	incoming := int64(0)
	ids := make([]wire.ClientID, len(t.pushes))
	for i, p := range t.pushes {
		ids[i] = p.req.Client
		incoming += int64(p.bytes) + int64(len(p.req.Parts))*entryBytes
	}
	known, err := v.Clients(ids)
	if err != nil {
		return err
	}
	for i := range known {
		t.clients[known[i].ID] = &client{Client: known[i], before: known[i].Decided}
	}
	if !t.sealed() && t.meta.Logged+incoming+t.uploads.bytes() > t.mostLogged() {
		if t.sizes, err = v.Sizes(t.meta.Horizon, 1000); err != nil {
			return err
		}
	}
	for _, p := range t.pushes {
		p.res, p.err, p.touched, p.joined = nil, p.failed, false, nil
		if p.err != nil {
			continue
		}
		if p.err = t.readPush(v, p); p.err != nil && t.warm {
			return errUnknown
		}
	}
	return nil
}

// stateAt returns the state of the space, from memory where that is of this head. The
// caller has the turn.
func (sp *space) stateAt(v logstore.View) (*state, error) {
	m, err := v.Meta()
	if err != nil {
		return nil, err
	}
	if sp.st != nil && sp.st.meta.Head == m.Head {
		return sp.st, nil
	}
	sp.st = nil
	schema, err := v.Schema()
	if err != nil {
		return nil, err
	}
	folded, err := fold.UnmarshalSchema(schema)
	if err != nil {
		return nil, err
	}
	digest := &fold.Digest{}
	for b, err := range v.Buckets() {
		if err != nil {
			return nil, err
		}
		sum, err := fold.UnmarshalBucket(b.Sum)
		if err != nil {
			return nil, err
		}
		digest.Set(fold.BucketID{Table: b.Table, Group: b.Group, Bucket: uint8(b.Number)}, sum)
	}
	sp.st = newState(&m, folded, digest)
	return sp.st, nil
}

// readPush checks what a push says of the past, and reads the rows that it
// touches. Its errors are the push's own.
func (t *turn) readPush(v past, p *push) error {
	c := t.clients[p.req.Client]
	if !t.o.owns(p.caller, c.ID, c.Owner, c.Owned) {
		return errOwner
	}
	if err := checkPosition(v, &t.meta, p.req.Position); err != nil {
		return err
	}
	if err := t.checkDevices(v, p, c); err != nil {
		return err
	}
	for i := range p.req.Parts {
		part := &p.req.Parts[i]
		if part.Total > 1 && t.warm {
			return errUnknown // a commit does not prove which parts are held
		}
		if part.Counter > c.Decided {
			continue
		}
		hash, found, err := v.Find(c.ID, part.Counter)
		if err == nil && found && hash != part.BodyHash {
			err = fork(part.Counter)
		}
		if err != nil {
			return err
		}
	}
	if err := t.join(v, p, c.Decided); err != nil {
		return err
	}
	for _, i := range slices.Sorted(maps.Keys(p.whole)) { // in order: a row is inserted before it is updated
		if tx := p.whole[i]; tx.counter > c.Decided {
			if err := t.readRows(v, p, tx); err != nil {
				return err
			}
		}
	}
	for _, counter := range slices.Sorted(maps.Keys(p.joined)) {
		if err := t.readRows(v, p, p.joined[counter]); err != nil {
			return err
		}
	}
	return nil
}

// readRows reads the rows that a transaction touches, unless it is void anyway.
func (t *turn) readRows(v past, p *push, tx *transaction) error {
	if tx.err != nil || len(tx.data) > t.o.Limits.Body || len(tx.body.Ops) > t.o.Limits.Ops {
		return nil
	}
	var ids []logstore.RowID
	fetch := func() error {
		if err := p.ctx.Err(); err != nil {
			return err
		}
		all, err := v.Rows(ids)
		if err != nil {
			return err // nothing is known of them, and other pushes of the turn may ask for them
		}
		for i := range all {
			t.rows[ids[i]] = &row{cells: all[i]}
		}
		ids = ids[:0]
		return nil
	}
	seen := map[logstore.RowID]bool{}
	for i := range tx.body.Ops {
		op := &tx.body.Ops[i]
		id := logstore.RowID{Table: op.Shape.Table, Key: string(wire.EncodeKey(op.Key))}
		if seen[id] || t.rows[id] != nil {
			continue
		}
		seen[id] = true
		if op.Shape.Kind == wire.Insert {
			switch unread, guess := t.st.unread(id); {
			case t.warm && guess:
				t.rows[id] = &row{guessed: true}
				continue
			case unread:
				t.inserted = append(t.inserted, id)
			}
		}
		if ids = append(ids, id); len(ids) == 1000 {
			if err := fetch(); err != nil {
				return err
			}
		}
	}
	return fetch()
}

// decide decides the pushes. It is false where one has failed after something of it
// was decided: the turn begins again without it.
func (t *turn) decide() bool {
	defer t.step("decide", time.Now())
	for _, p := range t.pushes {
		if p.drop {
			t.uploads.end(p.req.Client)
		}
	}
	for _, p := range t.pushes {
		if p.err != nil {
			continue
		}
		known := t.clients[p.req.Client].Client
		if p.err = t.decidePush(p); p.err == nil {
			continue
		}
		t.clients[p.req.Client] = &client{Client: known, before: known.Decided}
		if p.drop = p.drop || errors.Is(p.err, errPartsHash); p.touched || p.drop && p.failed == nil {
			p.failed = p.err
			return false
		}
	}
	t.finish()
	for _, p := range t.pushes {
		if p.err == nil {
			p.res = &wire.PushResponse{Epoch: t.w.Head.Epoch, Head: t.w.Head.Seq,
				Decided: t.clients[p.req.Client].Decided, Staged: t.staged(p.req.Client)}
		}
	}
	return true
}

// staged returns how many parts are held of a client's next transaction.
func (t *turn) staged(id wire.ClientID) uint32 {
	if u := t.uploads.of(id); u != nil && u.Counter == t.clients[id].Decided+1 {
		return u.Held
	}
	return 0
}

// decidePush decides the transactions of a push that are whole, and keeps the parts
// of one that is not. After an error p.touched says whether the turn has something
// of it.
func (t *turn) decidePush(p *push) (err error) {
	defer func() {
		if fault := recover(); fault != nil {
			t.sp.s.log.Error("panic", "space", t.sp.name, "panic", fault, "stack", string(debug.Stack()))
			p.touched = true
			err = errcode.New(errcode.Internal, "server", "a fault of the server")
		}
	}()
	c := t.clients[p.req.Client]
	if !c.Owned && (c.Decided > 0 || len(p.req.Parts) > 0) {
		t.claim(p.caller, c)
	}
	for i := range p.req.Parts {
		part := &p.req.Parts[i]
		if part.Counter <= c.Decided {
			if part.Counter > c.before && c.hashes[part.Counter-c.before-1] != part.BodyHash {
				return fork(part.Counter)
			}
			continue
		}
		if part.Counter > c.Decided+1 {
			break // a gap: the answer says where to go on
		}
		if err := p.ctx.Err(); err != nil {
			return err
		}
		tx, err := t.stage(p, i)
		if err == nil && tx == nil {
			continue
		}
		if err == nil {
			err = t.decideOne(p, tx)
		}
		var refused *refusal
		later := errors.Is(err, ErrUndecided) || errcode.Of(err) == errcode.RateLimited || errors.As(err, &refused)
		if c.Decided > c.before && later {
			break // the ones before are decided; this one's turn comes again
		}
		if err != nil {
			return err
		}
		c.Decided++
		c.hashes = append(c.hashes, tx.hash)
		c.changed, p.touched = true, true
	}
	return nil
}

// decideOne gives a whole transaction its place and outcome in the log, and folds
// it. A nil error means that it is decided, ok or void.
func (t *turn) decideOne(p *push, tx *transaction) error {
	if wire.Sealed(tx.data) || t.sealed() {
		return t.decideSealed(p, tx)
	}
	e := wire.Entry{Seq: t.w.Head.Seq + 1, Client: p.req.Client, Counter: tx.counter, BodyHash: tx.hash, Body: tx.data}
	effects, schema, err := t.judge(p.ctx, p.caller, p.req.Client, tx)
	var refusal *void
	switch {
	case errors.As(err, &refusal):
		e.Outcome, e.Body = refusal.code, nil
	case err != nil:
		return err
	default:
		t.schema = schema
		t.apply(effects)
	}
	e.Chain = e.ChainAfter(t.w.Head.Chain)
	t.w.Head.Seq, t.w.Head.Chain = e.Seq, e.Chain
	t.w.Entries = append(t.w.Entries, e)
	return nil
}

// finish completes the write set: beside the entries, what their decisions have
// changed. The digest is that of the last entry: no reader ever sees the log end
// at another one.
func (t *turn) finish() {
	t.uploads.write(&t.w)
	for _, p := range t.pushes {
		c := t.clients[p.req.Client]
		if c.changed {
			t.w.Clients = append(t.w.Clients, c.Client)
		}
		if c.Decided > c.before {
			t.see(p, c)
		}
	}
	if len(t.w.Entries) == 0 {
		return
	}
	for id, r := range t.rows {
		if r.changed || r.guessed {
			t.w.Rows = append(t.w.Rows, logstore.Row{RowID: id, Cells: r.cells, New: r.guessed})
		}
	}
	slices.SortFunc(t.w.Rows, func(a, b logstore.Row) int {
		return cmp.Or(cmp.Compare(a.Table, b.Table), cmp.Compare(a.Key, b.Key))
	})
	for _, id := range t.st.digest.Dirty() {
		b := wire.Bucket{Table: id.Table, Group: id.Group, Number: uint32(id.Bucket)}
		if sum := t.st.digest.Get(id); sum != (fold.Bucket{}) {
			b.Sum = sum.Marshal()
		}
		t.w.Buckets = append(t.w.Buckets, b)
	}
	if t.schema != t.st.schema {
		t.w.Schema = t.schema.Marshal()
	}
	t.w.Digest = t.st.digest.Sum()
	t.compact()
}

// see drops outcomes of transactions that the log no longer holds: those that the
// client has seen, and those beyond the newest of a client that only sends.
func (t *turn) see(p *push, c *client) {
	s := logstore.Seen{Client: c.ID, Seq: p.req.Position.Seq}
	if c.Decided > max(c.before, maxOutcomes) {
		s.Counter = c.Decided - maxOutcomes
	}
	if t.meta.Horizon > 0 && (s.Seq > 0 || s.Counter > 0) {
		t.w.Seen = append(t.w.Seen, s)
	}
}

// mostLogged is how large the log may become.
func (t *turn) mostLogged() int64 { return max(t.o.Limits.Log, 2*t.w.Live) }

// compact cuts the log's beginning off where the log has grown past what is
// kept: so much that it stays proportional to the live data, so little at a time
// that no push waits for it. The last entry always stays.
func (t *turn) compact() {
	if t.sealed() { // there are no rows to start from instead
		return
	}
	most := t.mostLogged()
	logged := t.meta.Logged
	for i := range t.w.Entries {
		logged += int64(len(t.w.Entries[i].Body)) + entryBytes
	}
	if logged <= most {
		return
	}
	for _, s := range t.sizes {
		if logged <= most-most/8 {
			return
		}
		t.w.Cut = s.Seq
		logged -= s.Bytes + entryBytes
	}
}
