package server

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"

	"heddle.dev/heddle/internal/errcode"
)

// conn is a connection with its prepared statements. It is for one goroutine at
// a time.
type conn struct {
	c     *sqlite3.Conn
	stmts map[string]*sqlite3.Stmt
}

func openConn(name string) (*conn, error) {
	c, err := sqlite3.Open(name)
	if err != nil {
		return nil, err
	}
	return &conn{c: c, stmts: map[string]*sqlite3.Stmt{}}, nil
}

func (c *conn) close() error {
	for _, s := range c.stmts {
		s.Close()
	}
	return c.c.Close()
}

// fileURI names a file to SQLite, whatever characters its path has. More
// parameters may follow.
func fileURI(path, vfsName string) string {
	u := url.URL{Scheme: "file", OmitHost: true, Path: filepath.ToSlash(path), RawQuery: "mode=rwc"}
	if vfsName != "" {
		u.RawQuery += "&vfs=" + url.QueryEscape(vfsName)
	}
	return u.String()
}

// exists reports whether there is a file with something in it. An empty one is
// what is left of a space that was never made; with a log beside it, it has lost
// what it had.
func exists(path, vfsName string) (bool, error) {
	if vfsName != "" {
		return vfs.Find(vfsName).Access(path, vfs.ACCESS_EXISTS)
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	case !info.Mode().IsRegular():
		return false, errcode.New(errcode.Damaged, "server: open space", path+" is not a regular file")
	case info.Size() > 0:
		return true, nil
	}
	if wal, err := os.Stat(path + "-wal"); err == nil && wal.Size() > 0 {
		return false, errcode.New(errcode.Damaged, "server: open space",
			path+" is empty, but its write-ahead log is not: restore a backup")
	}
	return false, nil
}

// run executes one statement with args (nil, int64, uint64, uint32, int,
// string, []byte) and calls row for each result. sql must be constant: its
// statement is kept.
func (c *conn) run(sql string, row func(*sqlite3.Stmt) error, args ...any) (err error) {
	s := c.stmts[sql]
	if s == nil {
		if s, _, err = c.c.PrepareFlags(sql, sqlite3.PREPARE_PERSISTENT); err != nil {
			return err
		}
		c.stmts[sql] = s
	}
	for i, arg := range args {
		switch v := arg.(type) {
		case nil:
			err = s.BindNull(i + 1)
		case int:
			err = s.BindInt64(i+1, int64(v))
		case int64:
			err = s.BindInt64(i+1, v)
		case uint64:
			err = s.BindInt64(i+1, int64(v))
		case uint32:
			err = s.BindInt64(i+1, int64(v))
		case string:
			err = s.BindText(i+1, v)
		case []byte:
			if v == nil {
				v = []byte{}
			}
			err = s.BindBlob(i+1, v)
		default:
			err = fmt.Errorf("server: a parameter of type %T", v)
		}
		if err != nil {
			return err
		}
	}
	defer func() {
		if e := s.Reset(); err == nil {
			err = e
		}
	}()
	for s.Step() {
		if row != nil {
			if err := row(s); err != nil {
				return err
			}
		}
	}
	return s.Err()
}

// blob copies a result column; it is never nil.
func blob(s *sqlite3.Stmt, column int) []byte {
	return append([]byte{}, s.ColumnRawBlob(column)...)
}

// schemaSQL is a space's database. The file is a space's whole truth;
// what a space keeps in memory is read from it.
const schemaSQL = `
CREATE TABLE space(
	id INTEGER PRIMARY KEY CHECK (id = 1),
	format INTEGER NOT NULL,
	name TEXT NOT NULL,
	epoch BLOB NOT NULL,
	rows INTEGER NOT NULL,          -- of the folded state
	schema BLOB NOT NULL,           -- folded descriptors
	live INTEGER NOT NULL,          -- bytes of the folded state
	logged INTEGER NOT NULL,        -- bytes of the log
	horizon INTEGER NOT NULL,       -- the log begins after this seq
	horizon_chain BLOB NOT NULL     -- the chain hash there
) STRICT;
CREATE TABLE client(
	id BLOB PRIMARY KEY,
	decided INTEGER NOT NULL        -- the last decided counter
) STRICT, WITHOUT ROWID;
CREATE TABLE row(
	tbl TEXT NOT NULL,
	key BLOB NOT NULL,
	cells BLOB NOT NULL,
	sum INTEGER NOT NULL,           -- RowSum of the three
	PRIMARY KEY (tbl, key)
) STRICT, WITHOUT ROWID;
CREATE TABLE bucket(
	tbl TEXT NOT NULL,
	grp INTEGER NOT NULL,
	n INTEGER NOT NULL,
	sum BLOB NOT NULL,
	PRIMARY KEY (tbl, grp, n)
) STRICT, WITHOUT ROWID;
CREATE TABLE digest(
	seq INTEGER PRIMARY KEY,        -- the log's end after a commit
	digest BLOB NOT NULL,
	rows INTEGER NOT NULL
) STRICT;
` + logSQL + outcomeSQL + ownerSQL

// logSQL has what is large in the last column: SQLite reads all pages of a value
// to come to what stands after it.
const logSQL = `
CREATE TABLE log(
	seq INTEGER PRIMARY KEY,
	client BLOB NOT NULL,
	counter INTEGER NOT NULL,
	outcome TEXT NOT NULL,          -- '' for ok
	body_hash BLOB NOT NULL,
	chain BLOB NOT NULL,
	body BLOB,                      -- NULL for void
	UNIQUE (client, counter)
) STRICT;
CREATE TABLE part(
	client BLOB NOT NULL,
	counter INTEGER NOT NULL,
	idx INTEGER NOT NULL,
	total INTEGER NOT NULL,
	body_hash BLOB NOT NULL,
	at INTEGER NOT NULL,            -- unix seconds
	bytes BLOB NOT NULL,
	UNIQUE (client, counter, idx)
) STRICT;
`

const refusedSQL = `
CREATE TABLE refused(
	client BLOB NOT NULL,
	counter INTEGER NOT NULL,       -- of a void entry that the log no longer has
	seq INTEGER NOT NULL,
	code TEXT NOT NULL,
	PRIMARY KEY (client, counter)
) STRICT, WITHOUT ROWID;
`

// outcomeSQL keeps what cut entries have decided, for authors that have not seen it.
const outcomeSQL = `
CREATE TABLE outcome(
	client BLOB NOT NULL,
	counter INTEGER NOT NULL,       -- of an entry that the log no longer has
	seq INTEGER NOT NULL,
	code TEXT NOT NULL,             -- '' for ok
	body_hash BLOB NOT NULL,        -- empty where a format before 7 did not keep it
	PRIMARY KEY (client, counter)
) STRICT, WITHOUT ROWID;
`

// format is the layout of schemaSQL.
const format = 7

// upgrades make a format of the one before it: the one of its number.
var upgrades = map[int]string{
	1: refusedSQL + `
ALTER TABLE space ADD COLUMN live INTEGER NOT NULL DEFAULT 0;
ALTER TABLE space ADD COLUMN logged INTEGER NOT NULL DEFAULT 0;
ALTER TABLE space ADD COLUMN horizon INTEGER NOT NULL DEFAULT 0;
ALTER TABLE space ADD COLUMN horizon_chain BLOB NOT NULL DEFAULT x'';
UPDATE space SET
	live = (SELECT coalesce(sum(length(key) + length(cells)), 0) FROM row),
	logged = (SELECT coalesce(sum(coalesce(length(body), 0) + 160), 0) FROM log);
`,
	2: `
ALTER TABLE row ADD COLUMN sum INTEGER NOT NULL DEFAULT 0;
UPDATE row SET sum = heddle_row_sum(tbl, key, cells);
`,
	// The digest has become a tree: recount keeps that of the log's end.
	3: `DELETE FROM digest`,
	4: ownerSQL + `
INSERT INTO upload SELECT client, '', sum(length(bytes)), max(at) FROM part GROUP BY client;
`,
	5: `
ALTER TABLE log RENAME TO old_log;
ALTER TABLE part RENAME TO old_part;
` + logSQL + `
INSERT INTO log SELECT seq, client, counter, outcome, body_hash, chain, body FROM old_log;
INSERT INTO part SELECT client, counter, idx, total, body_hash, at, bytes FROM old_part;
DROP TABLE old_log;
DROP TABLE old_part;
`,
	6: outcomeSQL + `
INSERT INTO outcome SELECT client, counter, seq, code, x'' FROM refused;
DROP TABLE refused;
`,
}
