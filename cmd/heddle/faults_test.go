//go:build unix

package main

import (
	"syscall"
	"time"
)

// faults are those that a cluster goes through, by their names. One is over when the
// servers work again.
func (c *cluster) faults() map[string]func(p *node, server int) {
	all := map[string]func(*node, int){
		"a server killed": c.killed, "a server ended in order": c.ended, "a server frozen": c.frozen,
		"the way to the database cut":                      c.cut,
		"the way to the database stalled":                  c.stalled,
		"the database crashed":                             func(*node, int) { c.restart("QUIT") },
		"the database restarted":                           func(*node, int) { c.restart("INT") },
		"a synchronous standby promoted":                   func(*node, int) { c.failover(true) },
		"a standby without the last commits promoted":      func(*node, int) { c.failover(false) },
		"all servers upgraded, or back, one after another": func(*node, int) { c.upgrade() },
	}
	if c.broker == nil {
		all["notifications lost"] = c.deaf
	} else {
		all["NATS killed"] = func(*node, int) { c.noBroker() }
	}
	return all
}

// busyOf waits for a push to be under way at a server.
func (c *cluster) busyOf(server int) {
	for c.busy[server].Load() == 0 && !c.over() {
		time.Sleep(100 * time.Microsecond)
	}
	c.hits["… with a push under way"]++
}

// back waits until something is acknowledged, and notes how long that takes.
func (c *cluster) back(after string) {
	began := time.Now()
	c.until(1)
	c.took[after] = append(c.took[after], time.Since(began))
}

func (c *cluster) killed(p *node, server int) {
	c.busyOf(server)
	p.kill()
	c.back("a server was killed")
	c.until(30)
	p.up()
	c.until(10)
}

// ended has a server drain and end, and begin again.
func (c *cluster) ended(p *node, server int) {
	c.replaced(p, server, p.build)
	c.until(10)
}

// replaced has a server drain and end, and one of a build begin in its place.
func (c *cluster) replaced(p *node, server int, build string) {
	c.busyOf(server)
	p.signal(syscall.SIGTERM)
	if err := p.cmd.Wait(); err != nil {
		c.t.Errorf("a server that was told to end: %v", err)
	}
	c.until(30)
	p.build = build
	p.up()
}

// upgrade replaces all servers, one after the other, by those of the next build, or
// after the last one by those of the one before.
func (c *cluster) upgrade() {
	if c.build++; c.build == len(c.builds) {
		c.build -= 2
	}
	to := c.builds[c.build]
	for server, p := range c.nodes {
		c.replaced(p, server, to)
		c.until(30) // of both builds
	}
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

func (c *cluster) noBroker() {
	c.broker.Down()
	c.until(50)
	c.must(c.broker.Up())
	c.until(10)
}

func (c *cluster) restart(signal string) {
	c.must(c.database.Down(signal))
	c.must(c.database.Up())
	c.back("the database answers again")
	c.until(20)
}

func (c *cluster) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

// failover makes a standby of the database and promotes it when that was killed. One
// that is not synchronous lacks what was committed while it was down.
func (c *cluster) failover(synchronous bool) {
	standby, err := c.database.Standby()
	c.must(err)
	c.t.Cleanup(func() { c.must(standby.Remove()) })
	c.must(standby.Up())
	if synchronous {
		c.must(c.database.Synchronous(c.ctx))
		c.until(20)
	} else {
		c.must(standby.Down("INT"))
		c.until(20)
	}
	c.must(c.database.Down("QUIT"))
	if !synchronous {
		c.losses.Add(1)
		c.must(standby.Up())
	}
	c.must(standby.Promote(c.ctx))
	c.must(c.database.Remove())
	c.database = standby
	for _, p := range c.nodes {
		p.proxy.retarget(standby.Addr())
	}
	c.back("a standby was promoted")
	c.until(20)
}
