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
	err := c.Query(`SELECT count(*) FROM heddle_seal_sent`, nil, func(s *sqlite3.Stmt) error {
		n = s.ColumnInt64(0)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// A snapshot counts a device's transactions, of which it has not seen the entries: whichever
// of their seals the log has, the device proves that they are its own, also once it was closed.
func TestMember_provesEachSeal(t *testing.T) {
	s, c := newSpace(t), newMemory(t)
	ada := s.founded()
	bodies := pending([]byte("one"), []byte("two"), []byte("three"))
	send := func(all ...replica.PendingBody) (last seal.Hash) {
		t.Helper()
		_, err := ada.Sealed(t.Context(), writer, 1, all)
		s.must(err)
		keep := ada.Sending(writer, 1)
		s.must(keep(c))
		s.must(keep(c)) // it is sent again as it is
		return ada.made[uint64(len(all))].digest
	}
	first := send(bodies[0])
	second := send(bodies[:2]...) // the first as it was
	if n := c.rows(t); n != 1 {
		t.Errorf("%d runs are kept, where one has the other", n)
	}
	ada.Reseal() // the server has refused what came after them
	third := send(bodies...)
	proves := func(m *Member, counter uint64, last seal.Hash) (hashes []wire.Hash) {
		p := &plan{m: m, manifest: &seal.Manifest{}, summary: &seal.Summary{
			Clients: []seal.SavedClient{{ID: writer, Counter: counter, Last: last}}}}
		for _, o := range p.Outcomes(writer, nil) {
			hashes = append(hashes, o.BodyHash)
		}
		slices.Reverse(hashes)
		return hashes
	}
	closed := &Member{}
	var err error
	closed.sent, err = readSent(c)
	s.must(err)
	for name, m := range map[string]*Member{"the process that sent them": ada.Member, "the next one": closed} {
		for n, last := range map[uint64]seal.Hash{1: first, 2: second, 3: third} {
			want := []wire.Hash{bodies[0].Hash, bodies[1].Hash, bodies[2].Hash}[:n]
			if got := proves(m, n, last); !slices.Equal(got, want) {
				t.Errorf("%s, of %d transactions: proves %x, want %x", name, n, got, want)
			}
		}
		if got := proves(m, 2, third); got != nil {
			t.Errorf("%s takes another's for its own: %x", name, got)
		}
	}

	// A server that refuses each seal does not fill the disk, and the newest are kept.
	for range 2 * sentRuns {
		ada.Reseal()
		third = send(bodies...)
	}
	if n := c.rows(t); n != sentRuns {
		t.Errorf("%d runs are kept, want %d", n, sentRuns)
	}
	if n := len(ada.sent[ordinal{writer, 1}]); n != sentRuns {
		t.Errorf("%d seals of a transaction are kept in memory, want %d", n, sentRuns)
	}
	if got := proves(ada.Member, 3, third); len(got) != 3 {
		t.Errorf("the newest seals prove %x", got)
	}

	// What the log has need not be proved.
	parts, err := ada.Sealed(t.Context(), writer, 1, bodies)
	s.must(err)
	for i := range parts {
		s.append(writer, uint64(i+1), parts[i][0].Bytes)
	}
	_, err = s.pull(ada.Member)
	s.must(err)
	_, err = ada.Sealed(t.Context(), writer, 4, pending([]byte("four")))
	s.must(err)
	s.must(ada.Sending(writer, 4)(c))
	if n := c.rows(t); n != 1 || len(ada.sent) != 1 {
		t.Errorf("%d runs are kept of what the log has not, and %d transactions in memory", n, len(ada.sent))
	}
}
