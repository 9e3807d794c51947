package member

import (
	"errors"
	"slices"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/replica"
	"heddle.dev/heddle/sync/seal"
	"heddle.dev/heddle/sync/wire"
)

// schema makes the tables of the package comment. They are WITHOUT ROWID, as all of
// sync's are.
var schema = []string{
	`CREATE TABLE IF NOT EXISTS heddle_seal_chain(seq INTEGER PRIMARY KEY, chains BLOB NOT NULL) WITHOUT ROWID`,
	`CREATE TABLE IF NOT EXISTS heddle_seal_client(
		client BLOB PRIMARY KEY, device BLOB NOT NULL, counter INTEGER NOT NULL, last BLOB NOT NULL) WITHOUT ROWID`,
	`CREATE TABLE IF NOT EXISTS heddle_change(seq INTEGER PRIMARY KEY, change BLOB NOT NULL) WITHOUT ROWID`,
	`CREATE TABLE IF NOT EXISTS heddle_seal_head(device BLOB PRIMARY KEY, head BLOB NOT NULL, covered INTEGER NOT NULL)
		WITHOUT ROWID`,
	`CREATE TABLE IF NOT EXISTS heddle_seal_mark(name TEXT PRIMARY KEY, seq INTEGER NOT NULL, value BLOB NOT NULL)
		WITHOUT ROWID`,
	`DROP TABLE IF EXISTS heddle_seal_sent`, // of earlier builds
	`CREATE TABLE IF NOT EXISTS heddle_seal_run(
		n INTEGER PRIMARY KEY, client BLOB NOT NULL, first INTEGER NOT NULL, through INTEGER NOT NULL, seals BLOB NOT NULL)
		WITHOUT ROWID`,
	`CREATE TABLE IF NOT EXISTS heddle_seal_chunk(
		n INTEGER PRIMARY KEY, tbl TEXT NOT NULL, key BLOB NOT NULL, sum BLOB NOT NULL, hash BLOB NOT NULL,
		epoch INTEGER NOT NULL, size INTEGER NOT NULL, rows INTEGER NOT NULL) WITHOUT ROWID`,
}

var _ replica.Sealing = (*Member)(nil)

// Load implements replica.Sealing.
func (m *Member) Load(c replica.Conn, at wire.Position) error {
	for _, sql := range schema {
		if err := c.Exec(sql); err != nil {
			return err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	want := seal.Position{Seq: at.Seq, Chain: at.Chain}
	if m.rollback(at.Seq); m.loaded && m.log.Head() == want {
		m.keep()
		return nil
	}
	saved, err := read(c, want)
	if err != nil {
		return err
	}
	if m.sent, err = readSent(c); err != nil {
		return err
	}
	if m.restored, err = readMarks(c); err != nil {
		return err
	}
	if err := errors.Join(m.heads.load(c), m.snapshot.load(c)); err != nil {
		return err
	}
	if m.snapshot.own { // the app may have ended before a head said so
		m.confirmed = m.snapshot.id
	}
	if err := m.loadFound(c); err != nil {
		return err
	}
	m.log, m.opened, m.loaded = seal.NewLog(m.cfg.Space, m.cfg.Anchor, seal.Window), nil, false
	if err := m.log.Restore(saved); err != nil {
		return errcode.Wrap(err, errcode.Internal, "member: load")
	}
	changes := make([]*seal.Change, len(saved.Changes))
	epoch := uint64(0)
	clear(m.commits)
	for i := range saved.Changes {
		if changes[i], err = seal.UnmarshalChange(saved.Changes[i].Box); err != nil {
			return errcode.Wrap(err, errcode.Internal, "member: load")
		}
		if e := changes[i].Epoch; e != nil {
			epoch = e.Number
		}
		m.markAt(changes[i], epoch)
	}
	m.unread, m.loaded = changes, true
	return nil
}

// read reads the tables.
func read(c replica.Conn, head seal.Position) (*seal.Saved, error) {
	s := &seal.Saved{Head: head}
	last := seal.Position{}
	err := c.Query(`SELECT seq, chains FROM heddle_seal_chain ORDER BY seq`, nil, func(stmt *sqlite3.Stmt) error {
		last.Seq = uint64(stmt.ColumnInt64(0))
		for chain := range slices.Chunk(stmt.ColumnRawBlob(1), len(last.Chain)) {
			copy(last.Chain[:], chain)
			s.Chains = append(s.Chains, last.Chain)
		}
		return nil
	})
	s.Chains = s.Chains[max(0, len(s.Chains)-seal.Window):]
	if err == nil && last != head {
		err = errcode.New(errcode.Sealed, "member: load",
			"the database was synced with a space that is not sealed: open one of another name")
	}
	if err != nil {
		return nil, err
	}
	err = c.Query(`SELECT client, device, counter, last FROM heddle_seal_client`, nil, func(stmt *sqlite3.Stmt) error {
		var one seal.SavedClient
		copy(one.ID[:], stmt.ColumnRawBlob(0))
		copy(one.Device[:], stmt.ColumnRawBlob(1))
		one.Counter = uint64(stmt.ColumnInt64(2))
		copy(one.Last[:], stmt.ColumnRawBlob(3))
		s.Clients = append(s.Clients, one)
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = c.Query(`SELECT seq, change FROM heddle_change ORDER BY seq`, nil, func(stmt *sqlite3.Stmt) error {
		s.Changes = append(s.Changes, seal.SavedChange{Seq: uint64(stmt.ColumnInt64(0)), Box: stmt.ColumnBlob(1, nil)})
		return nil
	})
	return s, err
}

// Save implements replica.Sealing.
func (m *Member) Save(c replica.Conn, seq uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.rollback(seq); m.log.Head().Seq != seq {
		return replica.ErrReload
	}
	if err := errors.Join(m.heads.save(c, false), m.snapshot.save(c)); err != nil {
		return err
	}
	var chains []byte // of all in one row, under the last one's number
	for _, r := range m.opened {
		if chains = append(chains, r.Chain[:]...); r.change == nil {
			continue
		}
		if err := c.Exec(`INSERT INTO heddle_change(seq, change) VALUES(?, ?)`, int64(r.Seq), r.change); err != nil {
			return err
		}
		if r.word {
			if err := c.Exec(`DELETE FROM heddle_seal_mark WHERE name = ?`, markWord); err != nil {
				return err
			}
		}
	}
	if len(chains) > 0 {
		if err := c.Exec(`INSERT INTO heddle_seal_chain(seq, chains) VALUES(?, ?)`, int64(seq), chains); err != nil {
			return err
		}
	}
	for _, one := range m.log.Touched() {
		err := c.Exec(`INSERT OR REPLACE INTO heddle_seal_client(client, device, counter, last) VALUES(?, ?, ?, ?)`,
			one.ID[:], one.Device[:], int64(one.Counter), one.Last[:])
		if err != nil {
			return err
		}
	}
	if seq <= seal.Window {
		return nil
	}
	return c.Exec(`DELETE FROM heddle_seal_chain WHERE seq <= ?`, int64(seq-seal.Window))
}

// Keep implements replica.Sealing.
func (m *Member) Keep() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.keep()
}

func (m *Member) keep() {
	m.log.Keep()
	m.heads.saved()
	m.snapshot.changed = false
	for _, r := range m.opened {
		if r.word {
			m.restored.word = nil
		}
	}
	m.opened = nil
}

// rollback takes back what was opened behind an entry and is not kept. m.mu is held.
func (m *Member) rollback(seq uint64) {
	m.log.Rollback(seq)
	n := len(m.opened)
	for n > 0 && m.opened[n-1].Seq > seq {
		n--
	}
	m.opened = m.opened[:n]
}
