package client

import (
	"context"
	"encoding/hex"
	"errors"
	"io"
	"strconv"
	"time"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/replica"
	"heddle.dev/heddle/sync/wire"
)

// Sealer is a device's part in a sealed space, as its client needs it: package member
// is one.
type Sealer interface {
	replica.Sealing
	// Unlocked is nil once the device has its keys; else nothing is asked of the server,
	// and the error says why.
	Unlocked() error
	// Sealed returns what is sent of a client's transactions, the first of which has a
	// counter: the parts of each. The one before it is in the log, or was sealed before; else the error is
	// HEDDLE_BEHIND.
	Sealed(ctx context.Context, client wire.ClientID, counter uint64, all []replica.PendingBody) ([][]wire.Part, error)
	// Sending keeps, inside SQLite, what was sealed of a client's transactions from a counter on, so that a snapshot that
	// counts them proves that they are decided, whatever becomes of this process; nil where nothing is sealed.
	Sending(client wire.ClientID, counter uint64) func(replica.Conn) error
	// Recall gives entries that came without their bodies those that were sealed here, and returns how many entries,
	// from the first on, have their bodies then. Those up to after are not looked at.
	Recall(after uint64, entries []wire.Entry) int
	// Reseal forgets what was sealed: the server does not take it.
	Reseal()
	// Learn takes the keys that entries with Changes have for this device.
	Learn(ctx context.Context, entries []wire.Entry)
	// Wrote says whether the log has anything of a client.
	Wrote(wire.ClientID) bool
	// Check says what of the log's end is not as it has to be: the device was removed,
	// or the log is shorter than this device was told.
	Check() error
	// MayWrite says whether what this device pushes is taken.
	MayWrite() bool
	// Prove returns the header that shows a server that a request for an action is a
	// member's, by a challenge of the server's, as it came in a header.
	Prove(ctx context.Context, challenge, action string) (string, error)
	// ProveOtherwise is called where the server does not take whoever Prove has spoken
	// for as a member, and says whether there is another way.
	ProveOtherwise() bool
	// Admission makes the Change by which the device adds itself, or says that it has
	// started over; nil where it need not.
	Admission(ctx context.Context) (*Change, error)
	// Decided is the last counter that the log has of a client.
	Decided(wire.ClientID) uint64
	// Word looks among entries with Changes for an admin's word, which counts for this
	// device, that the end of its log is lost; nil for none.
	Word(ctx context.Context, entries []wire.Entry) (*Word, error)
	// Examine judges another log from its first entry: next brings its entries, none at
	// the end. forget is for replica.StartOver, nil where this device has lost nothing.
	// Without a word of another's the device has to be an admin's: HEDDLE_NOT_ALLOWED.
	// base is the snapshot that they follow, nil where they begin with the first one.
	Examine(ctx context.Context, word *Word, base Plan, next func() ([]wire.Entry, error)) (
		forget func(replica.Conn) error, err error)
	// Draft begins a snapshot of what a replica has. HEDDLE_KEYS, HEDDLE_NOT_ALLOWED,
	// HEDDLE_TOO_BIG: this device cannot make one.
	Draft(ctx context.Context, p *replica.PrefixReader) (Draft, error)
	// Survey looks at a snapshot's manifest, beside the entries with Changes that the server
	// shows. HEDDLE_TAMPERED: it is not what it has to be. HEDDLE_BEHIND: it is older than
	// what this device has, which would start from it.
	Survey(ctx context.Context, changes []wire.Entry, manifest []byte, to Purpose) (Plan, error)
	// Passed returns the chain hash of an entry that this device has followed, where it is
	// kept.
	Passed(seq uint64) (chain wire.Hash, kept bool)
	// Snapshot is what is known of who has confirmed the last snapshot of this device.
	Snapshot() SnapshotStatus
	// GiveUp makes an admin's word for others, where this device has lost nothing.
	GiveUp(ctx context.Context) (*Change, error)
	// Found makes a seal.Evidence of what has stopped this device, for KeepFound, which runs inside SQLite; nil where
	// that was done. Evidence returns it, with those of the entries with Changes that this device's log has.
	Found(ctx context.Context, why *Tampered, now time.Time) ([]byte, error)
	KeepFound(c replica.Conn, evidence []byte) error
	Evidence(changes []wire.Entry) []byte
	Heads
}

// Heads are what the members of a sealed space tell each other of the log that they
// follow, as a device's part in the space hears and tells it.
type Heads interface {
	// Hear takes heads that the server passes on, and looks again at those that were kept,
	// since the log has gone on. HEDDLE_TAMPERED: a member has told of another history.
	Hear(ctx context.Context, heads [][]byte) error
	// Tell makes this device's head where its log ends at an entry with the digest; nil where
	// that was told before, or is not so any more. SaveHeads comes before it is sent, and Told
	// after the server has taken it.
	Tell(ctx context.Context, seq uint64, digest wire.Hash, now time.Time) ([]byte, error)
	Told(head []byte)
	// SaveHeads keeps what was heard and told. It runs inside SQLite.
	SaveHeads(c replica.Conn) error
	// Ahead is where a member is whose entries have not come, and lost where one is that follows a history which was given
	// up, as far as is known.
	Ahead() (ahead, lost Withheld)
	// Comparable says whether members have told a digest of where this device's log ends, and Differs which one's
	// is another than this device's there, "" for none.
	Comparable() bool
	Differs(seq uint64, digest wire.Hash) (device string)
	// Overrule gives up what the heads tell of that have stopped this device. It is false where there are none.
	Overrule() bool
	// Again is for replica.StartOver with the log that is followed.
	Again() func(replica.Conn) error
}

// Word is an admin's word that what follows an entry is lost.
type Word struct {
	Change wire.Hash // that says so
	Seq    uint64
}

// Tampered is the cause of a HEDDLE_TAMPERED: what was found.
type Tampered struct {
	Kind   string // a seal.Stop, or Rollback
	Seq    uint64 // at which entry
	Device string // the id of the member that has told of another history; else ""
	Err    error  // of the server, of a Rollback
}

func (t *Tampered) Unwrap() error { return t.Err }

// Rollback is the kind of a log that is not the one which was followed.
const Rollback = "rollback"

func (t *Tampered) Error() string { return t.Kind + " at entry " + strconv.FormatUint(t.Seq, 10) }

// Withheld is what a member has told of, and the server has not sent.
type Withheld struct {
	Device string // the member's id; "" for nothing
	Seq    uint64 // its last entry
}

// Later is the later one of two.
func (w Withheld) Later(other Withheld) Withheld {
	if other.Seq > w.Seq || other.Seq == w.Seq && other.Device < w.Device {
		return other
	}
	return w
}

// Change is a change of who is a member of a sealed space, signed, as it is pushed.
type Change struct {
	Client  wire.ClientID
	Counter uint64
	Body    []byte
}

// maxChanges is how often a Change is made anew because another one came first.
const maxChanges = 10

// Change changes who is a member. make is called with the log's end known, and again
// where another Change has come first. It returns when the Change is in the log here.
func (c *Client) Change(ctx context.Context, make func(context.Context) (*Change, error)) error {
	const op = "sync: change the members"
	select {
	case c.pullMu <- struct{}{}:
		defer func() { <-c.pullMu }()
	case <-ctx.Done():
		return errcode.Wrap(context.Cause(ctx), errcode.Aborted, op)
	}
	for try := 0; ; try++ {
		if err := c.catchUp(ctx); err != nil {
			return errcode.Wrap(err, errcode.Network, op)
		}
		change, err := make(ctx)
		if err == nil {
			err = c.pushChange(ctx, change)
		}
		switch code := errcode.Of(err); {
		case err == nil:
			return errcode.Wrap(c.catchUp(ctx), errcode.Network, op)
		case try < maxChanges && movedOn(code):
		default:
			return errcode.Wrap(err, errcode.Internal, op)
		}
	}
}

// movedOn reports whether what was sealed is refused because the log is not what it was when it was read last: then it
// is read again, which says what has become of it.
func movedOn(code string) bool {
	switch code {
	case errcode.MembersMoved, errcode.Stale, errcode.OldEpoch, errcode.ClientFork, errcode.Behind, errcode.Diverged:
		return true
	}
	return false
}

// catchUp follows the log to its head.
func (c *Client) catchUp(ctx context.Context) error {
	for {
		err := c.pull(ctx, untilHead, func() {}, func() {})
		if !errors.Is(err, replica.ErrFork) && !errors.Is(err, errSeeded) {
			return err
		}
	}
}

func (c *Client) pushChange(ctx context.Context, change *Change) error {
	c.mu.Lock()
	at := c.view.Position
	c.mu.Unlock()
	_, err := c.sendPush(ctx, &wire.PushRequest{Position: at, Client: change.Client,
		Parts: wire.SplitBody(change.Counter, change.Body)})
	return err
}

// pullSealed is pull in a sealed space. It never starts over: a log that has become
// shorter may be an attack.
func (c *Client) pullSealed(ctx context.Context, once func(ownBodies bool) error) error {
	if err := c.cfg.Sealer.Unlocked(); err != nil {
		return err
	}
	pull := func() error {
		err := once(false)
		if errors.Is(err, errBodies) { // sealed before a crash, or by a copy
			err = once(true)
		}
		return err
	}
	c.mu.Lock()
	from := c.view.Position
	anew := from.Seq == 0 || c.view.Bootstrap != nil
	c.mu.Unlock()
	var started bool
	var err, serr error
	if anew {
		started, serr = (snapshots{c}).startOrFollow(ctx, from)
	}
	if !started && serr == nil {
		if err = pull(); errcode.Of(err) == errcode.Behind { // the log was cut
			started, serr = (snapshots{c}).start(ctx, from)
		}
	}
	other := otherHistory(serr)
	switch {
	case other:
		err = serr
	case started || serr != nil:
		return goOn(serr)
	}
	if errcode.Of(err) == errcode.Keys { // those who let this device in have left them in the log
		if lerr := c.learn(ctx); lerr != nil {
			return lerr
		}
		err = pull()
	}
	switch {
	case toldOtherwise(err):
		err = c.contradicted(ctx, err)
	case lostLog(err), other:
		err = c.rolledBack(ctx, err)
	}
	if errcode.Of(err) == errcode.Tampered { // nothing is sent either, until the log's end is reached again
		c.keepFound(ctx, err)
		c.mu.Lock()
		c.reachedEnd = false
		c.mu.Unlock()
	}
	return err
}

// errBodies says that own entries came without their bodies, which are not known here.
var errBodies = errcode.New(errcode.Network, "sync: pull", "own entries are asked for again, with their bodies")

// goOn has the log be followed from a snapshot's entry on.
func goOn(err error) error {
	if err == nil {
		err = errSeeded
	}
	return err
}

// learn asks for the Changes, and takes the keys that they have for this device.
func (c *Client) learn(ctx context.Context) error {
	all, err := c.Members(ctx)
	if err == nil {
		c.cfg.Sealer.Learn(ctx, all)
	}
	return err
}

// Members asks the server for the entries that change who is a member, in order. What
// they say is the server's word, until they are judged as a part of the log.
func (c *Client) Members(ctx context.Context) (all []wire.Entry, err error) {
	told, err := c.members(ctx, wire.ClientID{})
	return told.changes, err
}

// toldMembers is what a server tells of the members of a space.
type toldMembers struct {
	epoch   wire.Epoch     // of the log
	changes []wire.Entry   // see Client.Members
	voids   []wire.Outcome // of a client's transactions, as far as they are known
}

// members is Members that also says of which log they are, and which transactions of a
// client are void; of none where own is zero.
func (c *Client) members(ctx context.Context, own wire.ClientID) (told toldMembers, err error) {
	resource := "members"
	if own != (wire.ClientID{}) {
		resource += "?own=" + hex.EncodeToString(own[:])
	}
	a, err := c.ask(ctx, "GET", resource, nil)
	if err != nil {
		return told, err
	}
	defer a.close()
	for frames := wire.NewFrameReader(a.Body); ; {
		f, err := frames.Next()
		switch {
		case err == io.EOF:
			return told, errcode.New(errcode.Network, "sync: members", "the server has closed the stream")
		case err != nil:
			return told, errcode.Wrap(err, errcode.Network, "sync: members")
		case f.Hello != nil:
			told.epoch = f.Hello.Epoch
		case f.Snapshot != nil:
			told.voids = append(told.voids, f.Snapshot.Own...)
		case f.CaughtUp != nil:
			return told, nil
		}
		told.changes = append(told.changes, f.Entries...)
	}
}

// Members is [Client.Members] without a database.
func Members(ctx context.Context, cfg Config) ([]wire.Entry, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	cfg.complete()
	c := &Client{cfg: cfg}
	c.cond.serverKnown = true // there is no database that would keep that
	return c.Members(ctx)
}

// reached does what has to be done at the log's end in a sealed space.
func (c *Client) reached(ctx context.Context) error {
	s := c.cfg.Sealer
	if s == nil {
		return nil
	}
	if err := s.Check(); err != nil {
		return err
	}
	if err := c.hear(ctx, nil); err != nil {
		return err
	}
	if ended, err := c.replica.EndStartOver(ctx, s.Decided(c.ClientID())); err != nil {
		return err
	} else if ended {
		c.mu.Lock()
		c.generation++ // what is pending has other numbers
		c.mu.Unlock()
		return errSeeded
	}
	admission, err := s.Admission(ctx)
	if err != nil {
		return err
	}
	if admission != nil {
		if err := c.pushChange(ctx, admission); err != nil && !movedOn(errcode.Of(err)) {
			return err
		}
		return errSeeded // the log has it, or another Change that came first
	}
	c.mu.Lock()
	c.reachedEnd = true
	c.mu.Unlock()
	c.wakePush()
	c.tellSoon()
	return nil
}

// sealedTransactions is how many are sealed together, for one request, beside pushSize.
const sealedTransactions = 1000

// nextSealed is nextPush in a sealed space: what is pending is sealed when it is sent,
// once the log's end was reached.
func (c *Client) nextSealed(ctx context.Context, view replica.View, at pushProgress) (*pushing, error) {
	c.mu.Lock()
	ready := c.reachedEnd
	c.mu.Unlock()
	if !ready || c.replica.Recorded() <= view.Last {
		return nil, nil
	}
	if !c.cfg.Sealer.MayWrite() {
		if err := c.cfg.Sealer.Check(); err != nil { // it was removed
			return nil, err
		}
		return nil, errcode.New(errcode.NotAllowed, "sync: push", "this device may not write in the space")
	}
	after := max(view.Last, view.Offset+int64(at.decided))
	pending, more, err := c.replica.PendingBodies(ctx, after, sealedTransactions, pushSize)
	if err != nil || len(pending) == 0 {
		return nil, err
	}
	req := &pushing{PushRequest: wire.PushRequest{Position: view.Position, Client: view.Client}, from: at,
		first: pending[0].ID, more: more}
	first := uint64(req.first - view.Offset)
	sealed, err := c.cfg.Sealer.Sealed(ctx, view.Client, first, pending)
	if errcode.Of(err) == errcode.Behind && at.decided > 0 { // the seals before it are not known any more
		c.forgetProgress(func() bool { return true })
	}
	if err != nil {
		return nil, err
	}
	if keep := c.cfg.Sealer.Sending(view.Client, first); keep != nil {
		if err := c.replica.Inside(ctx, keep); err != nil {
			return nil, err
		}
	}
	size := 0
	for _, parts := range sealed {
		for _, part := range parts {
			if part.Counter == at.decided+1 && part.Index < at.staged {
				continue
			}
			if len(req.Parts) > 0 && size+len(part.Bytes) > pushSize {
				req.more = true
				return req, nil
			}
			req.Parts = append(req.Parts, part)
			size += len(part.Bytes) + 64
		}
	}
	return req, nil
}

// refusedSeal says what a push's error means for what was sealed.
func (c *Client) refusedSeal(err error) error {
	if code := errcode.Of(err); c.cfg.Sealer == nil || code != errcode.Stale && code != errcode.OldEpoch {
		return err
	}
	c.cfg.Sealer.Reseal()
	c.forgetProgress(func() bool { return true })
	// The pull brings what this device has not seen.
	return &errcode.Error{Code: errcode.Behind, Op: "sync: push", Err: err}
}
