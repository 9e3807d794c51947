package sqlitestore

import (
	"errors"
	"fmt"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/sync/fold"
	"heddle.dev/heddle/sync/logstore"
	"heddle.dev/heddle/sync/wire"
)

// rebuild makes a new file of what can be read of an old one.
func rebuild(from, to, first string) (_ []*Repaired, err error) {
	if err := settle(from, false); err != nil {
		return nil, err
	}
	f := newFile(to, "")
	if err := f.open(); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.close()) }()
	return f.w.rebuildFrom(from, sameViews(), first)
}

// settle moves a file's write-ahead log into it, and brings an earlier format to
// the last one. A copy of both has been kept.
func settle(file string, old bool) (err error) {
	c, err := openConn(fileURI(file, "") + "&_pragma=checksum_verification(off)")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	if old {
		if err := c.upgrade(); err != nil {
			return beyondRepair("the file cannot be read", err)
		}
	}
	if err := c.c.Exec(`PRAGMA wal_checkpoint(truncate)`); err != nil {
		return beyondRepair("the file cannot be read", err)
	}
	return nil
}

// rebuildFrom fills the file from an attached one.
func (c *conn) rebuildFrom(path, views, first string) (all []*Repaired, err error) {
	if err := c.attach(path, views, false); err != nil {
		return nil, beyondRepair("the file cannot be read", errors.Join(err, c.detach()))
	}
	defer func() { err = errors.Join(err, c.detach()) }()
	tx, err := c.c.BeginImmediate()
	if err != nil {
		return nil, err
	}
	defer tx.End(&err)
	type space struct {
		old  int64
		name string
		gone bool
	}
	var found []space
	if err := c.run(`SELECT id, name, gone FROM kept_space ORDER BY name <> ?, name`, func(s *sqlite3.Stmt) error {
		found = append(found, space{s.ColumnInt64(0), s.ColumnText(1), s.ColumnBool(2)})
		return nil
	}, first); err != nil {
		return nil, beyondRepair("the list of spaces cannot be read", err)
	}
	if len(found) == 0 || found[0].name != first {
		return nil, logstore.ErrNotFound
	}
	for _, sp := range found {
		if err := c.run(`INSERT INTO space(name, epoch, kicks, gone) SELECT name, epoch, kicks, gone FROM kept_space
			WHERE id = ?`, nil, sp.old); err != nil {
			return nil, err
		}
		if sp.gone {
			continue
		}
		r := &repair{view: &view{c: c, id: c.c.LastInsertRowID()}, old: sp.old, done: &Repaired{Space: sp.name},
			schema: &fold.Schema{}, digest: &fold.Digest{}}
		if err := r.run(); err != nil {
			return nil, fmt.Errorf("space %q: %w", sp.name, err)
		}
		all = append(all, r.done)
	}
	return all, nil
}

// repair fills a space, its view, from one of the attached file.
type repair struct {
	*view
	old    int64
	done   *Repaired
	before wire.Position // where the old log begins
	log    []record      // the old log from there on, without gaps
	whole  bool          // no record is lost
	sealed bool          // the server folds no rows of it
	schema *fold.Schema
	digest *fold.Digest
}

// record is an entry of the old log without its body.
type record struct {
	wire.Entry
	lost bool // it is not what was written, or cannot be read
}

func (r *repair) problem(format string, args ...any) {
	if len(r.done.Problems) < 100 {
		r.done.Problems = append(r.done.Problems, fmt.Sprintf(format, args...))
	}
}

func (r *repair) run() error {
	if err := r.c.run(`SELECT epoch, horizon, horizon_chain FROM kept_space WHERE id = ?`, func(s *sqlite3.Stmt) error {
		copy(r.before.Epoch[:], s.ColumnRawBlob(0))
		r.before.Seq = uint64(s.ColumnInt64(1))
		copy(r.before.Chain[:], s.ColumnRawBlob(2))
		return nil
	}, r.old); err != nil {
		return beyondRepair("the space's head cannot be read", err)
	}
	r.meta.Head = r.before
	if err := r.readLog(); err != nil {
		return err
	}
	r.judgeLog()
	if r.sealed && !r.whole {
		return beyondRepair("the space is sealed, and its log is not whole", nil)
	}
	var err error
	switch r.done.FromLog = r.before.Seq == 0 && r.whole; {
	case r.done.FromLog:
		err = r.foldLog()
	case r.sealed:
		err = r.keepSealed()
	default:
		err = r.takeRows()
	}
	if err == nil {
		err = r.takeBlobs()
	}
	if err == nil {
		err = r.takeClients()
	}
	if err != nil {
		return err
	}
	return r.finish()
}

// readLog reads all entries of the old log that can be read: from its beginning,
// and, where that meets damage, from its end.
func (r *repair) readLog() error {
	found := map[uint64]record{}
	first, last := r.before.Seq+1, r.before.Seq
	const sql = `SELECT seq, client, counter, outcome, body_hash, chain, body FROM kept_log WHERE space = ? ORDER BY seq`
	for _, order := range []string{"", " DESC"} {
		err := r.c.run(sql+order, func(s *sqlite3.Stmt) error {
			e := scanEntry(s)
			if e.Seq < first {
				return nil
			}
			if _, ok := found[e.Seq]; ok {
				return errStop
			}
			body := s.ColumnRawBlob(6)
			bad := (e.Outcome == "" || len(body) > 0) && wire.HashBody(body) != e.BodyHash
			r.sealed = r.sealed || wire.Sealed(body)
			if bad {
				r.problem("the body of entry %d is not the one of its hash", e.Seq)
			}
			found[e.Seq], last = record{e, bad}, max(last, e.Seq)
			return nil
		}, r.old)
		if err == nil || err == errStop {
			break
		}
		if !isDamage(err) {
			return err
		}
		r.problem("the log: %v", err)
	}
	if last-first > uint64(len(found))*2+1_000_000 && last >= first {
		return beyondRepair("the numbers of the log's entries make no sense", nil)
	}
	for seq := first; seq <= last; seq++ {
		e, ok := found[seq]
		if !ok {
			e = record{wire.Entry{Seq: seq}, true}
			r.problem("entry %d is missing", seq)
		}
		r.log = append(r.log, e)
	}
	return nil
}

// judgeLog follows the chain, and marks as lost what does not fit it. A
// chain hash that is damaged alone is computed again: the entry after it proves it.
func (r *repair) judgeLog() {
	prev := r.before.Chain
	for i := range r.log {
		e := &r.log[i]
		if chain := e.ChainAfter(prev); !e.lost && chain != e.Chain {
			if i > 0 && r.log[i-1].Chain == (wire.Hash{}) {
				e.lost = true // the entry before is missing, and its chain hash with it
			} else if i+1 < len(r.log) && r.log[i+1].ChainAfter(chain) == r.log[i+1].Chain {
				r.problem("the chain hash of entry %d was computed again", e.Seq)
				e.Chain = chain
			} else {
				r.problem("the log's chain is broken at entry %d", e.Seq)
				e.lost = true
			}
		}
		prev = e.Chain
	}
	n := len(r.log)
	for n > 0 && r.log[n-1].lost {
		n--
	}
	r.whole = true
	for i := range r.log[:n] {
		r.whole = r.whole && !r.log[i].lost
	}
	if r.whole && (r.before.Seq == 0 || r.sealed) { // the rows are folded up to there
		r.log = r.log[:n]
	}
}

// foldLog folds the state from the log, which is whole from its first entry on.
func (r *repair) foldLog() error {
	for i := range r.log {
		e := &r.log[i]
		if err := r.keepEntry(e); err != nil {
			return err
		}
		if e.Outcome != "" || wire.Sealed(e.Body) {
			e.Body = nil
			continue
		}
		body, err := wire.UnmarshalBody(e.Body)
		if err != nil {
			return fmt.Errorf("entry %d: %w", e.Seq, err)
		}
		r.schema.Apply(body.Schema)
		for i := range body.Ops {
			if err := r.apply(body.Ops[i]); err != nil {
				return fmt.Errorf("entry %d: %w", e.Seq, err)
			}
		}
		e.Body = nil
	}
	return nil
}

// apply folds an operation onto its row.
func (r *repair) apply(op wire.Op) error {
	row := logstore.Row{RowID: logstore.RowID{Table: op.Shape.Table, Key: string(wire.EncodeKey(op.Key))}}
	stored, err := r.Rows([]logstore.RowID{row.RowID})
	if err != nil {
		return err
	}
	var before *fold.Row
	if stored[0] != nil {
		cells, err := wire.DecodeRow(stored[0])
		if err != nil {
			return err
		}
		before = &fold.Row{Cells: cells}
		r.meta.RowCount--
		r.meta.Live -= int64(len(row.Key) + len(stored[0]))
	}
	after := fold.Apply(op, before, r.schema)
	if after != nil {
		row.Cells = wire.EncodeRow(after.Cells)
		r.meta.RowCount++
		r.meta.Live += int64(len(row.Key) + len(row.Cells))
	}
	r.digest.Remove(row.Table, op.Key, before, r.schema)
	r.digest.Add(row.Table, op.Key, after, r.schema)
	return r.putRow(&row)
}

// keepEntry copies an entry with its body, which it leaves in e.
func (r *repair) keepEntry(e *record) error {
	if err := r.c.run(`SELECT body FROM kept_log WHERE space = ? AND seq = ?`, func(s *sqlite3.Stmt) error {
		e.Body = blob(s, 0)
		return nil
	}, r.old, e.Seq); err != nil {
		return err
	}
	r.meta.Head.Seq, r.meta.Head.Chain = e.Seq, e.Chain
	r.meta.Logged += int64(len(e.Body)) + logstore.EntryBytes
	var body any
	if e.Outcome == "" || len(e.Body) > 0 {
		body = e.Body
	}
	return r.c.run(`INSERT INTO log(space, seq, client, counter, outcome, body_hash, chain, body)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?)`, nil,
		r.id, e.Seq, e.Client[:], e.Counter, e.Outcome, e.BodyHash[:], e.Chain[:], body)
}

// keepSealed keeps the log of a sealed space whose beginning was cut: whole from there on,
// with the entries before that the cut has kept.
func (r *repair) keepSealed() error {
	r.meta.Horizon, r.meta.HorizonChain = r.before.Seq, r.before.Chain
	if err := r.c.run(`INSERT INTO log SELECT ?, seq, client, counter, outcome, body_hash, chain, digest, rows, body
		FROM kept_log WHERE space = ? AND seq <= ?`, nil, r.id, r.old, r.before.Seq); err != nil {
		return beyondRepair("what the log has kept of its beginning cannot be read", err)
	}
	if err := r.c.run(`SELECT coalesce(sum(coalesce(length(body), 0) + 160), 0) FROM log WHERE space = ?`,
		func(s *sqlite3.Stmt) error {
			r.meta.Logged = s.ColumnInt64(0)
			return nil
		}, r.id); err != nil {
		return err
	}
	return r.foldLog() // of which there is nothing to fold
}

// takeBlobs brings what the space keeps beside its log. A log that was cut needs it.
func (r *repair) takeBlobs() error {
	there := false
	err := r.c.run(`SELECT 1 FROM old.sqlite_schema WHERE name = 'blob'`, func(*sqlite3.Stmt) error {
		there = true
		return nil
	})
	if err != nil || !there {
		return err
	}
	err = r.c.run(`INSERT INTO blob(space, name, at, bytes) SELECT ?, name, at, bytes FROM kept_blob WHERE space = ?`, nil,
		r.id, r.old)
	switch {
	case err != nil && isDamage(err) && r.before.Seq == 0:
		r.problem("the snapshots: %v", err)
		return r.c.run(`DELETE FROM blob WHERE space = ?`, nil, r.id)
	case err != nil && isDamage(err):
		return beyondRepair("the snapshots that the log was cut behind cannot be read", err)
	}
	return err
}

// takeRows takes the stored rows as the state at the log's end, and of the log
// what follows the last entry that is lost.
func (r *repair) takeRows() (err error) {
	var schema []byte
	err = r.c.run(`SELECT schema FROM kept_descriptors WHERE space = ?`, func(s *sqlite3.Stmt) error {
		schema = blob(s, 0)
		return nil
	}, r.old)
	if err == nil {
		r.schema, err = fold.UnmarshalSchema(schema)
	}
	if err != nil {
		return beyondRepair("the descriptors of the space's tables are damaged", err)
	}
	err = r.c.run(`SELECT tbl, key, cells, sum FROM kept_row WHERE space = ?`, func(s *sqlite3.Stmt) error {
		return r.takeRow(s.ColumnText(0), blob(s, 1), blob(s, 2), s.ColumnInt64(3))
	}, r.old)
	if err != nil {
		return beyondRepair("the rows cannot be read, and the log does not reach back to its first entry", err)
	}
	cut := 0
	for i := range r.log {
		if r.log[i].lost {
			cut = i + 1
		}
	}
	for i := range r.log[:cut] {
		e := &r.log[i]
		r.meta.Head.Seq, r.meta.Head.Chain = e.Seq, e.Chain
		if !e.lost {
			if err := r.c.run(`INSERT OR IGNORE INTO outcome VALUES (?, ?, ?, ?, ?, ?)`, nil,
				r.id, e.Client[:], e.Counter, e.Seq, e.Outcome, e.BodyHash[:]); err != nil {
				return err
			}
		}
	}
	r.meta.Horizon, r.meta.HorizonChain = r.meta.Head.Seq, r.meta.Head.Chain
	for i := range r.log[cut:] {
		e := &r.log[cut+i]
		if err := r.keepEntry(e); err != nil {
			return err
		}
		e.Body = nil
	}
	return nil
}

func (r *repair) takeRow(table string, key, stored []byte, sum int64) error {
	if err := logstore.CheckRow(table, key, stored, sum); err != nil {
		r.problem("%v", err)
	}
	values, err := wire.DecodeKey(key)
	cells, err2 := wire.DecodeRow(stored)
	if err := errors.Join(err, err2); err != nil {
		r.problem("the row of table %q with key %x is lost: %v", table, key, err)
		return nil
	}
	r.meta.RowCount++
	r.meta.Live += int64(len(key) + len(stored))
	r.digest.Add(table, values, &fold.Row{Cells: cells}, r.schema)
	return r.putRow(&logstore.Row{RowID: logstore.RowID{Table: table, Key: string(key)}, Cells: stored})
}

// takeClients brings what is known of the clients: their last decided counters,
// as the log has them at least, and the outcomes that it no longer has. Uploads
// that have not ended are sent again.
func (r *repair) takeClients() error {
	for _, sql := range []string{
		`INSERT OR IGNORE INTO client SELECT ?, id, decided, owner FROM kept_client WHERE space = ?`,
		`INSERT OR IGNORE INTO outcome SELECT ?, client, counter, seq, code, body_hash FROM kept_outcome WHERE space = ?`,
	} {
		if err := r.c.run(sql, nil, r.id, r.old); isDamage(err) {
			r.problem("what is known of the clients: %v", err)
		} else if err != nil {
			return err
		}
	}
	if r.done.FromLog { // a client may have more decided than is left of the log
		if err := r.c.run(`UPDATE client SET decided = 0 WHERE space = ?`, nil, r.id); err != nil {
			return err
		}
	}
	return r.c.run(`INSERT INTO client(space, id, decided) SELECT space, client, max(counter) FROM log WHERE space = ?
		GROUP BY client ON CONFLICT DO UPDATE SET decided = max(decided, excluded.decided)`, nil, r.id)
}

// finish stores the state.
func (r *repair) finish() error {
	for _, id := range r.digest.Dirty() {
		if b := r.digest.Get(id); b != (fold.Bucket{}) {
			if err := r.putBucket(&wire.Bucket{Table: id.Table, Group: id.Group, Number: uint32(id.Bucket),
				Sum: b.Marshal()}); err != nil {
				return err
			}
		}
	}
	m := &r.meta
	m.Digest = r.digest.Sum()
	r.done.Seq, r.done.Horizon, r.done.Rows, r.done.Digest = m.Head.Seq, m.Horizon, m.RowCount, m.Digest
	if err := r.c.run(`INSERT INTO descriptors VALUES (?, ?)`, nil, r.id, r.schema.Marshal()); err != nil {
		return err
	}
	if err := r.c.run(`UPDATE space SET seq = ?, chain = ?, digest = ?, rows = ?, live = ?, logged = ?, horizon = ?,
		horizon_chain = ? WHERE id = ?`, nil, m.Head.Seq, m.Head.Chain[:], m.Digest[:], m.RowCount, m.Live, m.Logged,
		m.Horizon, m.HorizonChain[:], r.id); err != nil {
		return err
	}
	return r.c.run(`UPDATE log SET digest = ?, rows = ? WHERE space = ? AND seq = ?`, nil,
		m.Digest[:], m.RowCount, r.id, m.Head.Seq)
}
