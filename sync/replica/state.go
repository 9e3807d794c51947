package replica

import (
	"encoding/binary"
	"io"
	"slices"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/fold"
	"heddle.dev/heddle/sync/replica/internal/synced"
	"heddle.dev/heddle/sync/wire"
)

// schemaSQL makes the tables of the package comment. All are WITHOUT ROWID, so
// that writing them leaves last_insert_rowid() as the app knows it.
const schemaSQL = `
CREATE TABLE IF NOT EXISTS heddle_meta(name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS heddle_pending(
  id INTEGER NOT NULL, part INTEGER NOT NULL, total INTEGER NOT NULL,
  hash BLOB NOT NULL, bytes BLOB NOT NULL, created INTEGER NOT NULL,
  PRIMARY KEY(id, part)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS heddle_sent(
  id INTEGER NOT NULL, part INTEGER NOT NULL, total INTEGER NOT NULL,
  hash BLOB NOT NULL, bytes BLOB NOT NULL, created INTEGER NOT NULL,
  PRIMARY KEY(id, part)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS heddle_moved(id INTEGER PRIMARY KEY, times INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS heddle_row(
  tbl TEXT NOT NULL, key BLOB NOT NULL, base BLOB, ops BLOB NOT NULL,
  PRIMARY KEY(tbl, key)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS heddle_overflow(
  tbl TEXT NOT NULL, key BLOB NOT NULL, whole INTEGER NOT NULL, cells BLOB NOT NULL,
  code TEXT, rule TEXT, PRIMARY KEY(tbl, key)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS heddle_digest(
  tbl TEXT NOT NULL, grp INTEGER NOT NULL, bucket INTEGER NOT NULL, sum BLOB NOT NULL,
  PRIMARY KEY(tbl, grp, bucket)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS heddle_rejected(
  id INTEGER PRIMARY KEY, seq INTEGER NOT NULL, counter INTEGER NOT NULL,
  code TEXT NOT NULL, body BLOB NOT NULL, created INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS heddle_seen(
  tbl TEXT NOT NULL, key BLOB NOT NULL, PRIMARY KEY(tbl, key)) WITHOUT ROWID;
`

// addReason gives heddle_overflow the columns that it did not always have.
func addReason(c *synced.Conn) error {
	has, err := c.Has(`SELECT 1 FROM pragma_table_info('heddle_overflow') WHERE name = 'rule'`)
	if err != nil || has {
		return err
	}
	return c.SQLite.Exec(`ALTER TABLE heddle_overflow ADD COLUMN code TEXT;
		ALTER TABLE heddle_overflow ADD COLUMN rule TEXT`)
}

// formatVersion is the version of the tables above and of what is in them.
const formatVersion = 1

// Names in heddle_meta.
const (
	metaFormat        = "format" // formatVersion
	metaSpace         = "space"  // the space this database belongs to
	metaClient        = "client" // the client's id
	metaOffset        = "offset" // a pending transaction's counter is its id minus this
	metaLast          = "last"   // the id of the last transaction that left heddle_pending
	metaEpoch         = "epoch"
	metaSeq           = "seq"   // the cursor: the prefix's last entry
	metaChain         = "chain" // and its chain hash
	metaSchema        = "schema"
	metaServer        = "met"    // the URL that has answered as a server of this space
	metaFormer        = "former" // the id that an imported file had, while formerOffset and formerLast mean something
	metaFormerOffset  = "formerOffset"
	metaFormerLast    = "formerLast"
	metaBootstrap     = "boot"      // how far a snapshot has got that is being applied
	metaBootstrapKind = "bootFresh" // see bootstrap
	metaComplete      = "complete"  // 1 once all rows of the space have been here
	metaUpload        = "upload"    // the schema of the log that was left, see Client.Accept
	metaRepairs       = "repairs"   // how often the digest was not the server's
	metaPaused        = "paused"    // 1 while a pause outlasts Close
	metaSeed          = "seed"      // the body that an empty space is to begin with
	metaTables        = "tables"    // what was synced when the database was last open, see Client.adapt
	metaMigrated      = "migrated"  // how many migrations sync has seen
	metaTried         = "tried"     // the schema that quarantined rows were last tried with
)

// state is what a client keeps of its database in memory. It is changed inside
// the writer's transactions alone and loaded again where one of them fails.
type state struct {
	client wire.ClientID
	offset int64 // counter = id - offset
	last   int64 // ids up to this have left heddle_pending
	pos    wire.Position
	schema *fold.Schema // of the prefix
	digest *fold.Digest // of the prefix
	// The replica has had the whole of the space once: a snapshot has ended, or
	// the log has been followed to its head.
	complete bool
	// A snapshot that is being applied, nil for none: schema and digest are the
	// snapshot's then, pos is that of before.
	bootstrap *bootstrap

	// The replica has started over: the first counter that it has kept a transaction
	// of, or the next one. Else 0. See StartOver.
	over uint64
	// overLast is the last id that had left heddle_pending then.
	overLast int64

	// Of an imported file that had pending transactions: the device where it was
	// exported may have sent them already. Until the prefix has reached the head
	// once, its entries are looked for and nothing is sent.
	former *former
}

// former is the client that an imported file belonged to.
type former struct {
	client wire.ClientID
	offset int64 // counter = id - offset
	last   int64 // the last id that is from there
}

// loadState reads the state. That of a database that has none is minted, unless
// random is nil.
func loadState(c *synced.Conn, random io.Reader) (*state, error) {
	s := &state{}
	meta, err := loadMeta(c)
	if err != nil {
		return nil, err
	}
	blob := func(name string) []byte { b, _ := meta[name].([]byte); return b }
	number := func(name string) int64 { n, _ := meta[name].(int64); return n }
	s.last = number(metaLast)
	if id := blob(metaClient); len(id) == len(s.client) {
		copy(s.client[:], id)
		s.offset = number(metaOffset)
	} else if random != nil {
		if err := s.mint(c, random); err != nil {
			return nil, err
		}
	}
	copy(s.pos.Epoch[:], blob(metaEpoch))
	copy(s.pos.Chain[:], blob(metaChain))
	s.pos.Seq = uint64(number(metaSeq))
	s.complete = number(metaComplete) == 1
	s.over, s.overLast = uint64(number(metaOver)), number(metaOverLast)
	if s.schema, err = fold.UnmarshalSchema(blob(metaSchema)); err != nil {
		return nil, err
	}
	if id := blob(metaFormer); len(id) == len(s.client) {
		s.former = &former{offset: number(metaFormerOffset), last: number(metaFormerLast)}
		copy(s.former.client[:], id)
	}
	if data := blob(metaBootstrap); data != nil {
		at, err := wire.UnmarshalResume(data)
		if err != nil {
			return nil, damaged("heddle_meta")
		}
		s.bootstrap = &bootstrap{at: *at, fresh: number(metaBootstrapKind) == bootstrapFresh}
		if number(metaBootstrapKind) == bootstrapUpload {
			if s.bootstrap.upload, err = fold.UnmarshalSchema(blob(metaUpload)); err != nil {
				return nil, err
			}
		}
		if number(metaBootstrapKind) == bootstrapOnly { // which ones is not kept
			s.bootstrap.only = map[bucket]bool{}
		}
	}
	s.digest = &fold.Digest{}
	err = c.Query(`SELECT tbl, grp, bucket, sum FROM heddle_digest`, nil, func(stmt *sqlite3.Stmt) error {
		b, err := fold.UnmarshalBucket(stmt.ColumnRawBlob(3))
		if err == nil {
			s.digest.Set(fold.BucketID{Table: stmt.ColumnText(0), Group: uint32(stmt.ColumnInt64(1)),
				Bucket: uint8(stmt.ColumnInt64(2))}, b)
		}
		return err
	})
	return s, err
}

func loadMeta(c *synced.Conn) (map[string]wire.Value, error) {
	meta := map[string]wire.Value{}
	err := c.Query(`SELECT name, value FROM heddle_meta`, nil, func(stmt *sqlite3.Stmt) error {
		meta[stmt.ColumnText(0)] = synced.Column(stmt, 1)
		return nil
	})
	return meta, err
}

// mint gives the replica a random id.
func (s *state) mint(c *synced.Conn, random io.Reader) error {
	var id wire.ClientID
	if _, err := io.ReadFull(random, id[:]); err != nil {
		return errcode.Wrap(err, errcode.Internal, "sync: new client id")
	}
	return s.become(c, id)
}

// become gives the replica a new id. Its pending transactions keep their order
// and are numbered from 1.
func (s *state) become(c *synced.Conn, id wire.ClientID) error {
	s.client = id
	if err := setMeta(c, metaClient, s.client[:]); err != nil {
		return err
	}
	for _, sql := range []string{`DELETE FROM heddle_sent`, `DELETE FROM heddle_moved`} { // numbered under the former id
		if err := c.Exec(sql); err != nil {
			return err
		}
	}
	return s.settle(c)
}

// settle ends the search for a former client's entries: what is still pending
// was not sent, and is this client's now.
func (s *state) settle(c *synced.Conn) error {
	s.former = nil
	s.offset = s.last
	if err := setMeta(c, metaOffset, s.offset); err != nil {
		return err
	}
	return c.Exec(`DELETE FROM heddle_meta WHERE name = ?`, metaFormer)
}

// completed notes that the rows of the space are all here.
func (s *state) completed(c *synced.Conn) error {
	if s.complete {
		return nil
	}
	s.complete = true
	return setMeta(c, metaComplete, int64(1))
}

// savePosition writes the cursor.
func (s *state) savePosition(c *synced.Conn) error {
	return setMeta(c, metaEpoch, s.pos.Epoch[:], metaSeq, int64(s.pos.Seq), metaChain, s.pos.Chain[:])
}

// saveDigest writes the buckets that have changed.
func (s *state) saveDigest(c *synced.Conn) error {
	for _, id := range s.digest.Dirty() {
		b := s.digest.Get(id)
		if b == (fold.Bucket{}) {
			if err := c.Exec(`DELETE FROM heddle_digest WHERE tbl = ? AND grp = ? AND bucket = ?`, id.Table, int64(id.Group),
				int64(id.Bucket)); err != nil {
				return err
			}
			continue
		}
		err := c.Exec(`INSERT INTO heddle_digest(tbl, grp, bucket, sum) VALUES(?1, ?2, ?3, ?4)
			ON CONFLICT DO UPDATE SET sum = excluded.sum`,
			id.Table, int64(id.Group), int64(id.Bucket), b.Marshal())
		if err != nil {
			return err
		}
	}
	s.digest.Settle()
	return nil
}

// setMeta writes names in heddle_meta, each with the value that follows it.
func setMeta(c *synced.Conn, pairs ...any) error {
	for pair := range slices.Chunk(pairs, 2) {
		err := c.Exec(`INSERT INTO heddle_meta(name, value) VALUES(?1, ?2)
			ON CONFLICT DO UPDATE SET value = excluded.value`, pair...)
		if err != nil {
			return err
		}
	}
	return nil
}

// A ref names an operation of a pending transaction: heddle_row.ops is a list
// of them, so that a transaction's cells are stored once.
type ref struct {
	id int64 // of the transaction
	op int   // its index in the body
}

func appendRef(b []byte, r ref) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(b, uint64(r.id)), uint64(r.op))
}

func decodeRefs(b []byte) ([]ref, error) {
	var refs []ref
	for len(b) > 0 {
		id, n := binary.Uvarint(b)
		if n <= 0 {
			return nil, damaged("heddle_row.ops")
		}
		op, m := binary.Uvarint(b[n:])
		if m <= 0 {
			return nil, damaged("heddle_row.ops")
		}
		refs = append(refs, ref{int64(id), int(op)})
		b = b[n+m:]
	}
	return refs, nil
}

// damaged reports that Heddle's own tables do not decode.
func damaged(what string) error {
	return errcode.New(errcode.Internal, "sync: read", what+" does not decode: the database was changed from outside")
}
