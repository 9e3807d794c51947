package server

import (
	"context"
	"errors"
	"fmt"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/sync/fold"
	"heddle.dev/heddle/sync/wire"
)

// rebuild makes a new file of what can be read of an old one.
func rebuild(from, to, space string) (_ *Repaired, err error) {
	if err := settle(from); err != nil {
		return nil, err
	}
	sp, err := openSpace(fileURI(to, ""), space)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, sp.close()) }()
	attach := `ATTACH ` + sqlite3.Quote(fileURI(from, "")) + ` AS old; PRAGMA old.checksum_verification = off`
	if err := sp.w.c.Exec(attach); err != nil {
		return nil, err
	}
	tx, err := sp.w.c.BeginImmediate()
	if err != nil {
		return nil, err
	}
	defer tx.End(&err)
	r := &repair{space: sp, done: &Repaired{}}
	return r.done, r.run()
}

// settle moves a file's write-ahead log into it, and brings an earlier format to
// this one. A copy of both has been kept.
func settle(file string) (err error) {
	c, err := openConn(fileURI(file, "") + "&_pragma=checksum_verification(off)")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	if err := c.c.CreateFunction("heddle_row_sum", 3, sqlite3.DETERMINISTIC, rowSumSQL); err != nil {
		return err
	}
	if _, err := c.upgrade(); err != nil {
		return beyondRepair("the file cannot be read", err)
	}
	return c.c.Exec(`PRAGMA wal_checkpoint(truncate)`)
}

// repair fills a new file, its space, from the old one, which is attached as old.
type repair struct {
	*space
	done   *Repaired
	before wire.Position // where the old log begins
	log    []record      // the old log from there on, without gaps
	whole  bool          // no record is lost
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
	var schema []byte
	if err := r.w.run(`SELECT epoch, horizon, horizon_chain, schema FROM old.space`, func(s *sqlite3.Stmt) error {
		copy(r.before.Epoch[:], s.ColumnRawBlob(0))
		r.before.Seq = uint64(s.ColumnInt64(1))
		copy(r.before.Chain[:], s.ColumnRawBlob(2))
		schema = blob(s, 3)
		return nil
	}); err != nil {
		return beyondRepair("the space's head cannot be read", err)
	}
	if err := r.readLog(); err != nil {
		return err
	}
	r.judgeLog()
	r.st.epoch = r.before.Epoch
	var err error
	if r.done.FromLog = r.before.Seq == 0 && r.whole; r.done.FromLog {
		err = r.foldLog()
	} else {
		err = r.takeRows(schema)
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
	const sql = `SELECT seq, client, counter, outcome, body_hash, chain, body FROM old.log ORDER BY seq`
	for _, order := range []string{"", " DESC"} {
		err := r.w.run(sql+order, func(s *sqlite3.Stmt) error {
			e := scanEntry(s)
			if e.Seq < first {
				return nil
			}
			if _, ok := found[e.Seq]; ok {
				return errFull
			}
			bad := e.Outcome == "" && wire.HashBody(s.ColumnRawBlob(6)) != e.BodyHash
			if bad {
				r.problem("the body of entry %d is not the one of its hash", e.Seq)
			}
			found[e.Seq], last = record{e, bad}, max(last, e.Seq)
			return nil
		})
		if err == nil || err == errFull {
			break
		}
		if !isDamage(err) {
			return err
		}
		r.problem("the log: %v", err)
	}
	if last-first > uint64(len(found))*2+1_000_000 {
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
	if r.whole && r.before.Seq == 0 { // the rows are folded up to there
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
		if e.Outcome != "" {
			continue
		}
		body, err := wire.UnmarshalBody(e.Body)
		if err != nil {
			return fmt.Errorf("entry %d: %w", e.Seq, err)
		}
		r.st.schema.Apply(body.Schema)
		effects, err := r.foldBody(context.Background(), body, r.st.schema, 1<<62)
		if err != nil {
			return fmt.Errorf("entry %d: %w", e.Seq, err)
		}
		for _, f := range effects.list {
			if f.after != nil {
				f.cells = wire.EncodeRow(f.after.Cells)
			}
		}
		if err := r.apply(effects); err != nil {
			return err
		}
		e.Body = nil
	}
	return nil
}

// keepEntry copies an entry with its body, which it leaves in e.
func (r *repair) keepEntry(e *record) error {
	var kept any
	if e.Outcome == "" {
		if err := r.w.run(`SELECT body FROM old.log WHERE seq = ?`, func(s *sqlite3.Stmt) error {
			e.Body = blob(s, 0)
			return nil
		}, e.Seq); err != nil {
			return err
		}
		kept = e.Body
	}
	r.st.seq, r.st.chain = e.Seq, e.Chain
	r.st.logged += int64(len(e.Body)) + entryBytes
	return r.w.run(`INSERT INTO log VALUES (?, ?, ?, ?, ?, ?, ?)`, nil,
		e.Seq, e.Client[:], e.Counter, e.Outcome, e.BodyHash[:], e.Chain[:], kept)
}

// takeRows takes the stored rows as the state at the log's end, and of the log
// what follows the last entry that is lost.
func (r *repair) takeRows(schema []byte) (err error) {
	if r.st.schema, err = fold.UnmarshalSchema(schema); err != nil {
		return beyondRepair("the descriptors of the space's tables are damaged", err)
	}
	err = r.w.run(`SELECT tbl, key, cells, sum FROM old.row`, func(s *sqlite3.Stmt) error {
		table, key, stored := s.ColumnText(0), blob(s, 1), blob(s, 2)
		if err := checkRow(table, key, stored, s.ColumnInt64(3)); err != nil {
			r.problem("%v", err)
		}
		values, err := wire.DecodeKey(key)
		cells, err2 := wire.DecodeRow(stored)
		if err := errors.Join(err, err2); err != nil {
			r.problem("the row of table %q with key %x is lost: %v", table, key, err)
			return nil
		}
		r.st.rows++
		r.st.live += int64(len(key) + len(stored))
		r.st.digest.Add(table, values, &fold.Row{Cells: cells}, r.st.schema)
		return r.w.putRow(table, key, stored)
	})
	if err != nil {
		return beyondRepair("the rows cannot be read, and the log does not reach back to its first entry", err)
	}
	cut := 0
	for i := range r.log {
		if r.log[i].lost {
			cut = i + 1
		}
	}
	r.st.horizon = r.before.Seq
	r.st.seq, r.st.chain = r.before.Seq, r.before.Chain
	for i := range r.log[:cut] {
		e := &r.log[i]
		r.st.horizon, r.st.seq, r.st.chain = e.Seq, e.Seq, e.Chain
		if !e.lost {
			if err := r.w.run(`INSERT OR IGNORE INTO outcome VALUES (?, ?, ?, ?, ?)`, nil,
				e.Client[:], e.Counter, e.Seq, e.Outcome, e.BodyHash[:]); err != nil {
				return err
			}
		}
	}
	chain := r.st.chain
	if r.st.horizon > 0 {
		if err := r.w.run(`UPDATE space SET horizon = ?, horizon_chain = ?`, nil, r.st.horizon, chain[:]); err != nil {
			return err
		}
	}
	for i := range r.log[cut:] {
		e := &r.log[cut+i]
		if err := r.keepEntry(e); err != nil {
			return err
		}
		e.Body = nil
	}
	return nil
}

// takeClients brings what is known of the clients: their last decided counters,
// as the log has them at least, and the outcomes that it no longer has. Uploads
// that have not ended are sent again.
func (r *repair) takeClients() error {
	for _, sql := range []string{
		`INSERT OR IGNORE INTO client SELECT * FROM old.client`,
		`INSERT OR IGNORE INTO outcome SELECT * FROM old.outcome`,
		`INSERT OR IGNORE INTO owner SELECT * FROM old.owner`,
	} {
		if err := r.w.run(sql, nil); isDamage(err) {
			r.problem("what is known of the clients: %v", err)
		} else if err != nil {
			return err
		}
	}
	if r.done.FromLog { // a client may have more decided than is left of the log
		if err := r.w.run(`UPDATE client SET decided = 0`, nil); err != nil {
			return err
		}
	}
	return r.w.run(`INSERT INTO client(id, decided) SELECT client, max(counter) FROM log GROUP BY client
		ON CONFLICT DO UPDATE SET decided = max(decided, excluded.decided)`, nil)
}

// finish stores the state.
func (r *repair) finish() error {
	r.done.Seq, r.done.Horizon, r.done.Rows = r.st.seq, r.st.horizon, r.st.rows
	r.done.Digest = r.st.digest.Sum()
	if err := r.w.run(`UPDATE space SET epoch = ?`, nil, r.st.epoch[:]); err != nil {
		return err
	}
	r.st.schemaChanged = true
	return r.save(&Options{Limits: Limits{Digests: 1}})
}
