package sqlitestore

// format is the layout of schemaSQL, in the file's user_version.
const format = 3

// formats make a format of the one before it: the one of its number.
var formats = map[int]string{
	1: `ALTER TABLE space ADD COLUMN told INTEGER NOT NULL DEFAULT 0;` + headSQL,
	2: blobSQL,
}

// applicationID says that a file is of this package: "hdls".
const applicationID = 0x68646c73

// tables are those whose rows belong to a space, by their column space.
var tables = []string{"descriptors", "log", "client", "row", "bucket", "outcome", "upload", "part", "head", "blob"}

// schemaSQL is a file's layout. What is large stands in the last column: SQLite
// reads all pages of a value to come to what stands after it.
const schemaSQL = `
CREATE TABLE space(
	id INTEGER PRIMARY KEY,
	name TEXT NOT NULL UNIQUE,
	epoch BLOB NOT NULL,
	seq INTEGER NOT NULL DEFAULT 0,  -- the log's end
	chain BLOB NOT NULL DEFAULT (zeroblob(32)),
	digest BLOB NOT NULL DEFAULT (zeroblob(32)),
	rows INTEGER NOT NULL DEFAULT 0, -- of the folded state
	live INTEGER NOT NULL DEFAULT 0, -- bytes of the folded state
	logged INTEGER NOT NULL DEFAULT 0, -- bytes of the log
	horizon INTEGER NOT NULL DEFAULT 0, -- the log begins after this seq
	horizon_chain BLOB NOT NULL DEFAULT (zeroblob(32)),
	kicks INTEGER NOT NULL DEFAULT 0,
	gone INTEGER NOT NULL DEFAULT 0, -- 1: deleted; the name is all that is left
	told INTEGER NOT NULL DEFAULT 0  -- how often a device's head was written
) STRICT;
CREATE TABLE descriptors(
	space INTEGER PRIMARY KEY,
	schema BLOB NOT NULL            -- folded descriptors
) STRICT;
CREATE TABLE log(
	space INTEGER NOT NULL,
	seq INTEGER NOT NULL,
	client BLOB NOT NULL,
	counter INTEGER NOT NULL,
	outcome TEXT NOT NULL,          -- '' for ok
	body_hash BLOB NOT NULL,
	chain BLOB NOT NULL,
	digest BLOB,                    -- of a commit's last entry; else NULL
	rows INTEGER,
	body BLOB,                      -- NULL for void
	PRIMARY KEY (space, seq)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX log_client ON log(space, client, counter);
CREATE TABLE client(
	space INTEGER NOT NULL,
	id BLOB NOT NULL,
	decided INTEGER NOT NULL,       -- the last decided counter
	owner TEXT,                     -- the subject that first pushed under it; NULL: none yet
	PRIMARY KEY (space, id)
) STRICT, WITHOUT ROWID;
CREATE TABLE row(
	space INTEGER NOT NULL,
	tbl TEXT NOT NULL,
	key BLOB NOT NULL,
	sum INTEGER NOT NULL,           -- RowSum of table, key and cells
	cells BLOB NOT NULL,
	PRIMARY KEY (space, tbl, key)
) STRICT, WITHOUT ROWID;
CREATE TABLE bucket(
	space INTEGER NOT NULL,
	tbl TEXT NOT NULL,
	grp INTEGER NOT NULL,
	n INTEGER NOT NULL,
	sum BLOB NOT NULL,
	PRIMARY KEY (space, tbl, grp, n)
) STRICT, WITHOUT ROWID;
CREATE TABLE outcome(
	space INTEGER NOT NULL,
	client BLOB NOT NULL,
	counter INTEGER NOT NULL,       -- of an entry that the log no longer has
	seq INTEGER NOT NULL,
	code TEXT NOT NULL,             -- '' for ok
	body_hash BLOB NOT NULL,        -- zeros where it was not kept
	PRIMARY KEY (space, client, counter)
) STRICT, WITHOUT ROWID;
CREATE TABLE upload(
	space INTEGER NOT NULL,
	client BLOB NOT NULL,           -- whose parts are held
	account TEXT NOT NULL,          -- of the subject that they count for
	counter INTEGER NOT NULL,
	total INTEGER NOT NULL,
	body_hash BLOB NOT NULL,
	held INTEGER NOT NULL,
	bytes INTEGER NOT NULL,
	at INTEGER NOT NULL,            -- of the last part, unix seconds
	PRIMARY KEY (space, client)
) STRICT, WITHOUT ROWID;
CREATE TABLE part(
	space INTEGER NOT NULL,
	client BLOB NOT NULL,
	idx INTEGER NOT NULL,
	bytes BLOB NOT NULL,
	PRIMARY KEY (space, client, idx)
) STRICT, WITHOUT ROWID;
` + headSQL + blobSQL

const headSQL = `
CREATE TABLE head(
	space INTEGER NOT NULL,
	device BLOB NOT NULL,           -- of a sealed space
	n INTEGER NOT NULL,             -- the number of its newest head
	bytes BLOB NOT NULL,
	PRIMARY KEY (space, device)
) STRICT, WITHOUT ROWID;
`

const blobSQL = `
CREATE TABLE blob(
	space INTEGER NOT NULL,
	name TEXT NOT NULL,
	at INTEGER NOT NULL,            -- when it came, unix seconds
	bytes BLOB NOT NULL,
	PRIMARY KEY (space, name)
) STRICT;
`
