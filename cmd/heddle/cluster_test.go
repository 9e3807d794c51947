//go:build unix

package main

import (
	"bufio"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"heddle.dev/heddle/internal/await"
	"heddle.dev/heddle/sync/logstore/pgstore/pgtest"
	"heddle.dev/heddle/sync/wire"
)

var (
	faults    = flag.Int("faults", 16, "how many faults TestCluster has")
	faultSeed = flag.Uint64("faults.seed", 1, "what chooses them")
)

// node is heddle serve in a process of its own, at one address all its life.
type node struct {
	t     *testing.T
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
	p.cmd = exec.Command(binary, append([]string{"serve", "--dev", "--addr", p.addr, "--log", "error"}, p.args...)...)
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
	nodes    []*node
	hits     map[string]int
}

func newCluster(t *testing.T, servers int) *cluster {
	t.Helper()
	c := &cluster{random: rand.New(rand.NewPCG(*faultSeed, 0)), hits: map[string]int{},
		database: pgtest.New(t, "fsync=off", "max_connections=200")}
	ctx := await.Context(t)
	name, err := c.database.Database(ctx)
	if err != nil {
		t.Fatal(err)
	}
	target := net.JoinHostPort("127.0.0.1", fmt.Sprint(c.database.Port))
	for range servers {
		proxy := newProxy(t, target)
		c.nodes = append(c.nodes, newNode(t, strings.Replace(name, target, proxy.addr, 1)))
		c.nodes[len(c.nodes)-1].proxy = proxy
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

// Three servers over one PostgreSQL, each of which is killed, frozen and cut off while
// devices write and follow at any of them, and a database that crashes and restarts:
// what is acknowledged is there once, in one order, and nobody is told anything else.
func TestCluster(t *testing.T) {
	c := newCluster(t, 3)
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
	all := map[string]func(*node, int){
		"a server killed": c.killed, "a server ended in order": c.ended, "a server frozen": c.frozen,
		"the way to the database cut":     c.cut,
		"the way to the database stalled": c.stalled, "notifications lost": c.deaf,
		"the database crashed":   func(*node, int) { c.restart("QUIT") },
		"the database restarted": func(*node, int) { c.restart("INT") },
	}
	var order []string
	for n := range *faults {
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
		c.hits["… of those, hints"] += int(p.proxy.lost.Load())
	}
	t.Logf("%d transactions acknowledged, %d pushes sent again; hit: %v", c.total(), c.again, c.hits)
	for fault := range all {
		if *faults >= len(all) && c.hits[fault] == 0 {
			t.Errorf("never hit: %s", fault)
		}
	}
}

// busyOf waits for a push to be under way at a server.
func (c *cluster) busyOf(server int) {
	for c.busy[server].Load() == 0 && !c.over() {
		time.Sleep(100 * time.Microsecond)
	}
	c.hits["… with a push under way"]++
}

func (c *cluster) killed(p *node, server int) {
	c.busyOf(server)
	p.kill()
	c.until(30)
	p.up()
	c.until(10)
}

// ended has a server drain and end, as in an upgrade, and begin again.
func (c *cluster) ended(p *node, server int) {
	c.busyOf(server)
	p.signal(syscall.SIGTERM)
	if err := p.cmd.Wait(); err != nil {
		c.t.Errorf("a server that was told to end: %v", err)
	}
	c.until(30)
	p.up()
	c.until(10)
}

func (c *cluster) frozen(p *node, server int) {
	c.busyOf(server)
	p.signal(syscall.SIGSTOP)
	c.until(50) // of the others
	p.signal(syscall.SIGCONT)
	c.until(10)
}

func (c *cluster) cut(p *node, server int) {
	c.busyOf(server)
	p.proxy.cut()
	c.until(50)
	p.proxy.mend()
	c.until(10)
}

func (c *cluster) stalled(p *node, server int) {
	c.busyOf(server)
	flow := p.proxy.stall()
	c.until(50)
	flow()
	c.until(10)
}

func (c *cluster) deaf(p *node, _ int) {
	p.proxy.lose.Store(true)
	c.until(50)
	p.proxy.lose.Store(false)
}

func (c *cluster) restart(signal string) {
	if err := c.database.Down(signal); err != nil {
		c.t.Fatal(err)
	}
	if err := c.database.Up(); err != nil {
		c.t.Fatal(err)
	}
	c.until(20)
}
