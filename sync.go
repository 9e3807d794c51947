package heddle

import (
	"context"
	"net/http"

	"heddle.dev/heddle/internal/store"
	"heddle.dev/heddle/sync/client"
	"heddle.dev/heddle/sync/client/nethttp"
	"heddle.dev/heddle/sync/member"
)

// SyncOptions say what a database syncs, and with whom.
type SyncOptions struct {
	URL    string // the server's root: http or https, absolute
	Space  string // the space's name
	Tables Tables // the synced tables

	// IntegerKey allows INTEGER PRIMARY KEY on synced tables. Two devices that
	// are offline make the same integers: allow it only where the app gives out
	// keys in another way.
	IntegerKey bool

	// Key is this device's key to a sealed space; nil for a space that the server reads.
	// The database holds plain rows all the same.
	Key *Key

	// Token returns a bearer token for the space. It is called before the first
	// request and again when the server refuses the token it gave, and has 40
	// seconds. Nil sends none.
	Token func(ctx context.Context) (string, error)

	// HTTP sends the requests, http.DefaultClient if nil. It must have no
	// Timeout: a pull stays open.
	HTTP *http.Client

	bounds client.Bounds // for tests
}

// Tables names synced tables, each with the merge policies of its columns.
type Tables = map[string]Merge

// Merge gives columns their merge policy by name: "last" (the default),
// "counter", "max", "min" or "set". docs/API.md says what each does.
type Merge = client.Merge

// What sync reports. Status.LastError is an *Error.
type (
	Status   = client.Status
	State    = client.State
	Rejected = client.Rejected // a transaction that the server has refused, with the code of the reason
	Conflict = client.Conflict // writes of two devices that do not go together, settled alike everywhere
	// SnapshotStatus is what members have signed of the last snapshot of a device of a sealed space.
	SnapshotStatus = client.SnapshotStatus
	// SnapshotFailed is a snapshot of a sealed space that is not what it says, or that was not made.
	SnapshotFailed = client.SnapshotFailed
)

// The states of a Status.
const (
	StateOff           = client.Off           // sync has not begun
	StateBootstrapping = client.Bootstrapping // the rows of the space are being fetched
	StateConnecting    = client.Connecting    // a request is on its way, or waits to be tried again
	StateLive          = client.Live          // the log is followed
	StateOffline       = client.Offline       // the server does not answer; tried again
	StatePaused        = client.Paused        // Pause was called
	StateError         = client.Error         // waiting may not mend it; tried again within a minute; see LastError
	StateStopped       = client.Stopped       // the database cannot be synced; Resume tries again; see LastError
)

// Sync is the sync of an open database. It runs by itself from Open to Close.
type Sync struct {
	client *client.Client
	member *member.Member // nil where the space is plain
	stop   context.CancelFunc
	done   chan struct{}
}

func (o *SyncOptions) config(m *member.Member) client.Config {
	c := client.Config{
		URL: o.URL, Space: o.Space, Tables: o.Tables, IntegerKey: o.IntegerKey,
		Token: o.Token, HTTP: nethttp.Doer{HTTP: o.HTTP}, Bounds: o.bounds,
	}
	if m != nil {
		c.Sealer = m
	}
	return c
}

// prepare adds what the store needs to know of sync, and returns the device's part in a
// sealed space. o may be nil.
func (o *SyncOptions) prepare(options *store.Options) (*member.Member, error) {
	if o == nil {
		return nil, nil
	}
	m, err := o.Key.member(o.Space)
	if err != nil {
		return nil, err
	}
	for name := range o.Tables {
		options.Synced = append(options.Synced, name)
	}
	options.MigrationHook = client.MigrationHook(o.config(m))
	return m, nil
}

func openSync(ctx context.Context, db *store.DB, o *SyncOptions, m *member.Member) (*Sync, error) {
	c, err := client.Open(ctx, db, o.config(m))
	if err != nil {
		return nil, err
	}
	running, stop := context.WithCancel(context.Background())
	s := &Sync{client: c, member: m, stop: stop, done: make(chan struct{})}
	go func() {
		defer close(s.done)
		_ = c.Run(running) // it ends with close alone, and says so
	}()
	return s, nil
}

func (s *Sync) close() error {
	s.stop()
	<-s.done
	return s.client.Close()
}

// Status returns what sync is doing.
func (s *Sync) Status() Status { return s.client.Status() }

// OnStatus calls f after each change of the status. Functions given to this and
// to the other On methods return soon and do not wait for sync.
func (s *Sync) OnStatus(f func(Status)) (remove func()) { return s.client.OnStatus(f) }

// OnRejected calls f after the server has rejected a transaction of this
// database and its effects were undone.
func (s *Sync) OnRejected(f func(Rejected)) (remove func()) { return s.client.OnRejected(f) }

// OnConflict calls f after a conflict.
func (s *Sync) OnConflict(f func(Conflict)) (remove func()) { return s.client.OnConflict(f) }

// OnSnapshotFailed calls f where a snapshot of a sealed space is not what it says, and this
// database did not start from it, or was not made though the server has asked for it.
func (s *Sync) OnSnapshotFailed(f func(SnapshotFailed)) (remove func()) {
	return s.client.OnSnapshotFailed(f)
}

// Now sends what is pending and follows the log to its head. When it returns
// nil, each transaction committed before the call is decided and its outcome
// shows. It works while sync is paused, and does not try again after an error.
func (s *Sync) Now(ctx context.Context) error { return s.client.Now(ctx) }

// Pause stops syncing until Resume or Close; with persist also after the next
// Open. Transactions are recorded meanwhile.
func (s *Sync) Pause(ctx context.Context, persist bool) error { return s.client.Pause(ctx, persist) }

// Resume undoes Pause, and tries at once what waits after an error.
func (s *Sync) Resume(ctx context.Context) error { return s.client.Resume(ctx) }

// Accept goes on with the log that the server has now, where it has lost the one that was
// followed. In a plain space upload has this database give the server the rows that it
// lacks. In a sealed space it is for an admin's device (else HEDDLE_NOT_ALLOWED), and
// counts for all devices whose history this one knows; upload has no meaning there.
func (s *Sync) Accept(ctx context.Context, upload bool) error { return s.client.Accept(ctx, upload) }

// Rejected returns the rejected transactions that are kept, oldest first.
func (s *Sync) Rejected(ctx context.Context) ([]Rejected, error) { return s.client.Rejected(ctx) }

// Retry commits a rejected transaction's operations again, on the rows as they
// are now. It is false if there is none of that ID.
func (s *Sync) Retry(ctx context.Context, id int64) (found bool, err error) {
	return s.client.Retry(ctx, id)
}

// Discard drops a rejected transaction. It is false if there is none of that ID.
func (s *Sync) Discard(ctx context.Context, id int64) (found bool, err error) {
	return s.client.Discard(ctx, id)
}

// Digest returns the number of the last log entry that the database holds, and
// the digest of the synced tables there: every device and the server give the
// same digest for the same entry. Pending transactions are not in it.
func (s *Sync) Digest(ctx context.Context) (seq uint64, digest [32]byte, err error) {
	return s.client.Digest(ctx)
}
