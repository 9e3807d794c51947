// Command server measures one `heddle serve`: transactions pushed a second,
// devices held open, the memory that one more of them takes, and how long a
// transaction takes from its author to the others while one device in a hundred
// writes. It starts the server itself, on a data directory that it removes.
//
//	go run ./bench/server -devices 10000 -spaces 100
//
// With -against it measures the pushes of two servers, in turns, since the machine's
// other work is never the same: medians of both, and of the ratios of each pair.
//
//	go run ./bench/server -against OLD-BINARY -pairs 5 -only "16 devices" -duration 5s
//
// With -store postgres it does so for the server's own files and PostgreSQL, of which it
// starts a cluster, and then for a push at one of two servers over it and a stream at
// the other.
package main

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"heddle.dev/heddle/sync/wire"
)

var (
	file     = flag.String("binary", "bin/heddle", "the server's `file`")
	devices  = flag.Int("devices", 10_000, "`number` of devices held open")
	spaces   = flag.Int("spaces", 100, "`number` of spaces that they share")
	against  = flag.String("against", "", "another server's `file`, to measure in turns with the first")
	pairs    = flag.Int("pairs", 5, "`number` of turns of each, with -against")
	only     = flag.String("only", "", "the loads whose description has this `text`")
	files    = flag.Int("files", 0, "`number` of files that the server keeps spaces in; its default if 0")
	files2   = flag.Int("files2", 0, "the same of the server of -against")
	store    = flag.String("store", "", "postgres: measure the server over it as well, in turns with its own files")
	many     = flag.Int("many", 0, "with -store postgres: measure a `number` of spaces in one database alone")
	where    = flag.String("dir", "", "the `directory` that the data is kept below")
	skip     = flag.Bool("idle", false, "leave out the pushes, and hold devices open alone")
	duration = flag.Duration("duration", 10*time.Second, "how `long` each part takes")
)

func main() {
	flag.Parse()
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "server:", err)
		os.Exit(1)
	}
}

// host is the server under measurement.
type host struct {
	cmd  *exec.Cmd
	addr string
}

// side is a server to measure.
type side struct {
	name   string
	binary string
	files  int                    // that it keeps spaces in; 0: its default
	url    func() (string, error) // of an empty database; nil: it keeps files
	hints  string                 // --hints, if there are any
}

func (sd side) start() (*host, func(), error) {
	dir, err := os.MkdirTemp(*where, "heddle-figures-")
	if err != nil {
		return nil, nil, err
	}
	data := filepath.Join(dir, "data")
	kept := []string{"--data", data}
	if sd.url != nil {
		url, err := sd.url()
		if err != nil {
			return nil, nil, err
		}
		kept = []string{"--store", url}
	}
	if sd.hints != "" {
		kept = append(kept, "--hints", sd.hints)
	}
	h := &host{cmd: exec.Command(sd.binary, append([]string{"serve", "--dev", "--addr", "127.0.0.1:0"}, kept...)...)}
	stop := func() {
		if h.cmd.Process != nil {
			h.cmd.Process.Kill()
			h.cmd.Wait()
		}
		os.RemoveAll(dir)
	}
	if sd.files > 0 { // the name of a file says how many there are
		if err = os.Mkdir(data, 0o700); err == nil {
			err = os.WriteFile(filepath.Join(data, fmt.Sprintf("spaces-1-of-%d.db", sd.files)), nil, 0o600)
		}
	}
	out, e := h.cmd.StdoutPipe()
	if err = cmp.Or(err, e); err == nil {
		h.cmd.Stderr = os.Stderr
		err = h.cmd.Start()
	}
	if err != nil {
		stop()
		return nil, nil, err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		stop()
		return nil, nil, err
	}
	_, url, _ := strings.Cut(line, "http://")
	h.addr, _, _ = strings.Cut(url, "/")
	return h, stop, nil
}

// memory returns the server's resident bytes, cpu the seconds it has worked.
func (h *host) memory() int64 {
	data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", h.cmd.Process.Pid))
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return kib << 10
		}
	}
	return 0
}

// descriptors returns how many files and sockets the server has open.
func (h *host) descriptors() int {
	all, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", h.cmd.Process.Pid))
	return len(all)
}

func (h *host) cpu() float64 {
	data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", h.cmd.Process.Pid))
	_, rest, _ := strings.Cut(string(data), ") ")
	f := strings.Fields(rest)
	if len(f) < 13 {
		return 0
	}
	user, _ := strconv.ParseFloat(f[11], 64)
	system, _ := strconv.ParseFloat(f[12], 64)
	return (user + system) / 100
}

// author is a device that writes.
type author struct {
	host    *host
	http    *http.Client
	space   string
	id      wire.ClientID
	counter uint64
	tables  []wire.TableSchema // written in turn
}

var authors atomic.Uint32

// client keeps each device's connection, as devices do.
var client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1000}}

func newAuthor(h *host, space string) *author {
	a := &author{host: h, http: client, space: space, tables: schema}
	binary.BigEndian.PutUint32(a.id[:], authors.Add(1))
	return a
}

var schema = []wire.TableSchema{{Table: "notes", Key: []string{"id"},
	Columns: []wire.ColumnSchema{{Name: "body", Group: 1}}}}

// groups makes n tables, each with columns of two migrations.
func groups(n int) (all []wire.TableSchema) {
	for i := range n {
		all = append(all, wire.TableSchema{Table: fmt.Sprint("notes", i), Key: []string{"id"},
			Columns: []wire.ColumnSchema{{Name: "body", Group: 1}, {Name: "more", Group: 2}}})
	}
	return all
}

// part makes the author's next transaction: one row of 200 bytes.
func (a *author) part() wire.Part {
	t := &a.tables[a.counter%uint64(len(a.tables))]
	a.counter++
	shape := &wire.Shape{Kind: wire.Insert, Table: t.Table}
	op := wire.Op{Shape: shape, Key: []wire.Value{fmt.Sprintf("%x-%d", a.id[:4], a.counter%1000)}}
	for i := range t.Columns {
		shape.Columns, shape.Joins = append(shape.Columns, t.Columns[i].Name), append(shape.Joins, wire.JoinLast)
		op.Cells = append(op.Cells, strings.Repeat("x", 200/len(t.Columns)))
	}
	b := &wire.Body{Schema: []wire.TableSchema{*t}, Shapes: []*wire.Shape{shape}, Ops: []wire.Op{op}}
	return wire.SplitBody(a.counter, b.Marshal())[0]
}

func (a *author) push(parts ...wire.Part) error {
	req := wire.PushRequest{Client: a.id, Parts: parts}
	res, err := a.http.Post("http://"+a.host.addr+"/v1/spaces/"+a.space+"/push", wire.MediaType,
		bytes.NewReader(req.Marshal()))
	if err != nil {
		return err
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("push: status %d: %q", res.StatusCode, data)
	}
	return err
}

// follow opens a pull and calls seen with the number of entries in each frame.
func follow(h *host, space string, id wire.ClientID, seen func(entries []wire.Entry)) (net.Conn, error) {
	c, err := net.Dial("tcp", h.addr)
	if err != nil {
		return nil, err
	}
	body := (&wire.PullRequest{Client: id}).Marshal()
	_, err = fmt.Fprintf(c, "POST /v1/spaces/%s/pull HTTP/1.1\r\nHost: bench\r\nContent-Type: %s\r\nContent-Length: "+
		"%d\r\n\r\n%s", space, wire.MediaType, len(body), body)
	if err != nil {
		return nil, err
	}
	ready := make(chan error, 1)
	go func() {
		res, err := http.ReadResponse(bufio.NewReaderSize(c, 512), nil)
		if err == nil && res.StatusCode != http.StatusOK {
			err = fmt.Errorf("pull: status %d", res.StatusCode)
		}
		if err != nil {
			ready <- err
			return
		}
		frames := wire.NewFrameReader(res.Body)
		for first := true; ; {
			f, err := frames.Next()
			if err != nil {
				if first {
					ready <- err
				}
				return
			}
			if f.CaughtUp != nil && first {
				first = false
				ready <- nil
			}
			if len(f.Entries) > 0 {
				seen(f.Entries)
			}
		}
	}()
	return c, <-ready
}

func run() error {
	if *skip {
		return idle()
	}
	fmt.Println("transactions pushed a second, each of one row, acknowledged after they are flushed:")
	var all []load
	for _, l := range loads {
		if strings.Contains(l.what, *only) {
			all = append(all, l)
		}
	}
	switch {
	case *against != "":
		return compare(all, side{name: "before", binary: *against, files: *files2},
			side{name: "now", binary: *file, files: *files})
	case *store == "postgres" && *many > 0:
		return manySpaces(*many)
	case *store == "postgres":
		return compareStores(all)
	case *store != "":
		return fmt.Errorf("-store %s: postgres is one", *store)
	}
	for _, l := range all {
		r, err := l.push(side{binary: *file, files: *files})
		if err != nil {
			return err
		}
		fmt.Printf("  %-46s %8.0f, %.2f ms of processor each\n", l.what, r.rate, r.cpu)
	}
	return idle()
}

var loads = []load{
	{"one device, one at a time", 1, 1, 1, schema},
	{"one device, a hundred a request", 1, 1, 100, schema},
	{"16 devices in 16 spaces, one at a time", 16, 16, 1, schema},
	{"16 devices in one space, one at a time", 16, 1, 1, schema},
	{"16 devices in 16 spaces, a hundred a request", 16, 16, 100, schema},
	{"the same with a table of 2 groups", 16, 16, 100, groups(1)},
	{"the same with 50 tables of 2 groups", 16, 16, 100, groups(50)},
}

// load is a number of devices that push.
type load struct {
	what                      string
	writers, spaces, together int
	tables                    []wire.TableSchema
}

// result is how many transactions a second a load has pushed, and the milliseconds of
// processor that each has taken the server.
type result struct{ rate, cpu float64 }

func (l *load) push(sd side) (result, error) {
	h, stop, err := sd.start()
	if err != nil {
		return result{}, err
	}
	defer stop()
	var n atomic.Int64
	var failed atomic.Value
	var group sync.WaitGroup
	began := time.Now()
	for i := range l.writers {
		group.Go(func() {
			a := newAuthor(h, fmt.Sprintf("push%d", i%l.spaces))
			a.tables = l.tables
			for time.Since(began) < *duration {
				var parts []wire.Part
				for range l.together {
					parts = append(parts, a.part())
				}
				if err := a.push(parts...); err != nil {
					failed.Store(err)
					return
				}
				n.Add(int64(l.together))
			}
		})
	}
	group.Wait()
	if err, ok := failed.Load().(error); ok {
		return result{}, err
	}
	return result{float64(n.Load()) / time.Since(began).Seconds(), 1000 * h.cpu() / float64(n.Load())}, nil
}

// idle holds devices open, then lets one in a hundred write once a second.
func idle() error {
	h, stop, err := side{binary: *file, files: *files}.start()
	if err != nil {
		return err
	}
	defer stop()
	name := func(i int) string { return fmt.Sprintf("space%d", i%*spaces) }
	// What the spaces themselves take is not a device's.
	for i := range *spaces {
		if err := newAuthor(h, name(i)).push(); err != nil {
			return err
		}
	}
	time.Sleep(2 * time.Second)
	empty, files := h.memory(), h.descriptors()

	var mu sync.Mutex
	sent := map[string]time.Time{} // by author and counter
	var took []time.Duration
	var frames atomic.Int64
	key := func(id wire.ClientID, counter uint64) string { return fmt.Sprint(id, counter) }
	seen := func(entries []wire.Entry) {
		now := time.Now()
		for i := range entries {
			if frames.Add(1)%20 == 0 { // a sample
				mu.Lock()
				if at, ok := sent[key(entries[i].Client, entries[i].Counter)]; ok {
					took = append(took, now.Sub(at))
				}
				mu.Unlock()
			}
		}
	}
	began := time.Now()
	var conns []net.Conn
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	for i := range *devices {
		var id wire.ClientID
		binary.BigEndian.PutUint64(id[8:], uint64(i+1))
		c, err := follow(h, name(i), id, seen)
		if err != nil {
			return fmt.Errorf("device %d: %w", i, err)
		}
		conns = append(conns, c)
	}
	opened := time.Since(began)
	time.Sleep(2 * time.Second)
	full := h.memory()
	fmt.Printf("devices held open: %d in %d spaces, opened in %.1f s; the server takes %d MiB, %d MiB before them: "+
		"%.1f KiB and %.2f descriptors a device\n",
		*devices, *spaces, opened.Seconds(), full>>20, empty>>20, float64(full-empty)/1024/float64(*devices),
		float64(h.descriptors()-files)/float64(*devices))

	writers := max(1, *devices/100)
	cpu := h.cpu()
	began = time.Now()
	var n, late atomic.Int64
	var failed atomic.Value
	var group sync.WaitGroup
	for i := range writers {
		group.Go(func() {
			a := newAuthor(h, name(i))
			// Spread over the second: a ticker made before the pause would have all
			// of them write at one moment.
			time.Sleep(time.Duration(i) * time.Second / time.Duration(writers))
			tick := time.NewTicker(time.Second)
			defer tick.Stop()
			for time.Since(began) < *duration {
				p := a.part()
				mu.Lock()
				sent[key(a.id, p.Counter)] = time.Now()
				mu.Unlock()
				at := time.Now()
				if err := a.push(p); err != nil {
					failed.Store(err)
					return
				}
				if n.Add(1); time.Since(at) > time.Second {
					late.Add(1)
				}
				<-tick.C
			}
		})
	}
	group.Wait()
	if err, ok := failed.Load().(error); ok {
		return err
	}
	wall := time.Since(began)
	time.Sleep(time.Second)
	mu.Lock()
	defer mu.Unlock()
	slices.Sort(took)
	if len(took) == 0 {
		return fmt.Errorf("no entry came through")
	}
	at := func(p float64) time.Duration { return took[int(p*float64(len(took)-1))].Round(time.Microsecond) }
	fmt.Printf("%d of them write once a second: %.0f transactions/s, %.0f entries/s delivered, %.2f cores; from push "+
		"to the others p50 %v, p95 %v, p99 %v; memory then %d MiB; answers later than a second: %d\n",
		writers, float64(n.Load())/wall.Seconds(), float64(frames.Load())/wall.Seconds(), (h.cpu()-cpu)/wall.Seconds(),
		at(.5), at(.95), at(.99), h.memory()>>20, late.Load())
	return nil
}
