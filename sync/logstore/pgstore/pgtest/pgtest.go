// Package pgtest has PostgreSQL for tests: a cluster of their own in a temporary
// directory, which goes with the test's process, and databases in it.
//
// It needs PostgreSQL's programs, as Debian's package postgresql has them. Where there
// are none, a test is left out with the reason, and fails in continuous integration
// (the environment has CI).
package pgtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// startWait is for a cluster to be made, to answer, or to end.
const startWait = 2 * time.Minute

// Cluster is a PostgreSQL server with its data.
type Cluster struct {
	Port     int
	dir, bin string
	settings []string
	stdin    io.WriteCloser // of the shell that ends the server when it is closed
	ended    chan struct{}
	made     int // databases
}

var shared struct {
	once sync.Once
	mu   sync.Mutex
	c    *Cluster
	err  error
}

// Run runs a package's tests, and ends the cluster that they share: TestMain's
// os.Exit(pgtest.Run(m)).
func Run(m *testing.M) int {
	code := m.Run()
	if shared.c != nil {
		if err := shared.c.Remove(); err != nil {
			fmt.Fprintln(os.Stderr, "pgtest:", err)
			return 1
		}
	}
	return code
}

// Database makes an empty database in the cluster that the tests of a process share,
// and returns its URL. The cluster does not flush: its machine does not crash.
func Database(t testing.TB) string {
	t.Helper()
	shared.once.Do(func() { shared.c, shared.err = Start("fsync=off", "max_connections=1000") })
	need(t, shared.err)
	shared.mu.Lock()
	defer shared.mu.Unlock()
	url, err := shared.c.Database(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return url
}

// New starts a cluster for one test.
func New(t testing.TB, settings ...string) *Cluster {
	t.Helper()
	c, err := Start(settings...)
	need(t, err)
	t.Cleanup(func() {
		if err := c.Remove(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// errNone says that there are no programs of PostgreSQL.
var errNone = errors.New("there is no PostgreSQL: install Debian's package postgresql")

func need(t testing.TB, err error) {
	t.Helper()
	switch {
	case (errors.Is(err, errNone) || errors.Is(err, errNoPooler)) && os.Getenv("CI") == "":
		t.Skip(err)
	case err != nil:
		t.Fatal(err)
	}
}

// binaries finds the directory of PostgreSQL's programs: Debian keeps them beside
// each other by version.
func binaries() (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil {
		return "", err
	}
	slices.SortFunc(found, func(a, b string) int { return len(a) - len(b) + strings.Compare(a, b) })
	if n := len(found); n > 0 {
		return filepath.Dir(found[n-1]), nil
	}
	if path, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(path), nil
	}
	return "", errNone
}

// Start makes a cluster with these settings, such as fsync=off, and starts it. The
// caller removes it.
func Start(settings ...string) (c *Cluster, err error) {
	c = &Cluster{settings: settings}
	if c.bin, err = binaries(); err != nil {
		return nil, err
	}
	if c.dir, err = os.MkdirTemp("", "heddle-pg-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(c.dir))
		}
	}()
	if err := own(c.dir); err != nil {
		return nil, err
	}
	if out, err := c.command("initdb", "-D", c.data(), "-U", "heddle", "-A", "trust", "-E", "UTF8", "--locale", "C",
		"--no-sync").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w\n%s", err, out)
	}
	if c.Port, err = freePort(); err != nil {
		return nil, err
	}
	return c, c.Up()
}

// Standby makes a standby of the cluster, which is not started yet. The caller removes
// it.
func (c *Cluster) Standby() (s *Cluster, err error) {
	s = &Cluster{settings: c.settings, bin: c.bin}
	if s.dir, err = os.MkdirTemp("", "heddle-pg-"); err != nil {
		return nil, err
	}
	err = own(s.dir)
	if err == nil {
		var out []byte
		if out, err = s.command("pg_basebackup", "-d", c.URL("postgres"), "-D", s.data(), "-R", "-X", "stream", "-N",
			"-c", "fast").CombinedOutput(); err != nil {
			err = fmt.Errorf("pg_basebackup: %w\n%s", err, out)
		}
	}
	if err == nil {
		s.Port, err = freePort()
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(s.dir))
	}
	return s, nil
}

// Exec executes a statement.
func (c *Cluster) Exec(ctx context.Context, sql string) error {
	conn, err := pgx.Connect(ctx, c.URL("postgres"))
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, sql)
	return err
}

// Value executes a statement in a database, and returns the number that it yields.
func Value(ctx context.Context, url, sql string) (n int64, err error) {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return 0, err
	}
	defer conn.Close(ctx)
	err = conn.QueryRow(ctx, sql).Scan(&n)
	return n, err
}

// Synchronous has each commit wait for a standby, of which there is one.
func (c *Cluster) Synchronous(ctx context.Context) error {
	for _, sql := range []string{`ALTER SYSTEM SET synchronous_standby_names = '*'`, `SELECT pg_reload_conf()`,
		`SELECT pg_sleep(0.1) FROM generate_series(1, 1000) WHERE NOT EXISTS
			(SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync')`} {
		if err := c.Exec(ctx, sql); err != nil {
			return err
		}
	}
	return nil
}

// Promote makes a primary of a standby that runs.
func (c *Cluster) Promote(ctx context.Context) error { return c.Exec(ctx, `SELECT pg_promote()`) }

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}

func (c *Cluster) data() string { return filepath.Join(c.dir, "data") }

// command is one of PostgreSQL's programs, as a user that it runs for.
func (c *Cluster) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(c.bin, name), args...)
	cmd.Dir = c.dir
	asOwner(cmd)
	return cmd
}

// Up starts the server, and waits until it answers.
func (c *Cluster) Up() error {
	// The shell ends the server when this process does, in whatever way.
	const script = `"$@" >>log 2>&1 & pid=$!; read -r how; kill -"${how:-QUIT}" $pid 2>/dev/null; wait $pid`
	args := []string{"-c", script, "sh", filepath.Join(c.bin, "postgres"), "-D", c.data(), "-k", c.dir,
		"-c", "listen_addresses=127.0.0.1", "-c", "port=" + strconv.Itoa(c.Port)}
	for _, s := range c.settings {
		args = append(args, "-c", s)
	}
	cmd := exec.Command("/bin/sh", args...)
	cmd.Dir = c.dir
	asOwner(cmd)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	c.stdin, c.ended = stdin, make(chan struct{})
	go func() { cmd.Wait(); close(c.ended) }()
	ctx, cancel := context.WithTimeout(context.Background(), startWait)
	defer cancel()
	for {
		conn, err := pgx.Connect(ctx, c.URL("postgres"))
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the server does not answer: %w\n%s", err, c.log())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (c *Cluster) log() []byte {
	log, _ := os.ReadFile(filepath.Join(c.dir, "log"))
	return log
}

// Down ends the server by a signal: INT breaks off what it does, QUIT has it stop at
// once as if it had crashed.
func (c *Cluster) Down(signal string) error {
	select {
	case <-c.ended:
		return nil
	default:
	}
	fmt.Fprintln(c.stdin, signal)
	c.stdin.Close()
	select {
	case <-c.ended:
		return nil
	case <-time.After(startWait):
		return errors.New("the server does not end")
	}
}

// Remove ends the server, if it runs, and removes its data.
func (c *Cluster) Remove() error {
	var err error
	if c.ended != nil {
		err = c.Down("QUIT")
	}
	return errors.Join(err, os.RemoveAll(c.dir))
}

// Addr is where the server listens.
func (c *Cluster) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(c.Port)) }

// URL names a database of the cluster.
func (c *Cluster) URL(database string) string {
	return fmt.Sprintf("postgres://heddle@%s/%s?sslmode=disable&connect_timeout=%d", c.Addr(), database,
		int(startWait.Seconds())) // a slow machine is no fault
}

// Database makes an empty database, and returns its URL.
func (c *Cluster) Database(ctx context.Context) (string, error) {
	conn, err := pgx.Connect(ctx, c.URL("postgres"))
	if err != nil {
		return "", err
	}
	defer conn.Close(ctx)
	c.made++
	name := fmt.Sprint("test", c.made)
	if _, err := conn.Exec(ctx, `CREATE DATABASE `+name); err != nil {
		return "", err
	}
	return c.URL(name), nil
}
