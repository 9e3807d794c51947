//go:build unix

package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"heddle.dev/heddle/internal/await"
	"heddle.dev/heddle/sync/logstore/pgstore/pgtest"
	"heddle.dev/heddle/sync/wire"
)

// pair is a primary with a standby, and servers that know of both.
type pair struct {
	t                *testing.T
	ctx              context.Context
	primary, standby *pgtest.Cluster
	nodes            []*node
}

func newPair(t *testing.T) *pair {
	t.Helper()
	p := &pair{t: t, ctx: await.Context(t), primary: pgtest.New(t, "fsync=off", "max_connections=100")}
	name, err := p.primary.Database(p.ctx)
	p.must(err)
	p.standby, err = p.primary.Standby()
	p.must(err)
	t.Cleanup(func() { p.must(p.standby.Remove()) })
	p.must(p.standby.Up())
	both := strings.Replace(name, fmt.Sprint(p.primary.Port), fmt.Sprintf("%d,127.0.0.1:%d", p.primary.Port,
		p.standby.Port), 1)
	for range 2 {
		p.nodes = append(p.nodes, newNode(t, both))
	}
	return p
}

func (p *pair) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

// A synchronous standby takes over from a primary that is killed while devices write:
// nothing that was acknowledged is lost, and the servers find it by themselves.
func TestFailover_synchronous(t *testing.T) {
	p := newPair(t)
	p.must(p.primary.Synchronous(p.ctx))
	f := newFleet(t, p.ctx, urls(p.nodes))
	ends := map[string][]chan wire.Position{}
	for i, space := range []string{"hot", "hot", "hot", "other"} {
		f.write(space, i+1)
		end := make(chan wire.Position, 1)
		ends[space] = append(ends[space], end)
		f.follow(space, i+100, end)
	}
	f.until(50)
	p.must(p.primary.Down("QUIT"))
	before := f.total()
	p.must(p.standby.Promote(p.ctx))
	f.until(50)
	f.finish(ends)
	t.Logf("%d acknowledged before, %d after, %d pushes sent again", before, f.total()-before, f.again)
}

// A standby takes over that lacks what was committed last, under servers that remember
// it: devices give back what they wrote, each transaction once.
func TestFailover_withoutTheTail(t *testing.T) {
	p := newPair(t)
	devices := t.TempDir()
	url := urls(p.nodes)
	use := func(n int, write bool) string {
		return device(t, url[n%2], "s", filepath.Join(devices, fmt.Sprint(n)), write, "")
	}
	use(0, true)
	use(1, true)
	// All of that reaches the standby, and nothing of what follows.
	p.must(p.primary.Exec(p.ctx, `SELECT pg_sleep(0.1) FROM generate_series(1, 1000) WHERE NOT EXISTS
		(SELECT 1 FROM pg_stat_replication WHERE replay_lsn = pg_current_wal_lsn())`))
	p.must(p.standby.Down("INT"))
	use(0, true)
	use(1, true)
	use(2, true)
	lost := use(0, false)
	p.must(p.primary.Down("QUIT"))
	p.must(p.standby.Up())
	p.must(p.standby.Promote(p.ctx))
	if out := works(t, "digest", "--server", url[0], "--space", "s"); strings.Contains(out, lost) {
		t.Fatal("nothing is lost: the test shows nothing")
	}
	for n := range 3 { // each gives back what it wrote
		use(n, false)
	}
	for n := range 3 {
		if got := use(n, false); got != lost {
			t.Errorf("device %d has %s, want %s", n, got, lost)
		}
	}
	if out := works(t, "spaces", "--store", p.standby.URL("test1")); !strings.Contains(out, "s at 5, 15 rows") {
		t.Errorf("got %s", out)
	}
}
