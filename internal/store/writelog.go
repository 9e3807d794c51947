package store

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/store/sqlconn"

	"github.com/ncruces/go-sqlite3"
)

// An Entry of the write log is the reply to one write of a session: of a tab. A
// write that is sent again, to this process or to the next one that opens the
// file, is answered from the log and not done again.
type Entry struct {
	Counter uint64 // of the session's writes: 1, 2, …
	Result  Result // the reply, if Reply is nil
	Reply   []byte // any other reply, encoded by the caller
}

// writeLog has the entries of one session: those that it has not acknowledged.
//
// An entry is written in the transaction of its write. A write that changed
// nothing has no such transaction, and needs none: its entry goes with that of the
// session's next write. So the database holds the entries of the session's first
// writes up to some counter, and what follows can be done, in order, as if it had
// never been tried.
type writeLog struct {
	last    uint64  // the last write with an entry
	acked   uint64  // the session has the replies up to this one
	entries []Entry // those after, in order
}

// writeLogs are the logs that were read from the database, by session.
type writeLogs struct {
	mu   sync.Mutex
	logs map[string]*writeLog
}

const (
	// The row of a session is changed in its place: one page beside those of the
	// write. The table has the name of its first version.
	writeLogTable = `CREATE TABLE IF NOT EXISTS heddle_outcome(id INTEGER PRIMARY KEY, session TEXT NOT NULL UNIQUE,
		kept BLOB NOT NULL);`

	readWriteLog = `SELECT kept FROM heddle_outcome WHERE session = ?`
	saveWriteLog = `INSERT INTO heddle_outcome(session, kept) VALUES(?, ?) ON CONFLICT(session) DO UPDATE SET kept =
		excluded.kept`

	writeLogOp = "store: write log"
)

// Replay returns the entry of a write that was done before, nil if the write is
// to be done now. ack says that the session has the replies up to that counter:
// their entries go. The error is HEDDLE_PROTOCOL if the write was done so long ago
// that its entry is gone.
func (tx *Tx) Replay(session string, counter, ack uint64) (e *Entry, err error) {
	last := uint64(0)
	err = tx.withLog(session, func(log *writeLog) {
		log.ack(ack)
		e, last = log.find(counter), log.last
	})
	if err == nil && e == nil && counter <= last {
		err = errcode.New(errcode.Protocol, writeLogOp, fmt.Sprintf("write %d comes after write %d", counter, last))
	}
	return e, err
}

// FindEntry returns the entry of a write, nil if there is none.
func (tx *Tx) FindEntry(session string, counter uint64) (e *Entry, err error) {
	err = tx.withLog(session, func(log *writeLog) { e = log.find(counter) })
	return e, err
}

// withLog runs f on a session's log.
func (tx *Tx) withLog(session string, f func(*writeLog)) error {
	all := &tx.db.writeLogs
	if all.do(session, f) {
		return nil
	}
	if err := tx.run(writeLogOp, "", func() error { return tx.c.loadLog(session) }); err != nil {
		return err
	}
	all.do(session, f)
	return nil
}

// loadLog reads a session's log, once, inside SQLite.
func (c *conn) loadLog(session string) error {
	all := &c.db.writeLogs
	if all.do(session, func(*writeLog) {}) {
		return nil
	}
	log := &writeLog{}
	kept, err := c.Scalar(readWriteLog, session)
	if b, ok := kept.([]byte); ok && err == nil {
		err = log.decode(b)
	}
	if err != nil {
		return err
	}
	all.mu.Lock()
	defer all.mu.Unlock()
	all.logs[session] = log
	return nil
}

// CommitOnce is Commit for a transaction in which the writes of entries were done:
// their replies are logged with what they wrote.
func (tx *Tx) CommitOnce(session string, entries ...Entry) error {
	return tx.commit(session, entries)
}

// LogFailure notes the replies to writes that failed, and so changed nothing.
func (db *DB) LogFailure(session string, entries ...Entry) { db.writeLogs.add(session, entries) }

// saveLog writes a session's log with entries, inside SQLite and before COMMIT, if
// the transaction changed anything.
func (tx *Tx) saveLog(session string, entries []Entry) error {
	if len(entries) == 0 || !tx.schema && !tx.notified && tx.c.TotalChanges() == tx.before {
		return nil
	}
	encoded, err := tx.c.encodeLog(session, entries)
	if err != nil {
		return err
	}
	return tx.c.bookkeeping(func() error { return tx.c.Run(saveWriteLog, session, encoded) })
}

// ForgetSessions deletes the logs of sessions that are dead.
func (db *DB) ForgetSessions(ctx context.Context, dead func(session string) bool) error {
	return db.Update(ctx, Origin{Kind: Local}, func(tx *Tx) error {
		return tx.run(writeLogOp, "", func() error {
			var gone []string
			err := tx.c.Each(`SELECT session FROM heddle_outcome`, func(s *sqlite3.Stmt) error {
				if session := s.ColumnText(0); dead(session) {
					gone = append(gone, session)
				}
				return nil
			})
			if err != nil {
				return err
			}
			return tx.c.bookkeeping(func() error {
				for _, session := range gone {
					db.writeLogs.drop(session)
					if err := tx.c.Run(`DELETE FROM heddle_outcome WHERE session = ?`, session); err != nil {
						return err
					}
				}
				return nil
			})
		})
	})
}

// carryWriteLogs copies the logs of the database into the copy that is going to
// replace it, with the entries of the import itself.
func (c *conn) carryWriteLogs(copied *sqlconn.Conn, session string, entries []Entry) error {
	if err := copied.Exec(writeLogTable + `DELETE FROM heddle_outcome;`); err != nil {
		return err
	}
	err := c.Each(`SELECT session, kept FROM heddle_outcome`, func(s *sqlite3.Stmt) error {
		return copied.Run(saveWriteLog, s.ColumnText(0), s.ColumnBlob(1, nil))
	})
	if err != nil || len(entries) == 0 {
		return err
	}
	encoded, err := c.encodeLog(session, entries)
	if err != nil {
		return err
	}
	return copied.Run(saveWriteLog, session, encoded)
}

// encodeLog is what the database keeps of a session's log with entries.
func (c *conn) encodeLog(session string, entries []Entry) (encoded []byte, err error) {
	if err := c.loadLog(session); err != nil {
		return nil, err
	}
	c.db.writeLogs.do(session, func(log *writeLog) {
		encoded = log.encode(merge(slices.Clip(log.entries), entries))
	})
	return encoded, nil
}

// do runs f on a session's log, and reports false if it was not read yet.
func (all *writeLogs) do(session string, f func(*writeLog)) bool {
	all.mu.Lock()
	defer all.mu.Unlock()
	log := all.logs[session]
	if log != nil {
		f(log)
	}
	return log != nil
}

// add adds entries to a session's log. A log that could not be read stays unread.
func (all *writeLogs) add(session string, entries []Entry) {
	if len(entries) == 0 {
		return
	}
	all.do(session, func(log *writeLog) {
		log.entries = merge(log.entries, entries)
		log.last = max(log.last, log.entries[len(log.entries)-1].Counter)
	})
}

func (all *writeLogs) drop(session string) {
	all.mu.Lock()
	defer all.mu.Unlock()
	delete(all.logs, session)
}

// merge adds entries in order: those of a transaction that was open for long may
// come before the last ones.
func merge(entries, more []Entry) []Entry {
	entries = append(entries, more...)
	slices.SortStableFunc(entries, func(a, b Entry) int { return cmp.Compare(a.Counter, b.Counter) })
	return entries
}

// find returns a copy of the entry of a write, nil if there is none.
func (l *writeLog) find(counter uint64) *Entry {
	for _, e := range l.entries {
		if e.Counter == counter {
			return &e
		}
	}
	return nil
}

func (l *writeLog) ack(counter uint64) {
	if counter <= l.acked {
		return
	}
	l.acked = counter
	l.entries = slices.DeleteFunc(l.entries, func(e Entry) bool { return e.Counter <= counter })
}

// The encoding of a log in the database: uvarint version, last, number of entries,
// then for each: uvarint counter, uvarint length, reply. A Result, the usual reply,
// has the length 0 and is two varints.
const writeLogVersion = 1

func (l *writeLog) encode(entries []Entry) []byte {
	last := l.last
	if len(entries) > 0 {
		last = max(last, entries[len(entries)-1].Counter)
	}
	b := binary.AppendUvarint(make([]byte, 0, 16+8*len(entries)), writeLogVersion)
	b = binary.AppendUvarint(b, last)
	b = binary.AppendUvarint(b, uint64(len(entries)))
	for _, e := range entries {
		b = binary.AppendUvarint(b, e.Counter)
		b = binary.AppendUvarint(b, uint64(len(e.Reply)))
		if b = append(b, e.Reply...); e.Reply == nil {
			b = binary.AppendVarint(b, e.Result.Changes)
			b = binary.AppendVarint(b, e.Result.LastInsertRowID)
		}
	}
	return b
}

func (l *writeLog) decode(b []byte) error {
	damaged := false
	cut := func(n int) {
		if n <= 0 {
			damaged, n = true, len(b)
		}
		b = b[n:]
	}
	unsigned := func() uint64 { v, n := binary.Uvarint(b); cut(n); return v }
	signed := func() int64 { v, n := binary.Varint(b); cut(n); return v }
	if v := unsigned(); v != writeLogVersion {
		return errcode.New(errcode.Protocol, writeLogOp,
			fmt.Sprintf("the write log has version %d: a newer build of the app wrote it", v))
	}
	l.last = unsigned()
	for n := unsigned(); n > 0 && !damaged; n-- {
		e := Entry{Counter: unsigned()}
		switch size := unsigned(); {
		case damaged || size > uint64(len(b)):
			damaged = true
		case size == 0:
			e.Result = Result{Changes: signed(), LastInsertRowID: signed()}
		default:
			e.Reply = slices.Clone(b[:size])
			b = b[size:]
		}
		l.entries = append(l.entries, e)
	}
	if damaged {
		return errcode.New("SQLITE_CORRUPT", writeLogOp, "the write log is damaged")
	}
	return nil
}
