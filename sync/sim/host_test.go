package sim

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/client"
	"heddle.dev/heddle/sync/logstore/sqlitestore"
	"heddle.dev/heddle/sync/server"
	"heddle.dev/heddle/sync/wire"
)

// host is the machine that the server runs on.
type host struct {
	s   *sim
	rng *rand.Rand

	mu      sync.Mutex
	disk    *disk
	store   shared
	servers []*server.Server
	ways    []*way        // of each to the store
	eyes    *sqlite3.Conn // what the model sees the log with
	up      bool
	open    map[int]*exchange // by number
	served  int
	backup  map[string][]byte // of the disk, as it was once
	refuses map[wire.Hash][]mark
	tries   map[wire.Hash]int
}

// refusal is the code of the app's rule on the server.
const refusal = "SIM_REFUSED"

func newHost(s *sim) *host {
	h := &host{s: s, rng: s.rng("host"), open: map[int]*exchange{}, refuses: map[wire.Hash][]mark{},
		tries: map[wire.Hash]int{}}
	h.store.s = s
	h.disk = newDisk(nil)
	h.disk.noFlush = s.mutant == "the server acknowledges before it has flushed"
	return h
}

// start opens the server on its disk.
func (h *host) start() error {
	kept, err := sqlitestore.Open(sqlitestore.Options{Dir: "/", VFS: h.disk.name, Files: 1})
	if err != nil {
		return err
	}
	h.store.now.Store(kept)
	eyes, err := h.watch(kept)
	if err != nil {
		kept.Close()
		return err
	}
	o := server.Options{Dev: true,
		Limits: server.Limits{Log: h.s.p.log, Frame: h.s.p.frame, Heads: time.Second},
		Decide: h.decide, Logger: slog.New(slog.DiscardHandler)}
	if h.s.p.log > 0 { // of a sealed space, too
		o.Limits.SealedKept, o.Limits.SealedEntries = 1+int(h.s.p.log)/500, 1+int(h.s.p.log)/300
		o.Limits.SealedBytes = h.s.p.log
	}
	if h.s.p.servers > 1 {
		o.Recheck = 2 * time.Second
	}
	if h.s.verbose {
		o.Logger = slog.New(slog.NewTextHandler(logWriter{h.s}, &slog.HandlerOptions{Level: slog.LevelError}))
	}
	var servers []*server.Server
	var ways []*way
	for i := range h.s.p.servers {
		w := newWay(h.s, i)
		o.Store = w.over(h)
		srv, err := server.New(o)
		if err != nil {
			return err
		}
		servers, ways = append(servers, srv), append(ways, w)
	}
	h.mu.Lock()
	h.servers, h.ways, h.eyes, h.up = servers, ways, eyes, true
	h.mu.Unlock()
	return nil
}

// watch has the space keep a copy of its log, since the server cuts that, and
// returns a connection to read it.
func (h *host) watch(kept *sqlitestore.Store) (*sqlite3.Conn, error) {
	var epoch wire.Epoch
	for i := range epoch {
		epoch[i] = byte(h.rng.Uint32())
	}
	if err := kept.Create(context.Background(), "space", epoch); err != nil { // unless it is there
		return nil, err
	}
	c, err := sqlite3.Open("file:/spaces-1-of-1.db?vfs=" + h.disk.name)
	if err != nil {
		return nil, err
	}
	err = c.Exec(`CREATE TABLE IF NOT EXISTS sim_log AS
			SELECT seq, client, counter, outcome, body_hash, body, chain FROM log;
		CREATE TRIGGER IF NOT EXISTS sim_log_keep AFTER INSERT ON log
		BEGIN INSERT INTO sim_log
			VALUES(new.seq, new.client, new.counter, new.outcome, new.body_hash, new.body, new.chain); END`)
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

type logWriter struct{ s *sim }

func (w logWriter) Write(p []byte) (int, error) {
	w.s.event("server says %s", p)
	return len(p), nil
}

func (h *host) isUp() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.up && !h.disk.isDead()
}

// read lets the model see the log as it is now.
func (h *host) read() {
	h.mu.Lock()
	eyes, up := h.eyes, h.up && !h.disk.isDead()
	h.mu.Unlock()
	if up {
		h.s.model.read(eyes)
	}
}

// decide is the app's rule: it refuses some transactions, always the same ones,
// and cannot say at once of others.
func (h *host) decide(ctx context.Context, d *server.Decision) error {
	var hash wire.Hash // of what is refused, each time that it comes
	if d.Sealed == nil {
		hash = wire.HashBody(d.Body.Marshal())
	} else {
		hash = wire.HashBody(fmt.Append(d.Client[:], d.Counter))
	}
	rng := h.s.rng("decide", fnv64(string(hash[:])))
	refuse, hesitate := rng.IntN(100) < h.s.p.refused, rng.IntN(100) < h.s.p.undecided
	// Pushes that wait for their turn do not come all at once, so that followers see
	// the log after each.
	slow := time.Microsecond
	if rng.IntN(20) == 0 {
		slow = time.Duration(1 + rng.IntN(int(3*time.Second)))
	}
	h.mu.Lock()
	h.tries[hash]++
	first := h.tries[hash] == 1
	h.mu.Unlock()
	if !first {
		slow = time.Microsecond
	}
	if slow > time.Microsecond {
		h.s.hit("slow decision")
	}
	if err := sleep(ctx, slow); err != nil {
		return err
	}
	if hesitate && first {
		h.s.hit("undecided")
		return server.ErrUndecided
	}
	if refuse {
		if d.Sealed == nil {
			h.mu.Lock()
			h.refuses[hash] = marksOf(d.Body)
			h.mu.Unlock()
		}
		return errcode.New(refusal, "", "the app refuses it")
	}
	return nil
}

// refused returns the marks of a transaction that the app has refused.
func (h *host) refused(e *wire.Entry) ([]mark, bool) {
	if h.s.keys != nil {
		body, err := wire.UnmarshalBody(e.Body)
		if err != nil {
			return nil, false
		}
		return marksOf(body), true
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	marks, ok := h.refuses[e.BodyHash]
	return marks, ok
}

// serve begins a request, nil if the server is down.
func (h *host) serve(l *line, r *client.Request, rng *rand.Rand) *exchange {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.up {
		return nil
	}
	ctx, cancel := context.WithCancel(context.Background())
	x := newExchange(h.s, l, rng, cancel)
	h.served++
	n := h.served
	h.open[n] = x
	srv := h.servers[0]
	if len(h.servers) > 1 {
		srv = h.servers[rng.IntN(len(h.servers))]
	}
	h.s.spawn(func() {
		x.run(http.HandlerFunc(srv.ServeHTTP), ctx, r)
		cancel()
		h.mu.Lock()
		delete(h.open, n)
		h.mu.Unlock()
	})
	return x
}

// crash cuts the server's power, or has it cut; what is found on the disk is
// what is served after a while.
func (h *host) recover(how string) {
	h.disk.cutAfter(0)
	files := h.down(how)
	h.s.event("server lost its power: %s", how)
	time.Sleep(time.Duration(h.rng.IntN(int(20 * time.Second))))
	h.boot(files)
}

// restore takes a backup, or puts one back in the place of what is there.
func (h *host) restore() {
	h.s.modelMu.Lock()
	h.read()
	empty := h.s.model.at.Seq == 0
	h.s.modelMu.Unlock()
	if empty { // a backup from before there was the space would make another one
		return
	}
	if h.backup == nil || h.rng.IntN(2) == 0 {
		h.backup = h.disk.flushed()
		h.s.event("server backed up")
		return
	}
	if h.rng.IntN(2) == 0 {
		h.restoreUnder()
		return
	}
	h.s.hit("server restored")
	h.s.event("server restored from a backup")
	h.s.modelMu.Lock()
	h.read() // what is lost was known
	h.s.model.restored = true
	h.s.modelMu.Unlock()
	h.down("killed")
	time.Sleep(time.Duration(h.rng.IntN(int(5 * time.Second))))
	h.boot(maps.Clone(h.backup))
	h.s.modelMu.Lock()
	defer h.s.modelMu.Unlock()
	if !h.disk.isDead() {
		h.s.model.rewind(h.digest().Seq)
	}
}

// restoreUnder puts the store back while the servers run: they remember what it has
// lost.
func (h *host) restoreUnder() {
	h.s.hit("store restored")
	h.s.event("store restored from a backup under its servers")
	var thaw []func()
	for _, w := range h.ways {
		thaw = append(thaw, w.freeze())
	}
	time.Sleep(time.Microsecond) // the calls under way have come back
	h.s.modelMu.Lock()
	h.read() // what is lost was known
	h.s.model.restored = true
	h.eyes.Close()
	h.s.modelMu.Unlock()
	if err := h.store.now.Load().Close(); err != nil && !h.disk.isDead() {
		h.s.violate("the store does not close: %v", err)
	}
	h.disk.drop()
	d := newDisk(maps.Clone(h.backup))
	d.noFlush = h.disk.noFlush
	kept, err := sqlitestore.Open(sqlitestore.Options{Dir: "/", VFS: d.name, Files: 1})
	if err == nil {
		h.mu.Lock()
		h.disk = d
		h.mu.Unlock()
		h.store.now.Store(kept)
		h.eyes, err = h.watch(kept)
	}
	if err != nil {
		h.s.violate("the store does not open after it was restored: %v", err)
		return
	}
	head, err := kept.Heads(context.Background(), []string{"space"})
	if err != nil {
		h.s.violate("the store's head: %v", err)
		return
	}
	h.s.modelMu.Lock()
	h.s.model.rewind(head[0].Seq)
	h.s.modelMu.Unlock()
	for _, f := range thaw {
		f()
		time.Sleep(time.Millisecond)
	}
}

// freeze stops one of several servers for a while.
func (h *host) freeze() {
	w := h.ways[h.rng.IntN(len(h.ways))]
	h.s.hit("server frozen")
	h.s.event("server %d freezes", w.server)
	thaw := w.freeze()
	select {
	case <-time.After(time.Duration(h.rng.IntN(int(10 * time.Second)))):
	case <-h.disk.died:
	}
	thaw()
	h.s.event("server %d goes on", w.server)
}

// down ends the server and returns what its disk holds.
func (h *host) down(how string) map[string][]byte {
	h.mu.Lock()
	servers, eyes := h.servers, h.eyes
	h.up = false
	h.mu.Unlock()
	h.breakOff()
	h.s.modelMu.Lock()
	eyes.Close()
	h.s.modelMu.Unlock()
	var errs []error
	for _, srv := range servers {
		errs = append(errs, srv.Close())
	}
	errs = append(errs, h.store.now.Load().Close())
	if err := errors.Join(errs...); err != nil && !h.disk.isDead() {
		h.s.violate("the server does not close: %v", err)
	}
	files := h.disk.image(how, h.rng)
	h.disk.drop()
	return files
}

// breakOff cuts all connections, one after the other.
func (h *host) breakOff() {
	h.mu.Lock()
	open := maps.Clone(h.open)
	h.mu.Unlock()
	for _, n := range slices.Sorted(maps.Keys(open)) {
		open[n].breakOff()
		time.Sleep(time.Microsecond)
	}
}

// boot starts a server on these files.
func (h *host) boot(files map[string][]byte) {
	d := newDisk(files)
	d.noFlush = h.disk.noFlush
	h.mu.Lock()
	h.disk = d
	h.mu.Unlock()
	if h.rng.IntN(3) == 0 {
		h.setClock()
	}
	if err := h.start(); err != nil {
		h.s.violate("the server does not start after it lost its power: %v", err)
		return
	}
	h.s.event("server is up")
}

// setClock moves the server's wall clock by up to twenty years: what it has
// written down of the time is moved the other way. It keeps the time of parts of
// large transactions alone.
func (h *host) setClock() {
	c, err := sqlite3.Open("file:/spaces-1-of-1.db?vfs=" + h.disk.name)
	if err != nil {
		return // there is no such space yet
	}
	defer c.Close()
	years := h.rng.IntN(41) - 20
	if c.Exec(fmt.Sprintf("UPDATE upload SET at = at + %d", years*365*24*3600)) == nil {
		h.s.hit("server clock set")
		h.s.event("server clock is %d years off", -years)
	}
}

// run lets things happen to the server until the faults end.
func (h *host) run() {
	for {
		wait := time.Duration(h.rng.ExpFloat64() * float64(h.s.p.serverFaults))
		select {
		case <-time.After(wait):
		case <-h.disk.died:
			time.Sleep(time.Millisecond) // until the calls that met it have failed
			how := losses[h.rng.IntN(len(losses))]
			h.s.hit("server " + how)
			h.recover(how)
			continue
		case <-h.s.healed:
			h.disk.cutAfter(-1)
			if h.disk.isDead() {
				h.recover("lost")
			}
			return
		}
		if h.s.p.restore && h.rng.IntN(3) == 0 {
			h.restore()
			continue
		}
		fault := serverFaults[h.rng.IntN(len(serverFaults))]
		if h.s.p.off(fault) {
			continue
		}
		switch fault {
		case "server cut in a write":
			h.disk.cutAfter(1 + h.rng.IntN(40))
		case "server cut":
			h.disk.cutAfter(0)
		case "server restarted":
			h.s.hit(fault)
			h.s.event("server restarts")
			files := h.down("killed")
			time.Sleep(time.Duration(h.rng.IntN(int(5 * time.Second))))
			h.boot(files)
		case "server unplugged":
			h.s.hit(fault)
			h.s.event("server unplugged")
			h.breakOff()
		case "server frozen":
			if len(h.ways) > 1 {
				h.freeze()
			}
		}
	}
}

// serverFaults are chosen from with equal chances.
var serverFaults = []string{
	"server cut in a write", "server cut in a write", "server cut", "server restarted", "server unplugged",
	"server frozen", "server frozen",
}

// digest asks the server for that of the log's end.
func (h *host) digest() *wire.DigestResponse {
	rec := &recorder{header: http.Header{}}
	r, _ := http.NewRequest("GET", "http://model/v1/spaces/space/digest", nil)
	h.servers[0].ServeHTTP(rec, r)
	if rec.status == http.StatusNotFound { // there is no such space yet
		return &wire.DigestResponse{}
	}
	d, err := wire.UnmarshalDigestResponse(rec.body.Bytes())
	if err != nil {
		h.s.violate("the server's digest: %v", err)
		return &wire.DigestResponse{}
	}
	return d
}
