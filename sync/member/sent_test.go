package member

import (
	"slices"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/sync/replica"
	"heddle.dev/heddle/sync/seal"
	"heddle.dev/heddle/sync/wire"
)

// memory is a database with the tables.
type memory struct{ db *sqlite3.Conn }

func newMemory(t *testing.T) *memory {
	db, err := sqlite3.Open(":memory:")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	c := &memory{db}
	for _, sql := range schema {
		if err := c.Exec(sql); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

func (c *memory) Exec(sql string, args ...any) error {
	return c.Query(sql, args, func(*sqlite3.Stmt) error { return nil })
}

func (c *memory) Query(sql string, args []any, row func(*sqlite3.Stmt) error) error {
	stmt, _, err := c.db.Prepare(sql)
	if err != nil {
		return err
	}
	defer stmt.Close()
	for i, arg := range args {
		switch arg := arg.(type) {
		case []byte:
			err = stmt.BindBlob(i+1, arg)
		case int64:
			err = stmt.BindInt64(i+1, arg)
		case int:
			err = stmt.BindInt64(i+1, int64(arg))
		}
		if err != nil {
			return err
		}
	}
	for stmt.Step() {
		if err := row(stmt); err != nil {
			return err
		}
	}
	return stmt.Err()
}

func (c *memory) rows(t *testing.T) (n int64) {
	err := c.Query(`SELECT count(*) FROM heddle_seal_run`, nil, func(s *sqlite3.Stmt) error {
		n = s.ColumnInt64(0)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// sender is a device that sends, and has a database.
type sender struct {
	*space
	c      *memory
	device *Keys
}

func newSender(t *testing.T) *sender {
	s := newSpace(t)
	return &sender{s, newMemory(t), s.founded()}
}

// send sends transactions from the first one on, and returns the digest of the last one's seal.
func (s *sender) send(all ...replica.PendingBody) seal.Hash {
	s.t.Helper()
	_, err := s.device.Sealed(s.t.Context(), writer, 1, all)
	s.must(err)
	keep := s.device.Sending(writer, 1)
	s.must(keep(s.c))
	s.must(keep(s.c)) // it is sent again as it is
	return s.device.made[uint64(len(all))].digest
}

// proves returns the transactions that a device proves where a snapshot counts some, the last one by its seal.
func (s *sender) proves(m *Member, counter int, last seal.Hash) (hashes []wire.Hash) {
	p := &plan{m: m, manifest: &seal.Manifest{}, summary: &seal.Summary{
		Clients: []seal.SavedClient{{ID: writer, Counter: uint64(counter), Last: last}}}}
	for _, o := range p.Outcomes(writer, nil) {
		hashes = append(hashes, o.BodyHash)
	}
	slices.Reverse(hashes)
	return hashes
}

// members are the device, and the same once it was closed and opened.
func (s *sender) members() map[string]*Member {
	s.t.Helper()
	sent, err := readSent(s.c)
	s.must(err)
	return map[string]*Member{"the process that has sent them": s.device.Member, "the next one": {sent: sent}}
}

// A snapshot counts a device's transactions, of which it has not seen the entries: whichever
// of their seals the log has, the device proves that they are its own, also once it was closed.
func TestMember_provesEachSeal(t *testing.T) {
	s, bodies := newSender(t), pending([]byte("one"), []byte("two"), []byte("three"))
	first := s.send(bodies[0])
	second := s.send(bodies[:2]...) // the first as it was
	s.device.Reseal()               // the server has refused what came after them
	third := s.send(bodies...)
	for name, m := range s.members() {
		for i, last := range []seal.Hash{first, second, third} {
			want := []wire.Hash{bodies[0].Hash, bodies[1].Hash, bodies[2].Hash}[:i+1]
			if got := s.proves(m, i+1, last); !slices.Equal(got, want) {
				t.Errorf("%s, of %d transactions: proves %x, want %x", name, i+1, got, want)
			}
		}
		if got := s.proves(m, 2, third); got != nil {
			t.Errorf("%s takes another's for its own: %x", name, got)
		}
	}
}

// A device that sends more and more, and sees none of it, keeps all; what the log has it need not prove.
func TestMember_provesManySeals(t *testing.T) {
	s := newSender(t)
	var all []replica.PendingBody
	var last seal.Hash
	for n := range 3 * sentTimes {
		all = append(all, pending([]byte{byte(n)})...)
		last = s.send(all...)
	}
	for name, m := range s.members() {
		if got := s.proves(m, len(all), last); len(got) != len(all) {
			t.Errorf("%s proves %d transactions of %d", name, len(got), len(all))
		}
	}
	parts, err := s.device.Sealed(t.Context(), writer, 1, all)
	s.must(err)
	for i := range parts {
		s.append(writer, uint64(i+1), parts[i][0].Bytes)
	}
	_, err = s.pull(s.device.Member)
	s.must(err)
	next := uint64(len(all) + 1)
	_, err = s.device.Sealed(t.Context(), writer, next, pending([]byte("one more")))
	s.must(err)
	s.must(s.device.Sending(writer, next)(s.c))
	if n := s.c.rows(t); n != 1 || len(s.device.sent) != 1 {
		t.Errorf("%d runs are kept of what the log has not, and %d transactions in memory", n, len(s.device.sent))
	}
}

// A server that refuses each seal does not fill the disk, and the newest are kept.
func TestMember_provesTheNewestSeals(t *testing.T) {
	s, bodies := newSender(t), pending([]byte("one"), []byte("two"))
	var seals []seal.Hash
	for range 3 * sentTimes {
		s.device.Reseal()
		seals = append(seals, s.send(bodies...))
	}
	if n := s.c.rows(t); n != sentTimes {
		t.Errorf("%d runs are kept, want %d", n, sentTimes)
	}
	for name, m := range s.members() {
		for i, last := range seals {
			want := 2
			if i < len(seals)-sentTimes {
				want = 0
			}
			if got := s.proves(m, 2, last); len(got) != want {
				t.Errorf("%s proves %d transactions by seal %d of %d, want %d", name, len(got), i, len(seals), want)
			}
		}
	}
}
