package sqlitestore

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/ncruces/go-sqlite3"
)

// Earlier versions kept a file for each space, NAME.space.db, of formats 1 to 7.

// oldSuffix ends the name of such a file.
const oldSuffix = ".space.db"

// oldFile returns the path of a space's own file.
func oldFile(dir, name string) string { return filepath.Join(dir, oldName(name)+oldSuffix) }

// oldName returns a space's name as the name of its file. Capitals are escaped,
// since some file systems take a and A for the same, and so are marks that mean
// something to some of them: "+" and a small letter, "=" and two hexadecimal
// digits.
func oldName(name string) string {
	const digits = "0123456789abcdef"
	var b strings.Builder
	for i := range len(name) {
		switch c := name[i]; {
		case 'A' <= c && c <= 'Z':
			b.WriteByte('+')
			b.WriteByte(c + 'a' - 'A')
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '.', c == '_', c == '~', c == '-':
			b.WriteByte(c)
		default:
			b.Write([]byte{'=', digits[c>>4], digits[c&15]})
		}
	}
	return b.String()
}

// oldFormat is the last format of a file for each space.
const oldFormat = 7

// oldViews show a file of oldFormat as one of this version, with one space. Uploads
// are the newest of each client.
const oldViews = `
CREATE TEMP VIEW kept_space AS SELECT 1 AS id, name, epoch,
	coalesce((SELECT max(seq) FROM old.log), horizon) AS seq,
	coalesce((SELECT chain FROM old.log ORDER BY seq DESC LIMIT 1),
		iif(horizon > 0, horizon_chain, zeroblob(32))) AS chain,
	rows, live, logged, horizon, iif(horizon > 0, horizon_chain, zeroblob(32)) AS horizon_chain, 0 AS kicks, 0 AS gone
	FROM old.space;
CREATE TEMP VIEW kept_descriptors AS SELECT 1 AS space, schema FROM old.space;
CREATE TEMP VIEW kept_log AS SELECT 1 AS space, seq, client, counter, outcome, body_hash, chain, digest, rows, body
	FROM old.log LEFT JOIN old.digest USING (seq);
CREATE TEMP VIEW kept_client AS SELECT 1 AS space, id, coalesce(decided, 0) AS decided, subject AS owner
	FROM (SELECT id FROM old.client UNION SELECT client FROM old.owner)
	LEFT JOIN old.client USING (id) LEFT JOIN old.owner ON owner.client = id;
CREATE TEMP VIEW kept_row AS SELECT 1 AS space, tbl, key, sum, cells FROM old.row;
CREATE TEMP VIEW kept_bucket AS SELECT 1 AS space, tbl, grp, n, sum FROM old.bucket;
CREATE TEMP VIEW kept_outcome AS SELECT 1 AS space, client, counter, seq, code,
	iif(length(body_hash) = 32, body_hash, zeroblob(32)) AS body_hash FROM old.outcome;
CREATE TEMP VIEW kept_part AS SELECT 1 AS space, client, idx, bytes FROM old.part p
	WHERE counter = (SELECT max(counter) FROM old.part q WHERE q.client = p.client);
CREATE TEMP VIEW kept_upload AS SELECT 1 AS space, u.client, u.subject AS account, p.counter, p.total, p.body_hash,
	count(*) AS held, u.bytes, u.at
	FROM old.upload u JOIN old.part p
	ON p.client = u.client AND p.counter = (SELECT max(counter) FROM old.part q WHERE q.client = u.client)
	GROUP BY u.client;
CREATE TEMP VIEW kept_head AS SELECT 1 AS space, x'' AS device, 0 AS n, x'' AS bytes WHERE false;
CREATE TEMP VIEW kept_blob AS SELECT 1 AS space, '' AS name, 0 AS at, x'' AS bytes WHERE false;
`

// Views makes temporary views over a connection to a file of spaces, kept_space,
// kept_log and so on for each table of this package, also where the file is one
// that an earlier version kept for each space. ok is false where it is neither.
func Views(c *sqlite3.Conn) (ok bool, err error) {
	own, of := 0, 0
	for sql, n := range map[string]*int{
		`SELECT count(*) FROM sqlite_schema WHERE name IN ('space', 'descriptors', 'log')`: &own,
		`SELECT count(*) FROM sqlite_schema WHERE name IN ('space', 'log', 'bucket')`:      &of,
	} {
		s, _, err := c.Prepare(sql)
		if err != nil {
			return false, err
		}
		if s.Step() {
			*n = s.ColumnInt(0)
		}
		if err := s.Close(); err != nil {
			return false, err
		}
	}
	switch {
	case own == 3:
		return true, c.Exec(strings.ReplaceAll(sameViews(), "old.", "main."))
	case of == 3:
		return true, c.Exec(strings.ReplaceAll(oldViews, "old.", "main."))
	}
	return false, nil
}

// sameViews are those of an attached file of this version.
func sameViews() string {
	var b strings.Builder
	for _, table := range append([]string{"space"}, tables...) {
		fmt.Fprintf(&b, "CREATE TEMP VIEW kept_%s AS SELECT * FROM old.%[1]s;\n", table)
	}
	return b.String()
}

// attach attaches a file, and makes the views of it.
func (c *conn) attach(path, views string, verify bool) error {
	sql := `ATTACH ` + sqlite3.Quote(fileURI(path, "")) + ` AS old;`
	if !verify {
		sql += `PRAGMA old.checksum_verification = off;`
	}
	return c.c.Exec(sql + views)
}

func (c *conn) detach() error {
	var b strings.Builder
	for _, table := range append([]string{"space"}, tables...) {
		fmt.Fprintf(&b, "DROP VIEW IF EXISTS temp.kept_%s;\n", table)
	}
	for sql, s := range c.stmts { // they may read the views
		s.Close()
		delete(c.stmts, sql)
	}
	return c.c.Exec(b.String() + `DETACH old`)
}

const oldLogSQL = `
CREATE TABLE log(
	seq INTEGER PRIMARY KEY,
	client BLOB NOT NULL,
	counter INTEGER NOT NULL,
	outcome TEXT NOT NULL,
	body_hash BLOB NOT NULL,
	chain BLOB NOT NULL,
	body BLOB,
	UNIQUE (client, counter)
) STRICT;
CREATE TABLE part(
	client BLOB NOT NULL,
	counter INTEGER NOT NULL,
	idx INTEGER NOT NULL,
	total INTEGER NOT NULL,
	body_hash BLOB NOT NULL,
	at INTEGER NOT NULL,
	bytes BLOB NOT NULL,
	UNIQUE (client, counter, idx)
) STRICT;
`

// upgrades make a format of the one before it: the one of its number.
var upgrades = map[int]string{
	1: `
CREATE TABLE refused(client BLOB NOT NULL, counter INTEGER NOT NULL, seq INTEGER NOT NULL, code TEXT NOT NULL,
	PRIMARY KEY (client, counter)) STRICT, WITHOUT ROWID;
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
	3: `DELETE FROM digest`, // it has become a tree
	4: `
CREATE TABLE owner(client BLOB PRIMARY KEY, subject TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE upload(client BLOB PRIMARY KEY, subject TEXT NOT NULL, bytes INTEGER NOT NULL, at INTEGER NOT NULL)
	STRICT, WITHOUT ROWID;
INSERT INTO upload SELECT client, '', sum(length(bytes)), max(at) FROM part GROUP BY client;
`,
	5: `
ALTER TABLE log RENAME TO old_log;
ALTER TABLE part RENAME TO old_part;
` + oldLogSQL + `
INSERT INTO log SELECT seq, client, counter, outcome, body_hash, chain, body FROM old_log;
INSERT INTO part SELECT client, counter, idx, total, body_hash, at, bytes FROM old_part;
DROP TABLE old_log;
DROP TABLE old_part;
`,
	6: `
CREATE TABLE outcome(client BLOB NOT NULL, counter INTEGER NOT NULL, seq INTEGER NOT NULL, code TEXT NOT NULL,
	body_hash BLOB NOT NULL, PRIMARY KEY (client, counter)) STRICT, WITHOUT ROWID;
INSERT INTO outcome SELECT client, counter, seq, code, x'' FROM refused;
DROP TABLE refused;
`,
}

// upgrade brings a space's own file to oldFormat.
func (c *conn) upgrade() (err error) {
	if err := c.c.CreateFunction("heddle_row_sum", 3, sqlite3.DETERMINISTIC, rowSumSQL); err != nil {
		return err
	}
	found := 0
	if err := c.run(`SELECT format FROM space`, func(s *sqlite3.Stmt) error {
		found = s.ColumnInt(0)
		return nil
	}); err != nil {
		return err
	}
	if found < 1 || found > oldFormat {
		return fmt.Errorf("sqlitestore: the space's file has format %d, and this version reads up to %d", found, oldFormat)
	}
	tx, err := c.c.BeginImmediate()
	if err != nil {
		return err
	}
	defer tx.End(&err)
	for ; found < oldFormat; found++ {
		if err := c.c.Exec(upgrades[found]); err != nil {
			return err
		}
	}
	return c.c.Exec(fmt.Sprintf(`UPDATE space SET format = %d`, oldFormat))
}
