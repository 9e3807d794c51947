package pgtest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// errNoPooler says that there is no PgBouncer.
var errNoPooler = errors.New("there is no PgBouncer: install Debian's package pgbouncer")

// Pooler starts PgBouncer in transaction mode before a database, for one test, and
// returns the URL of that by it. ignored are parameters of sessions that PgBouncer is to
// leave out.
func Pooler(t testing.TB, database, ignored string) string {
	t.Helper()
	to, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	path, err := exec.LookPath("pgbouncer")
	if err != nil {
		path = "/usr/sbin/pgbouncer" // which is not in everybody's PATH
	}
	if _, err := os.Stat(path); err != nil {
		need(t, errNoPooler)
	}
	dir, err := os.MkdirTemp("", "heddle-pgbouncer-")
	if err == nil {
		err = own(dir)
	}
	if err != nil {
		t.Fatal(err)
	}
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "pgbouncer.ini")
	settings := fmt.Sprintf("[databases]\n* = host=%s port=%s user=heddle\n"+
		"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = %d\n"+
		"unix_socket_dir =\nauth_type = any\npool_mode = transaction\ndefault_pool_size = 4\n"+
		"ignore_startup_parameters = %s\n", to.Hostname(), to.Port(), port, ignored)
	if err := os.WriteFile(file, []byte(settings), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, file)
	cmd.Dir = dir
	asOwner(cmd)
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		log.Close()
		os.RemoveAll(dir)
	})
	to.Host = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	ctx, cancel := context.WithTimeout(t.Context(), startWait)
	defer cancel()
	for {
		c, err := pgx.Connect(ctx, to.String()+"&default_query_exec_mode=exec")
		if err == nil {
			c.Close(ctx)
			return to.String()
		}
		select {
		case <-ctx.Done():
			said, _ := os.ReadFile(log.Name())
			t.Fatalf("PgBouncer does not answer: %v\n%s", err, said)
		case <-time.After(20 * time.Millisecond):
		}
	}
}
