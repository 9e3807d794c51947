//go:build unix

package main

import (
	"bufio"
	"cmp"
	"flag"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"heddle.dev/heddle/internal/await"
	"heddle.dev/heddle/sync/logstore/natshints/natstest"
	"heddle.dev/heddle/sync/logstore/pgstore/pgtest"
	"heddle.dev/heddle/sync/wire"
)

var (
	faults    = flag.Int("faults", 11, "how many faults TestCluster has; so many have each kind once")
	faultTime = flag.Duration("faults.time", time.Hour, "none begins later than that")
	faultSeed = flag.Uint64("faults.seed", 1, "what chooses them")
	faultOnly = flag.String("faults.only", "", "only those whose name a regular `expression` finds")
)

// node is heddle serve in a process of its own, at one address all its life.
type node struct {
	t     *testing.T
	build string // the program's file; "": this test's
	args  []string
	addr  string
	cmd   *exec.Cmd
	proxy *proxy
}

func (p *node) up() {
	p.t.Helper()
	binary, err := os.Executable()
	if err != nil {
		p.t.Fatal(err)
	}
	args := append([]string{"serve", "--dev", "--addr", p.addr, "--log", "error"}, p.args...)
	p.cmd = exec.Command(cmp.Or(p.build, binary), args...)
	p.cmd.Env = append(os.Environ(), asHeddle+"=1")
	p.cmd.Stderr = &lines{each: func(s string) { p.t.Log(p.addr, s) }}
	out, err := p.cmd.StdoutPipe()
	if err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		p.t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	_, rest, ok := strings.Cut(line, "serving http://")
	if err != nil || !ok {
		p.t.Fatalf("got %q, %v", line, err)
	}
	p.addr, _, _ = strings.Cut(rest, "/")
}

func (p *node) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Error(err)
	}
}

func (p *node) kill() {
	p.cmd.Process.Kill()
	p.cmd.Wait()
}

// cluster are equal servers over one PostgreSQL, with a proxy between each and the
// database.
type cluster struct {
	*fleet
	random   *rand.Rand
	database *pgtest.Cluster
	broker   *natstest.Broker
	nodes    []*node
	builds   []string
	build    int // which of them the servers are
	hits     map[string]int
	took     map[string][]time.Duration // to the next acknowledgement, by what was before
}

// newCluster starts servers of the first build, which hear of each other by a broker if
// there is one.
func newCluster(t *testing.T, servers int, broker *natstest.Broker) *cluster {
	t.Helper()
	c := &cluster{random: rand.New(rand.NewPCG(*faultSeed, 0)), hits: map[string]int{}, broker: broker,
		took:     map[string][]time.Duration{},
		database: pgtest.New(t, "fsync=off", "max_connections=200")}
	c.builds = builds(t)
	ctx := await.Context(t)
	url, err := c.database.Database(ctx)
	if err != nil {
		t.Fatal(err)
	}
	target := c.database.Addr()
	for range servers {
		proxy := newProxy(t, target)
		p := &node{t: t, addr: "127.0.0.1:0", proxy: proxy, build: c.builds[0],
			args: []string{"--store", strings.Replace(url, target, proxy.addr, 1)}}
		if broker != nil {
			p.args = append(p.args, "--hints", broker.URL())
		}
		p.up()
		t.Cleanup(p.kill)
		c.nodes = append(c.nodes, p)
	}
	c.fleet = newFleet(t, ctx, urls(c.nodes))
	return c
}

// newNode starts a server over a database.
func newNode(t *testing.T, database string) *node {
	t.Helper()
	p := &node{t: t, addr: "127.0.0.1:0", args: []string{"--store", database}}
	p.up()
	t.Cleanup(p.kill)
	return p
}

func urls(nodes []*node) (all []string) {
	for _, p := range nodes {
		all = append(all, "http://"+p.addr+"/")
	}
	return all
}

// Three servers over one PostgreSQL, each of which is killed, frozen, cut off and
// upgraded while devices write and follow at any of them, and a database that crashes,
// restarts and is replaced by its standbys: what is acknowledged is there once, in one
// order, and nobody is told anything else. What a standby did not have the devices give
// back.
func TestCluster(t *testing.T) { testCluster(t, nil) }

// The same where servers hear of each other by NATS.
func TestCluster_nats(t *testing.T) { testCluster(t, natstest.New(t, "", "")) }

func testCluster(t *testing.T, broker *natstest.Broker) {
	begun := time.Now()
	c := newCluster(t, 3, broker)
	ends := map[string][]chan wire.Position{}
	number := 0
	for space, writers := range map[string]int{"hot": 4, "warm": 2, "other": 2} {
		for range writers {
			number++
			c.write(space, number)
		}
		for range 2 {
			number++
			end := make(chan wire.Position, 1)
			ends[space] = append(ends[space], end)
			c.follow(space, number, end)
		}
	}
	c.until(20)
	all := c.faults()
	only := regexp.MustCompile(*faultOnly)
	maps.DeleteFunc(all, func(name string, _ func(*node, int)) bool { return !only.MatchString(name) })
	var order []string
	n := 0
	for ; n < *faults && time.Since(begun) < *faultTime; n++ {
		if len(order) == 0 {
			order = slices.Sorted(maps.Keys(all))
			c.random.Shuffle(len(order), func(i, k int) { order[i], order[k] = order[k], order[i] })
		}
		fault := order[0]
		order = order[1:]
		server := c.random.IntN(len(c.nodes))
		began := time.Now()
		all[fault](c.nodes[server], server)
		c.hits[fault]++
		t.Logf("%d: %s (server %d): %.1f s, %d acknowledged", n, fault, server, time.Since(began).Seconds(), c.total())
	}
	c.finish(ends)
	for _, p := range c.nodes {
		c.hits["… of those, notifications"] += int(p.proxy.lost.Load())
	}
	t.Logf("%d transactions acknowledged, %d pushes sent again, %d lost by the database and given back, "+
		"%d followers begun anew; hit: %v", c.total(), c.again, c.lost, c.anew, c.hits)
	for after, took := range c.took {
		slices.Sort(took)
		t.Logf("acknowledged again after %s: median %v, longest %v of %d", after, took[len(took)/2], took[len(took)-1],
			len(took))
	}
	for fault := range all {
		if n >= len(all) && c.hits[fault] == 0 {
			t.Errorf("never hit: %s", fault)
		}
	}
	if c.losses.Load() > 0 && c.lost == 0 {
		t.Error("the standby without the last commits had all of them")
	}
}
