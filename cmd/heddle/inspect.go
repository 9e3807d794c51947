package main

import (
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/ext/fts5"
	"github.com/ncruces/go-sqlite3/ext/rtree"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/fold"
	"heddle.dev/heddle/sync/logstore"
	"heddle.dev/heddle/sync/logstore/sqlitestore"
	"heddle.dev/heddle/sync/wire"
)

var inspectCommand = command{
	name:  "inspect",
	args:  "FILE",
	short: "show what is in a database file of Heddle",
	long: `
Prints a database's tables with their rows, the state of its sync (client id,
cursor, digest, pending transactions), the result of an integrity check and the
state of its write-ahead log. It takes the file of a browser (db.export()), of a
Go program, or one of the server's (spaces-1-of-1.db), and changes nothing. Of
each space in it it also follows the log's chain of hashes, hashes each body,
verifies the sum of each row and computes the digest of all rows: the way to try
a backup. The exit code is 1 if something is wrong.`,
	run: inspect,
}

func inspect(e *env, flags *flag.FlagSet, args []string) error {
	if err := parse(flags, args, 1, "FILE"); err != nil {
		return err
	}
	file, err := filepath.Abs(flags.Arg(0))
	if err != nil {
		return err
	}
	info, err := os.Stat(file)
	if err != nil {
		return err
	}
	if info.IsDir() {
		return fmt.Errorf("%s is a directory", file)
	}
	c, how, err := openReadOnly(file)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	defer c.Close()
	i := &inspection{c: c, w: e.stdout}
	i.printf("file       %s (%d bytes%s)\n", file, info.Size(), how)
	i.wal(file)
	i.query(`SELECT (SELECT journal_mode FROM pragma_journal_mode), (SELECT page_size FROM pragma_page_size), (SELECT `+
		`encoding FROM pragma_encoding)`, func(s *sqlite3.Stmt) {
		i.printf("format     journal mode %s, pages of %s bytes, %s\n", s.ColumnText(0), s.ColumnText(1), s.ColumnText(2))
	})
	tables := i.tables()
	spaces, err := sqlitestore.Views(c)
	if err != nil {
		return err
	}
	switch {
	case tables["heddle_meta"]:
		i.client(tables)
	case spaces:
		i.spaces()
	default:
		i.printf("\nsync       none\n")
	}
	sound := i.integrity()
	if i.err != nil {
		return i.err
	}
	if !sound {
		return errors.New("the file is damaged")
	}
	return nil
}

// openReadOnly opens a file as it is: with its write-ahead log if it can, else
// (in a directory that cannot be written) without.
func openReadOnly(file string) (*sqlite3.Conn, string, error) {
	u := url.URL{Scheme: "file", OmitHost: true, Path: filepath.ToSlash(file)}
	for _, try := range []struct{ query, how string }{{"mode=ro", ""}, {"mode=ro&immutable=1", ", read without its log"}} {
		u.RawQuery = try.query
		c, err := sqlite3.OpenFlags(u.String(), sqlite3.OPEN_READONLY|sqlite3.OPEN_URI)
		if err != nil {
			return nil, "", err
		}
		err = c.BusyTimeout(busy)
		// What a database of Heddle may use.
		for _, register := range []func(*sqlite3.Conn) error{fts5.Register, rtree.Register, functions} {
			if err == nil {
				err = register(c)
			}
		}
		if err == nil {
			err = c.Exec(`SELECT count(*) FROM sqlite_schema`)
		}
		if err == nil {
			return c, try.how, nil
		}
		c.Close()
		if !errors.Is(err, sqlite3.CANTOPEN) && !errors.Is(err, sqlite3.READONLY) {
			if errors.Is(err, sqlite3.NOTADB) {
				err = errors.New("this is not an SQLite database")
			}
			return nil, "", err
		}
	}
	return nil, "", errors.New("the file cannot be opened")
}

// functions stand in for Heddle's SQL functions, which a schema may name. No
// statement of an inspection calls them.
func functions(c *sqlite3.Conn) error {
	none := func(ctx sqlite3.Context, _ ...sqlite3.Value) { ctx.ResultNull() }
	for _, name := range []string{"uuid7", "heddle_applying"} {
		if err := c.CreateFunction(name, 0, sqlite3.INNOCUOUS, none); err != nil {
			return err
		}
	}
	return nil
}

// inspection keeps the first error, so that its steps need not look at it.
type inspection struct {
	c   *sqlite3.Conn
	w   io.Writer
	err error
}

func (i *inspection) printf(format string, args ...any) {
	if i.err == nil {
		_, i.err = fmt.Fprintf(i.w, format, args...)
	}
}

func (i *inspection) query(sql string, row func(*sqlite3.Stmt), args ...int64) {
	if i.err != nil {
		return
	}
	s, _, err := i.c.Prepare(sql)
	if err != nil {
		i.err = err
		return
	}
	defer s.Close()
	for n, arg := range args {
		if err := s.BindInt64(n+1, arg); err != nil {
			i.err = err
			return
		}
	}
	for s.Step() {
		row(s)
	}
	if i.err == nil {
		i.err = s.Err()
	}
}

// number returns a query's one number.
func (i *inspection) number(sql string, args ...int64) (n int64) {
	i.query(sql, func(s *sqlite3.Stmt) { n = s.ColumnInt64(0) }, args...)
	return n
}

// wal tells about the write-ahead log: https://sqlite.org/fileformat2.html#the_write_ahead_log
func (i *inspection) wal(file string) {
	f, err := os.Open(file + "-wal")
	if err != nil {
		i.printf("wal        none\n")
		return
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || info.Size() == 0 {
		i.printf("wal        empty\n")
		return
	}
	header := make([]byte, 32)
	if _, err := io.ReadFull(f, header); err != nil || binary.BigEndian.Uint32(header)&^1 != 0x377f0682 {
		i.printf("wal        %d bytes, not a valid log\n", info.Size())
		return
	}
	page := int64(binary.BigEndian.Uint32(header[8:]))
	i.printf("wal        %d bytes, room for %d frames of %d-byte pages, checkpoint %d\n", info.Size(),
		(info.Size()-32)/(24+page), page, binary.BigEndian.Uint32(header[12:]))
}

// tables prints the app's tables and returns the names of all.
func (i *inspection) tables() map[string]bool {
	all := map[string]bool{}
	var apps, shadows []string
	i.query(`SELECT name, type FROM pragma_table_list WHERE schema = 'main' AND type IN ('table', 'virtual', 'shadow') `+
		`ORDER BY name`, func(s *sqlite3.Stmt) {
		name := s.ColumnText(0)
		all[name] = true
		switch {
		case strings.HasPrefix(name, "sqlite_"), strings.HasPrefix(name, "heddle_"):
		case s.ColumnText(1) == "shadow":
			shadows = append(shadows, name)
		default:
			apps = append(apps, name)
		}
	})
	i.printf("\ntables     %d\n", len(apps))
	for _, name := range apps {
		i.printf("  %-24s %d rows\n", name, i.number(`SELECT count(*) FROM `+quote(name)))
	}
	if len(shadows) > 0 {
		i.printf("  and of virtual tables: %s\n", strings.Join(shadows, ", "))
	}
	return all
}

func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// client prints the state of a replica.
func (i *inspection) client(tables map[string]bool) {
	meta := map[string]any{}
	i.query(`SELECT name, value FROM heddle_meta`, func(s *sqlite3.Stmt) {
		switch s.ColumnType(1) {
		case sqlite3.INTEGER:
			meta[s.ColumnText(0)] = s.ColumnInt64(1)
		case sqlite3.TEXT:
			meta[s.ColumnText(0)] = s.ColumnText(1)
		default:
			meta[s.ColumnText(0)] = s.ColumnBlob(1, nil)
		}
	})
	i.printf("\nsync       a replica\n")
	for _, line := range [][2]string{{"space", "space"}, {"client", "client id"}, {"epoch", "epoch"}, {"seq", "cursor"},
		{"chain", "chain hash"}} {
		switch v := meta[line[0]].(type) {
		case nil:
			i.printf("  %-14s none yet\n", line[1])
		case []byte:
			i.printf("  %-14s %x\n", line[1], v)
		default:
			i.printf("  %-14s %v\n", line[1], v)
		}
	}
	i.digest(`SELECT tbl, grp, bucket, sum FROM heddle_digest`)
	i.query(`SELECT count(DISTINCT id), coalesce(sum(length(bytes)), 0) FROM heddle_pending`, func(s *sqlite3.Stmt) {
		i.printf("  %-14s %d transactions, %d bytes\n", "pending", s.ColumnInt64(0), s.ColumnInt64(1))
	})
	if tables["heddle_row"] {
		i.printf("  %-14s %d\n", "rows pending", i.number(`SELECT count(*) FROM heddle_row`))
	}
	if tables["heddle_overflow"] {
		i.printf("  %-14s %d rows of tables or columns not known here\n", "overflow",
			i.number(`SELECT count(*) FROM heddle_overflow`))
	}
	if tables["heddle_rejected"] {
		i.printf("  %-14s %d transactions\n", "rejected", i.number(`SELECT count(*) FROM heddle_rejected`))
		i.query(`SELECT counter, seq, code FROM heddle_rejected ORDER BY id DESC LIMIT 10`, func(s *sqlite3.Stmt) {
			i.printf("    transaction %d at %d: %s\n", s.ColumnInt64(0), s.ColumnInt64(1), s.ColumnText(2))
		})
	}
}

// spaces prints the state of each space of the server's file.
func (i *inspection) spaces() {
	var ids []int64
	i.query(`SELECT id FROM kept_space WHERE gone = 0 ORDER BY name`, func(s *sqlite3.Stmt) {
		ids = append(ids, s.ColumnInt64(0))
	})
	for _, id := range ids {
		i.space(id)
	}
	if gone := i.number(`SELECT count(*) FROM kept_space WHERE gone <> 0`); gone > 0 {
		i.printf("\ndeleted    %d spaces\n", gone)
	}
	if i.err == nil && len(ids) == 0 {
		i.printf("\nsync       no space of the server\n")
	}
}

// space prints the state of a space.
func (i *inspection) space(id int64) {
	i.printf("\nsync       a space of the server\n")
	i.query(`SELECT name, hex(epoch), rows FROM kept_space WHERE id = ?`, func(s *sqlite3.Stmt) {
		i.printf("  %-14s %s\n  %-14s %s\n  %-14s %d\n", "space", s.ColumnText(0), "epoch", strings.ToLower(s.ColumnText(1)),
			"rows", s.ColumnInt64(2))
	}, id)
	i.query(`SELECT count(*), total(outcome <> ''), total(length(body)) FROM kept_log WHERE space = ?`,
		func(s *sqlite3.Stmt) {
			i.printf("  %-14s %d entries, %d of them void, %d bytes\n", "log", s.ColumnInt64(0), s.ColumnInt64(1),
				s.ColumnInt64(2))
		}, id)
	i.printf("  %-14s %d\n", "clients", i.number(`SELECT count(*) FROM kept_client WHERE space = ?`, id))
	i.printf("  %-14s %d\n", "parts staged", i.number(`SELECT count(*) FROM kept_part WHERE space = ?`, id))
	kept := i.digest(`SELECT tbl, grp, n, sum FROM kept_bucket WHERE space = ?`, id)
	if rows := i.rowsDigest(id); i.err == nil && rows != kept {
		i.err = errcode.New(errcode.Diverged, "inspect",
			fmt.Sprintf("the digest is kept as %x, but the rows have %x", kept, rows))
	}
	i.chain(id)
}

// rowsDigest computes a space's digest from its rows.
func (i *inspection) rowsDigest(id int64) wire.Hash {
	schema, d := &fold.Schema{}, &fold.Digest{}
	note := func(err error) bool {
		if i.err == nil {
			i.err = err
		}
		return err == nil
	}
	i.query(`SELECT schema FROM kept_descriptors WHERE space = ?`, func(s *sqlite3.Stmt) {
		if read, err := fold.UnmarshalSchema(s.ColumnBlob(0, nil)); note(err) {
			schema = read
		}
	}, id)
	i.query(`SELECT tbl, key, cells, sum FROM kept_row WHERE space = ?`, func(s *sqlite3.Stmt) {
		table, encoded, stored := s.ColumnText(0), s.ColumnBlob(1, nil), s.ColumnBlob(2, nil)
		if logstore.RowSum(table, encoded, stored) != s.ColumnInt64(3) {
			note(errcode.New(errcode.Diverged, "inspect",
				fmt.Sprintf("the row of table %q with key %x is not what was stored", table, encoded)))
			return
		}
		key, err := wire.DecodeKey(encoded)
		cells, err2 := wire.DecodeRow(stored)
		if note(err) && note(err2) {
			d.Add(table, key, &fold.Row{Cells: cells}, schema)
		}
	}, id)
	return d.Sum()
}

// digest prints the sum of stored buckets.
func (i *inspection) digest(sql string, args ...int64) wire.Hash {
	d := &fold.Digest{}
	i.query(sql, func(s *sqlite3.Stmt) {
		b, err := fold.UnmarshalBucket(s.ColumnBlob(3, nil))
		if err != nil {
			i.err = err
			return
		}
		d.Set(fold.BucketID{Table: s.ColumnText(0), Group: uint32(s.ColumnInt64(1)), Bucket: uint8(s.ColumnInt64(2))}, b)
	}, args...)
	sum := d.Sum()
	i.printf("  %-14s %x\n", "digest", sum)
	return sum
}

// chain follows the log's chain hash from where it begins to the head, and hashes
// each body.
func (i *inspection) chain(id int64) {
	var prev, end wire.Hash
	var want, last uint64
	i.query(`SELECT horizon, horizon_chain, seq, chain FROM kept_space WHERE id = ?`, func(s *sqlite3.Stmt) {
		want, last = uint64(s.ColumnInt64(0)), uint64(s.ColumnInt64(2))
		copy(prev[:], s.ColumnRawBlob(1))
		copy(end[:], s.ColumnRawBlob(3))
	}, id)
	if want > 0 {
		i.printf("  %-14s %d entries were cut off\n", "horizon", want)
	}
	const sql = `SELECT seq, client, counter, outcome, body_hash, chain, body FROM kept_log WHERE space = ? ORDER BY seq`
	i.query(sql, func(s *sqlite3.Stmt) {
		e := wire.Entry{Seq: uint64(s.ColumnInt64(0)), Counter: uint64(s.ColumnInt64(2)), Outcome: s.ColumnText(3)}
		copy(e.Client[:], s.ColumnRawBlob(1))
		copy(e.BodyHash[:], s.ColumnRawBlob(4))
		copy(e.Chain[:], s.ColumnRawBlob(5))
		if want++; i.err == nil && (e.Seq != want || e.Chain != e.ChainAfter(prev)) {
			i.err = errcode.New(errcode.Diverged, "inspect", fmt.Sprintf("the log's chain is broken at entry %d", e.Seq))
		}
		if i.err == nil && e.Outcome == "" && wire.HashBody(s.ColumnRawBlob(6)) != e.BodyHash {
			i.err = errcode.New(errcode.Diverged, "inspect",
				fmt.Sprintf("the body of entry %d is not the one of its hash", e.Seq))
		}
		prev = e.Chain
	}, id)
	if i.err == nil && (want != last || prev != end) {
		i.err = errcode.New(errcode.Diverged, "inspect",
			fmt.Sprintf("the log ends at %d, and the space's head is %d", want, last))
	}
	i.printf("  %-14s whole, ends in %x\n", "chain", prev)
}

func (i *inspection) integrity() bool {
	sound := true
	i.printf("\nintegrity  ")
	i.query(`PRAGMA integrity_check(20)`, func(s *sqlite3.Stmt) {
		if text := s.ColumnText(0); text != "ok" {
			sound = false
			i.printf("\n  %s", text)
		}
	})
	if sound && i.err == nil {
		i.printf("ok")
	}
	i.printf("\n")
	return sound
}
