package sim

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/store"
	"heddle.dev/heddle/sync/client"
	"heddle.dev/heddle/sync/member"
	"heddle.dev/heddle/sync/wire"
)

// device is a machine with the app on it. One goroutine lives its life; what
// sync does beside it is the client's.
type device struct {
	s       *sim
	id      int
	rng     *rand.Rand
	line    *line
	disk    *disk
	birth   chan birth // of a device that comes later, as a copy of another
	single  bool       // one connection, as where a VFS has no shared memory
	version int
	dialect *dialect
	holder  *holder
	rebuilt int            // rows that migrations would have changed
	random  *rand.ChaCha8  // the client's
	seals   *rand.ChaCha8  // of keys and nonces
	member  int            // whose keys it has: in a copy those of the device that was copied
	part    *member.Member // in a sealed space
	clock   *rand.Rand     // how far off the wall clock is each time it is read

	db   *store.DB
	c    *client.Client
	stop context.CancelFunc
	done chan struct{}

	born      bool         // a copy that has been made
	next      int          // number of the last transaction
	acked     []int        // those that were acknowledged
	failed    map[int]bool // those that were not, and may never show
	retried   map[int]int  // how often those that were refused were tried again
	discarded map[int]bool // or given up
	elsewhere map[int]bool // one or the other by a copy of this device: here it is still listed
	unproved  map[int]bool // it is not known what became of them: a log that is lost may have had them
	unsure    bool         // the power went while one was
	seq       uint64       // the highest prefix seen
	seen      map[mark]bool
}

// birth is what a copied device begins with.
type birth struct {
	files   map[string][]byte
	version int
	dialect *dialect
	member  int
}

func newDevice(s *sim, id int) *device {
	d := &device{s: s, id: id, member: id, rng: s.rng("device", uint64(id)), failed: map[int]bool{},
		retried: map[int]int{}, discarded: map[int]bool{}, elsewhere: map[int]bool{}, unproved: map[int]bool{},
		seen: map[mark]bool{}}
	d.line = &line{s: s, id: id, count: map[string]int{}}
	d.single = d.rng.IntN(2) == 0
	d.version = 1 + d.rng.IntN(len(s.app.versions))
	var key [32]byte
	for i := range key {
		key[i] = byte(d.rng.Uint32())
	}
	d.random = rand.NewChaCha8(key)
	d.seals = s.stream("seals", uint64(id))
	d.clock = s.rng("clock", uint64(id))
	d.dialect = &dialect{versions: s.app.versions}
	if r := s.rng("dialect", uint64(id)); s.p.dialects && r.IntN(4) > 0 {
		d.dialect = s.app.newDialect(r)
		s.tally("devices with a dialect", 1)
	}
	d.insert(nil)
	return d
}

// newCopy makes a device that is not there yet: it begins as a copy of another's
// disk, as a profile that is copied or restored does.
func newCopy(s *sim, id int) *device {
	d := newDevice(s, id)
	d.disk.drop()
	d.disk = nil
	d.birth = make(chan birth, 1)
	return d
}

// absent reports whether the device has not come to be.
func (d *device) absent() bool { return d.disk == nil }

// insert gives the device a disk with these files.
func (d *device) insert(files map[string][]byte) {
	d.disk = newDisk(files)
	d.disk.noFlush = d.s.mutant == "a device acknowledges before it has flushed"
}

// copy makes another device of what is on this one's disk.
func (d *device) copy() {
	for _, other := range d.s.devices {
		if other.birth != nil && !other.born {
			other.born = true
			d.s.hit("device copied")
			d.s.event("device %d is copied: device %d", d.id, other.id)
			other.birth <- birth{d.disk.image("killed", d.rng), d.version, d.dialect, d.member}
			return
		}
	}
}

// open starts the app. Where the power goes meanwhile it starts again.
func (d *device) open() {
	for {
		err := d.tryOpen()
		if err == nil {
			break
		}
		if !d.disk.isDead() {
			d.s.violate("device %d: the app does not open: %v", d.id, err)
			return
		}
		d.reboot()
	}
	id := d.c.ClientID()
	d.s.mu.Lock()
	d.s.names[id] = fmt.Sprintf("device %d", d.id)
	d.s.mu.Unlock()
	ctx, stop := context.WithCancel(context.Background())
	c, done := d.c, make(chan struct{})
	d.stop, d.done = stop, done
	go func() {
		defer close(done)
		c.Run(ctx)
	}()
	d.s.event("device %d is up, version %d", d.id, d.version)
}

func (d *device) tryOpen() error {
	opts := store.Options{Filename: "file:app.db?vfs=" + d.disk.name, Migrations: d.dialect.versions[:d.version],
		SingleConn: d.single,
		// In the bubble of synctest a turn of the others has an end that is the same each time.
		Yield: func() { time.Sleep(time.Nanosecond) }}
	cfg := client.Config{URL: "http://server", Space: "space", Tables: map[string]client.Merge{}, IntegerKey: true,
		Bounds: client.Bounds{Tell: 5 * time.Second}, // a run is short
		HTTP:   d.line, Rand: d.random, Now: d.now}
	if d.s.keys != nil {
		d.part = d.s.keys.member(d.member, d.seals)
		cfg.Sealer = d.part
	}
	for _, t := range d.s.app.syncedAt(d.version) {
		opts.Synced = append(opts.Synced, t.name)
		cfg.Tables[t.name] = t.merges(d.version)
	}
	opts.MigrationHook = client.MigrationHook(cfg)
	db, err := store.Open(context.Background(), opts)
	if err != nil {
		return err
	}
	c, err := client.Open(context.Background(), db, cfg)
	if err != nil {
		db.Close()
		return err
	}
	d.db, d.c = db, c
	if !d.s.trueClocks {
		d.s.hit("device clock off")
	}
	if err := d.countRebuilt(); err != nil {
		return err
	}
	return d.mutate()
}

// now is the device's wall clock: up to twenty years off, now before and now
// behind.
func (d *device) now() time.Time {
	if d.s.trueClocks {
		return time.Now()
	}
	return time.Now().Add(time.Duration(d.clock.IntN(2*maxSkew)-maxSkew) * time.Second)
}

const maxSkew = 20 * 365 * 24 * 3600 // seconds

// close ends the app. Errors count only where there is power.
func (d *device) close() {
	if d.holder != nil {
		d.holder.db.Close()
		d.holder = nil
	}
	if d.db == nil {
		return
	}
	d.stop()
	<-d.done
	err := errors.Join(d.c.Close(), d.db.Close())
	d.db = nil
	if err != nil && !d.disk.isDead() {
		d.s.violate("device %d: the app does not close: %v", d.id, err)
	}
}

// reboot makes a new disk of what the dead one holds.
func (d *device) reboot() {
	how := losses[d.rng.IntN(len(losses))]
	d.s.hit("device " + how)
	d.s.event("device %d lost its power: %s", d.id, how)
	files := d.disk.image(how, d.rng)
	d.disk.drop()
	d.insert(files)
}

// revive brings the device back after its power was cut.
func (d *device) revive() {
	time.Sleep(time.Millisecond) // until the calls that met it have failed
	d.close()
	d.reboot()
	if !d.s.isCalm() {
		time.Sleep(time.Duration(d.rng.IntN(int(time.Minute))))
	}
	d.open()
}

// live is the device's life until the faults end.
func (d *device) live() {
	if d.birth != nil {
		select {
		case b := <-d.birth:
			d.version, d.dialect, d.member = b.version, b.dialect, b.member
			d.insert(b.files)
		case <-d.s.healed:
			return
		}
	}
	start := 20 * time.Second
	if d.s.p.log > 0 && d.rng.IntN(2) == 0 { // it begins with a snapshot
		start = d.s.p.duration
	}
	time.Sleep(time.Duration(d.rng.IntN(int(start))))
	d.open()
	for taken := 1; !d.s.failed(); taken++ {
		wait := time.Duration(d.rng.ExpFloat64() * float64(d.s.p.pace))
		if d.s.p.steps > 0 && taken > d.s.p.steps {
			wait = math.MaxInt64
		}
		select {
		case <-time.After(wait):
			d.act()
			continue
		case <-d.disk.died:
			d.revive()
			continue
		case <-d.s.healed:
		}
		break
	}
	if d.s.failed() {
		return
	}
	d.disk.cutAfter(-1)
	if d.disk.isDead() {
		d.revive()
	}
	d.line.cut(false, false)
	if d.s.failed() {
		return
	}
	d.c.SetOnline(true)
	d.c.Resume(context.Background())
}

func (d *device) end() {
	if !d.absent() {
		d.close()
		d.disk.drop()
	}
}

// steps are what a device does, each with its share of a hundred.
var steps = []struct {
	name  string
	share int
	do    func(*device)
}{
	{"write", 45, func(d *device) {
		for range 1 + d.rng.IntN(3) {
			d.write(false)
		}
		if d.booting() {
			d.check(false)
		}
	}},
	{"check", 15, func(d *device) { d.check(false) }},
	{"long write", 6, func(d *device) { d.write(true) }},
	{"restart", 5, func(d *device) {
		d.s.hit("restarted")
		d.close()
		if d.disk.isDead() {
			d.reboot()
		}
		d.open()
	}},
	{"upgrade", 3, func(d *device) { d.upgradeTo(min(d.version+1, len(d.s.app.versions))) }},
	{"power cut in a write", 4, func(d *device) { d.disk.cutAfter(1 + d.rng.IntN(30)) }},
	{"power cut", 2, func(d *device) { d.disk.cutAfter(0) }},
	{"partition", 8, func(d *device) {
		out, in := d.rng.IntN(2) == 0, d.rng.IntN(2) == 0
		d.line.cut(out, in)
		d.s.event("device %d: out %v, in %v", d.id, out, in)
	}},
	{"pause", 3, func(d *device) {
		if d.rng.IntN(2) == 0 {
			d.c.Pause(context.Background(), false)
		} else {
			d.c.Resume(context.Background())
		}
	}},
	{"settle rejected", 3, (*device).settleRejected},
	{"online", 2, func(d *device) { d.c.SetOnline(d.rng.IntN(2) == 0) }},
	{"now", 4, func(d *device) {
		if d.part != nil && d.rng.IntN(2) == 0 {
			d.rotate()
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Duration(d.rng.IntN(int(time.Minute))))
		err := d.c.Now(ctx)
		cancel()
		d.s.event("device %d: now: %s", d.id, errcode.Of(err))
		d.noSurprise(err)
	}},
}

// act takes one step.
func (d *device) act() {
	if d.s.p.copies > 0 && d.rng.IntN(10) == 0 {
		d.copy()
	}
	if d.s.p.restore && d.rng.IntN(4) == 0 {
		d.consent()
	}
	n := d.rng.IntN(100)
	for i := range steps {
		step := &steps[i]
		if n -= step.share; n < 0 {
			if !d.s.p.off(step.name) {
				step.do(d)
			}
			return
		}
	}
}

// booting reports whether the device is in the middle of a snapshot.
func (d *device) booting() (yes bool) {
	_ = d.db.Query(context.Background(), `SELECT 1 FROM heddle_meta WHERE name = 'boot'`, store.Params{}, nil,
		func(*sqlite3.Stmt) error {
			yes = true
			return nil
		})
	return yes
}

// noSurprise looks at an error of sync: a network and a server that fail are no
// reason to give up.
func (d *device) noSurprise(err error) {
	code := errcode.Of(err)
	if code == errcode.Tampered && d.s.p.restore { // a log that was put back looks like one that hides something
		return
	}
	if code == errcode.Diverged || code == errcode.Internal || code == errcode.Tampered {
		d.s.violate("device %d: %v", d.id, err)
	}
}

// settleRejected tries one that was refused again, or gives it up.
func (d *device) settleRejected() {
	all, err := d.c.Rejected(context.Background())
	if err != nil || len(all) == 0 {
		return
	}
	one := all[d.rng.IntN(len(all))]
	k := marksOf(&wire.Body{Ops: one.Ops})[0]
	d.s.modelMu.Lock()
	if k.device != d.id {
		d.s.devices[k.device].elsewhere[k.n] = true
	}
	again := d.rng.IntN(3) > 0
	if one.Code == errcode.Behind { // it may count already
		d.s.hit("unproved")
		d.s.devices[k.device].unproved[k.n], again = true, false
	}
	if again {
		d.s.devices[k.device].retried[k.n]++ // before: the log may have it at once
	} else {
		d.s.devices[k.device].discarded[k.n] = true
	}
	d.s.modelMu.Unlock()
	if again {
		_, err = d.c.Retry(context.Background(), one.ID)
	} else {
		_, err = d.c.Discard(context.Background(), one.ID)
	}
	d.s.event("device %d: transaction %d again: %v, %s", d.id, k.n, again, errcode.Of(err))
	d.s.tally("refused and tried again or discarded", 1)
	defer time.Sleep(time.Microsecond)
	if err != nil && !again { // not known: it may be there or not
		d.s.devices[k.device].unsure = true
	}
	if err != nil && !d.disk.isDead() {
		d.s.violate("device %d: settle what was refused: %v", d.id, err)
	}
}

func (d *device) upgradeTo(version int) {
	if version == d.version {
		return
	}
	d.s.hit("upgraded")
	d.close()
	if d.disk.isDead() {
		d.reboot()
	}
	d.version = version
	d.open()
}
