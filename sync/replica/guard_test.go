package replica

import (
	"testing"

	"heddle.dev/heddle/internal/errcode"
)

// Guards bind the author: what two devices wrote, each within the rule, and what
// breaks it together, is the same everywhere and stops nobody.
func TestGuard_boundTogether(t *testing.T) {
	for name, c := range map[string]struct{ table, guard, insert, one, other, refused, want string }{
		"a counter sold twice": {`CREATE TABLE t(id TEXT PRIMARY KEY, n INTEGER NOT NULL DEFAULT 0)`,
			`CREATE TRIGGER g BEFORE UPDATE OF n ON t WHEN NOT heddle_applying() AND new.n < 0 BEGIN SELECT RAISE(ABORT,
				'out of stock'); END`,
			`INSERT INTO t VALUES('a', 1)`, `UPDATE t SET n = n - 1`, `UPDATE t SET n = n - 1`, `UPDATE t SET n = n - 1`,
			`a -1`},
		"two columns of a row": {`CREATE TABLE t(id TEXT PRIMARY KEY, n INTEGER, ends INTEGER)`,
			`CREATE TRIGGER g BEFORE UPDATE ON t WHEN NOT heddle_applying() AND new.n > new.ends BEGIN SELECT RAISE(ROLLBACK,
				'ends before it begins'); END`,
			`INSERT INTO t VALUES('a', 5, 9)`, `UPDATE t SET n = 8`, `UPDATE t SET ends = 6`, `UPDATE t SET n = 10`, `a 8 6`},
	} {
		t.Run(name, func(t *testing.T) {
			l := newMemoryLog(t)
			var devices []*replica
			for range 2 {
				r := newReplica(t, []string{c.table, c.guard}, "t")
				r.close()
				if name == "a counter sold twice" {
					r.cfg.Tables["t"] = Merge{"n": "counter"}
				}
				r.open()
				devices = append(devices, r)
			}
			a, b := devices[0], devices[1]
			a.must(c.insert)
			a.sync(l)
			b.sync(l)
			a.must(c.one)
			b.must(c.other)
			if err := b.exec(c.refused); errcode.Of(err) != "SQLITE_CONSTRAINT_TRIGGER" {
				t.Errorf("the author's own is not guarded: %v", err)
			}
			for range 2 {
				a.sync(l)
				b.sync(l)
			}
			for _, r := range devices {
				r.sound(l)
				if got := r.text(`SELECT * FROM t`); got != c.want || r.held() != nil {
					t.Errorf("got %s, want %s", got, c.want)
				}
			}
		})
	}
}
