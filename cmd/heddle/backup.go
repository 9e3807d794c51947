package main

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/internal/diskvfs"
	"heddle.dev/heddle/sync/logstore/sqlitestore"
)

var backupCommand = command{
	name:  "backup",
	args:  "--data DIR --to DIR",
	short: "copy a server's spaces while it runs",
	long: `
Copies each file of a data directory, as it is at one moment, into another
directory, which must be empty or not exist. The server may go on meanwhile: no
push waits. Each copy is flushed and checked before the command says so. To
restore, stop the server and start it with --data on the copy: devices notice
what it has lost, and send again what they wrote last. (heddle inspect tries a
copy through and through.)`,
	run: backup,
}

func backup(e *env, flags *flag.FlagSet, args []string) error {
	data := flags.String("data", "", "the server's data `directory`")
	to := flags.String("to", "", "the `directory` to copy into")
	if err := parse(flags, args, 0, ""); err != nil {
		return err
	}
	if *data == "" || *to == "" {
		return badUsage("--data and --to are needed")
	}
	files, err := sqlitestore.Files(*data)
	if err != nil {
		return err
	}
	there, err := os.ReadDir(*to)
	switch {
	case err == nil && len(there) > 0:
		return fmt.Errorf("%s is not empty", *to)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if err := os.MkdirAll(*to, 0o700); err != nil {
		return err
	}
	spaces := 0
	for _, from := range files {
		if err := e.ctx.Err(); err != nil {
			return err
		}
		lines, err := backupFile(from, filepath.Join(*to, filepath.Base(from)))
		if err != nil {
			return fmt.Errorf("%s: %w", filepath.Base(from), err)
		}
		for _, line := range lines {
			fmt.Fprintln(e.stdout, line)
		}
		spaces += len(lines)
	}
	if err := flush(*to); err != nil {
		return err
	}
	_, err = fmt.Fprintf(e.stdout, "%d spaces\n", spaces)
	return err
}

// backupFile copies a file under another name first: what has its own is whole. It
// returns a line for each space.
func backupFile(from, to string) (lines []string, err error) {
	part := to + ".part"
	if err := vacuumInto(from, part); err != nil {
		return nil, errors.Join(err, os.Remove(part))
	}
	if err := flush(part); err != nil {
		return nil, err
	}
	c, err := openFile(part, "ro")
	if err != nil {
		return nil, err
	}
	var problems []string
	err = errors.Join(
		each(c, `PRAGMA integrity_check(20)`, func(s *sqlite3.Stmt) {
			if text := s.ColumnText(0); text != "ok" {
				problems = append(problems, text)
			}
		}),
		views(c),
		each(c, `SELECT name, seq, rows FROM kept_space WHERE NOT gone ORDER BY name`, func(s *sqlite3.Stmt) {
			lines = append(lines, fmt.Sprintf("%s at %d, %d rows", s.ColumnText(0), s.ColumnInt64(1), s.ColumnInt64(2)))
		}),
		c.Close())
	if err != nil {
		return nil, err
	}
	if len(problems) > 0 {
		return nil, fmt.Errorf("the copy is damaged: %s", strings.Join(slices.Compact(problems), "; "))
	}
	return lines, os.Rename(part, to)
}

func views(c *sqlite3.Conn) error {
	ok, err := sqlitestore.Views(c)
	if err == nil && !ok {
		err = errors.New("this is no file of the server")
	}
	return err
}

// vacuumInto makes the copy without page checksums first: VACUUM INTO writes the
// first page last, from which SQLite's VFS learns that pages have checksums. In
// WAL mode a checkpoint writes it first.
func vacuumInto(from, to string) error {
	c, err := openFile(from, "rw") // a log left by a crash may have to be recovered
	if err != nil {
		return err
	}
	into := fileURI(to) + "?reserve=0"
	if err := errors.Join(c.Exec(`VACUUM INTO `+sqlite3.Quote(into)), c.Close()); err != nil {
		return err
	}
	c, err = openFile(to, "rw")
	if err != nil {
		return err
	}
	err = c.Exec(`PRAGMA journal_mode = wal`)
	if err == nil {
		err = c.EnableChecksums("main")
	}
	if err == nil {
		err = c.Exec(`PRAGMA journal_mode = delete`)
	}
	return errors.Join(err, c.Close())
}

func fileURI(file string) string {
	u := url.URL{Scheme: "file", OmitHost: true, Path: filepath.ToSlash(file)}
	return u.String()
}

func openFile(file, mode string) (*sqlite3.Conn, error) {
	return sqlite3.Open(fileURI(file) + "?vfs=" + diskvfs.Name + "&mode=" + mode + "&_pragma=busy_timeout(10000)")
}

func each(c *sqlite3.Conn, sql string, row func(*sqlite3.Stmt)) error {
	s, _, err := c.Prepare(sql)
	if err != nil {
		return err
	}
	defer s.Close()
	for s.Step() {
		row(s)
	}
	return s.Err()
}

// flush puts a file, or the names in a directory, on the disk: SQLite does not
// do that for VACUUM INTO.
func flush(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
