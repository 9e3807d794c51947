package server

import (
	"cmp"
	"fmt"
	"sync"
	"time"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/seal"
	"heddle.dev/heddle/sync/wire"
)

// DefaultLimits returns what the limits are that are not set. In development mode
// those of one subject are not there.
func DefaultLimits() Limits {
	var l Limits
	l.defaults(false)
	return l
}

// defaults sets the limits that are not set. Without tokens a subject is an
// address, which many devices may share: it has no limits of its own.
func (l *Limits) defaults(dev bool) {
	setDefault(&l.Body, wire.MaxBody)
	l.Body = min(l.Body, wire.MaxBody)
	setDefault(&l.Ops, wire.MaxOps)
	setDefault(&l.Row, wire.MaxRow)
	l.Row = min(l.Row, wire.MaxRow) // or no frame of a snapshot could hold it
	setDefault(&l.Again, 256<<20)
	setDefault(&l.Staged, 256<<20)
	setDefault(&l.Uploads, 1000)
	setDefault(&l.Log, 16<<20)
	setDefault(&l.Frame, 2<<20)
	setDefault(&l.Streams, 10_000)
	setDefault(&l.Spaces, 256)
	setDefault(&l.Memory, 64<<20)
	setDefault(&l.Request, 30*time.Second)
	setDefault(&l.Refused, 2*time.Second)
	setDefault(&l.Decision, time.Minute)
	setDefault(&l.Store, 10*time.Second)
	setDefault(&l.Pushes, 256)
	setDefault(&l.Zips, 256)
	setDefault(&l.Heads, 10*time.Second)
	setDefault(&l.SealedKept, seal.Window)
	setDefault(&l.SealedEntries, 50_000)
	setDefault(&l.SealedBytes, 4<<20)
	setSubjectDefault(&l.SubjectStaged, 64<<20, dev)
	setSubjectDefault(&l.SubjectUploads, 32, dev)
	setSubjectDefault(&l.SubjectStreams, 100, dev)
	setSubjectDefault(&l.SubjectPushes, 16, dev)
	setSubjectDefault(&l.SubjectZips, 16, dev)
	setSubjectDefault(&l.Rate, 50, dev)
	setSubjectDefault(&l.QuotaRows, -1, dev)
	setSubjectDefault(&l.QuotaBytes, -1, dev)
	setSubjectDefault(&l.QuotaDevices, -1, dev)
}

type limit interface {
	~int | ~int64 | ~float64
}

// setDefault gives a limit that is not set its default.
func setDefault[T limit](p *T, v T) {
	if *p <= 0 {
		*p = v
	}
}

// setSubjectDefault is setDefault for a limit of one subject, where a negative
// value means no limit.
func setSubjectDefault[T limit](p *T, v T, dev bool) {
	switch {
	case *p == 0 && dev:
		*p = -1
	case *p == 0:
		*p = v
	}
}

// slots counts what is in use at the moment.
type slots struct {
	mu   sync.Mutex
	used map[slot]int
}

// slot is a kind of use, by a subject, in a space; an empty one stands for all.
type slot struct{ kind, subject, space string }

// take takes a place if fewer than most are in use; a negative most is no limit.
// release gives it back, and is called once.
func (s *slots) take(of slot, most int) (release func(), ok bool) {
	if most < 0 {
		return func() {}, true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.used[of] >= most {
		return nil, false
	}
	if s.used == nil {
		s.used = map[slot]int{}
	}
	s.used[of]++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.used[of]--; s.used[of] == 0 {
			delete(s.used, of)
		}
	}, true
}

// takeBoth takes a place of a subject in a space, and one of the space.
func (s *slots) takeBoth(kind, subject, space string, each, all int) (release func(), ok bool) {
	own, ok := s.take(slot{kind, subject, space}, each)
	if !ok {
		return nil, false
	}
	shared, ok := s.take(slot{kind, "", space}, all)
	if !ok {
		own()
		return nil, false
	}
	return func() { shared(); own() }, true
}

// Waits that no option sets; those of [Limits] and [Options] are there.
const (
	// abandoned is how long after its last part an upload gives way to another of
	// its number, and to others where there is no room.
	abandoned = 10 * time.Minute
	// forgotten is how long after its last part an upload is dropped.
	forgotten = 7 * 24 * time.Hour
	// recheckEvery is how often open streams are looked at for tokens that no
	// longer count.
	recheckEvery = 250 * time.Millisecond
	// quietSubject is how long after its last request a subject's rate is forgotten.
	quietSubject = time.Minute
	// storeRow and storeMiB are what a row and a MiB of a push may take of the store
	// beside Limits.Store: ten times what they take on a slow machine.
	storeRow = 100 * time.Microsecond
	storeMiB = time.Second
	// watchAgain is how long after the store's hints have ended it is asked for more.
	watchAgain = time.Second
	// hintEvery is how often what hints have told of is read.
	hintEvery = 2 * time.Millisecond
	// maxWait is the longest wait of a poll: what lies between may have less patience.
	maxWait = time.Minute
)

// rate is a token bucket for each subject.
type rate struct {
	mu      sync.Mutex
	buckets map[string]*bucket
	swept   time.Time
}

type bucket struct {
	left float64
	at   time.Time
}

const burst = 4 // seconds' worth

// take counts a request of subject at now, which may make so many a second; a negative
// number is no limit. If it is one too many it returns how long to wait.
func (r *rate) take(subject string, perSecond float64, now time.Time) (wait time.Duration) {
	if perSecond < 0 {
		return 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if now.Sub(r.swept) > quietSubject { // forget subjects without requests
		for name, b := range r.buckets {
			if now.Sub(b.at) > quietSubject {
				delete(r.buckets, name)
			}
		}
		r.swept = now
	}
	full := perSecond * burst
	b := r.buckets[subject]
	if b == nil {
		b = &bucket{full, now}
		r.buckets[subject] = b
	}
	b.left = min(full, b.left+now.Sub(b.at).Seconds()*perSecond)
	b.at = now
	if b.left < 1 {
		return time.Duration((1 - b.left) / perSecond * float64(time.Second))
	}
	b.left--
	return 0
}

// Quotas are what a space may hold and a subject may do. A token's own (auth.Quota)
// count in place of those of Limits; a negative one is none.

// errQuota says which quota of a space is used up.
func errQuota(what string, quota int64) error {
	return errcode.New(errcode.Quota, "server: decide", fmt.Sprintf("the space may have no more than %d %s", quota, what))
}

// checkGrowth refuses what would have the space grow beyond its quota. What takes
// away from it is never refused, nor what leaves it as it is.
func (t *turn) checkGrowth(c *caller, all *effects) error {
	var rows, bytes int64
	for _, f := range all.list {
		if f.before != nil {
			rows--
			bytes -= int64(len(f.Key) + len(t.rows[f.RowID].cells))
		}
		if f.after != nil {
			rows++
			bytes += int64(len(f.Key) + len(f.cells))
		}
	}
	most := cmp.Or(c.Quota.Rows, t.o.Limits.QuotaRows)
	if most >= 0 && rows > 0 && int64(t.w.RowCount)+rows > most {
		return errQuota("rows", most)
	}
	most = cmp.Or(c.Quota.Bytes, t.o.Limits.QuotaBytes)
	if most >= 0 && bytes > 0 && t.w.Live+bytes > most {
		return errQuota("bytes", most)
	}
	return nil
}

// checkLog is checkGrowth of a sealed space, of which the server knows the log alone.
func (t *turn) checkLog(c *caller, tx *transaction) error {
	most := cmp.Or(c.Quota.Bytes, t.o.Limits.QuotaBytes)
	if most < 0 {
		return nil
	}
	logged := t.meta.Logged + int64(len(tx.data)) + entryBytes
	for i := range t.w.Entries {
		logged += int64(len(t.w.Entries[i].Body)) + entryBytes
	}
	if logged > most {
		return errQuota("bytes", most)
	}
	return nil
}

// checkDevices refuses a device that is new to the space and one too many. All count
// that have ever written in it: what is known of them is kept for good.
func (t *turn) checkDevices(v past, p *push, c *client) error {
	most := cmp.Or(p.caller.Quota.Devices, t.o.Limits.QuotaDevices)
	if most < 0 || c.Owned || c.Decided > 0 || c.ID == wire.SeedClient || len(p.req.Parts) == 0 {
		return nil
	}
	n := t.newcomers
	for one, err := range v.AllClients() {
		if err != nil {
			return err
		}
		if (one.Owned || one.Decided > 0) && one.ID != wire.SeedClient {
			n++
		}
		if n >= most {
			return errQuota("devices", most)
		}
	}
	if n >= most { // there were none before
		return errQuota("devices", most)
	}
	t.newcomers++
	return nil
}
