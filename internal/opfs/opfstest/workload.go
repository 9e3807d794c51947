package opfstest

import (
	"bytes"
	"fmt"
	"math/rand/v2"

	"github.com/ncruces/go-sqlite3"
)

// Workload is a series of transactions numbered from 0. The one numbered 0
// makes the tables; each later one inserts, updates and deletes. What the
// database must hold after n of them is a function of n and Seed alone.
type Workload struct{ Seed int }

// Step runs transaction n in one explicit transaction. On an error it rolls
// back.
func (w Workload) Step(c *sqlite3.Conn, n int) (err error) {
	tx, err := c.BeginImmediate()
	if err != nil {
		return err
	}
	defer tx.End(&err)
	if n == 0 {
		return c.Exec(`CREATE TABLE state(n INTEGER NOT NULL);
			INSERT INTO state VALUES (0);
			CREATE TABLE item(txn INTEGER, k INTEGER, body BLOB, PRIMARY KEY(txn, k)) WITHOUT ROWID;
			CREATE INDEX item_length ON item(length(body), k)`)
	}
	if err := c.Exec(fmt.Sprintf("UPDATE state SET n = %d", n)); err != nil {
		return err
	}
	s, _, err := c.Prepare("INSERT INTO item VALUES (?, ?, ?)")
	if err != nil {
		return err
	}
	defer s.Close()
	for k := range w.rows(n) {
		s.BindInt(1, n)
		s.BindInt(2, k)
		s.BindBlob(3, w.body(n, k))
		if err := s.Exec(); err != nil {
			return err
		}
	}
	if gone := w.removed(n); gone > 0 {
		return c.Exec(fmt.Sprintf("DELETE FROM item WHERE txn = %d", gone))
	}
	return nil
}

// rows is how many rows transaction n inserts. Some fill the cache and more.
func (w Workload) rows(n int) int {
	if (n+w.Seed)%6 == 5 {
		return 20
	}
	return 1 + (n+w.Seed)%4
}

// removed is the transaction whose rows transaction n deletes, 0 for none.
func (w Workload) removed(n int) int {
	if n%3 == 0 {
		return n - 2
	}
	return 0
}

// body is what row k of transaction n holds: not to be changed.
func (w Workload) body(n, k int) []byte {
	size := 50 + (n*7919+k*104729+w.Seed*15485863)%3900
	from := (n*31 + k*1709 + w.Seed*7) % (len(noise) - 4000)
	return noise[from : from+size]
}

var noise = func() (p [1 << 16]byte) {
	r := rand.New(rand.NewPCG(1, 2))
	for i := range p {
		p[i] = byte(r.Uint32())
	}
	return p
}()

// Check returns the last transaction that the database holds, -1 for none, and
// an error unless it holds that one and all before it, whole, and is sound.
func (w Workload) Check(c *sqlite3.Conn) (int, error) {
	switch ok, err := Text(c, "PRAGMA integrity_check"); {
	case err != nil:
		return 0, fmt.Errorf("integrity check: %w", err)
	case ok != "ok":
		return 0, fmt.Errorf("integrity check: %s", ok)
	}
	if n, err := Text(c, "SELECT count(*) FROM sqlite_schema"); err != nil {
		return 0, err
	} else if n == "0" {
		return -1, nil
	}
	var n int
	if text, err := Text(c, "SELECT n FROM state"); err != nil {
		return 0, err
	} else if _, err := fmt.Sscan(text, &n); err != nil {
		return 0, fmt.Errorf("state %q: %w", text, err)
	}
	type key struct{ n, k int }
	want := map[key]bool{}
	for i := 1; i <= n; i++ {
		for k := range w.rows(i) {
			want[key{i, k}] = true
		}
		for k := range w.rows(w.removed(i)) {
			delete(want, key{w.removed(i), k})
		}
	}
	s, _, err := c.Prepare("SELECT txn, k, body FROM item")
	if err != nil {
		return 0, err
	}
	defer s.Close()
	for s.Step() {
		at := key{s.ColumnInt(0), s.ColumnInt(1)}
		if !want[at] {
			return 0, fmt.Errorf("at %d: row %v should not be there", n, at)
		}
		if !bytes.Equal(s.ColumnRawBlob(2), w.body(at.n, at.k)) {
			return 0, fmt.Errorf("at %d: row %v has another body", n, at)
		}
		delete(want, at)
	}
	if err := s.Err(); err != nil {
		return 0, err
	}
	for at := range want {
		return 0, fmt.Errorf("at %d: row %v is missing, with %d others", n, at, len(want)-1)
	}
	return n, nil
}
