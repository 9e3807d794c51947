package sim

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/store"
)

// write runs a transaction of the app. A long one holds the writer while time
// goes by, as an interactive one does.
func (d *device) write(long bool) {
	d.next++
	n := d.next
	err := d.transaction(n, long)
	code := errcode.Of(err)
	d.s.event("device %d: transaction %d: %s", d.id, n, code)
	defer time.Sleep(time.Microsecond) // goroutines that it woke go first, so that a seed has one course
	switch {
	case err == nil:
		d.acked = append(d.acked, n)
		d.s.tally("transactions", 1)
	case d.disk.isDead():
		d.s.tally("transactions that nobody heard of", 1)
	default:
		d.failed[n] = true
		d.s.tally("transactions failed", 1)
		switch {
		case errors.Is(err, errRollback), code == errcode.NullKey, code == errcode.TxClosed, strings.HasPrefix(code,
			"SQLITE_CONSTRAINT"), strings.HasPrefix(code, "SQLITE_MISMATCH"), ofFunction(err):
		default:
			d.s.violate("device %d: transaction %d failed: %v", d.id, n, err)
		}
	}
}

// ofFunction reports whether a function has failed in an index or a trigger.
func ofFunction(err error) bool { return err != nil && strings.Contains(err.Error(), "malformed JSON") }

var errRollback = errors.New("the app rolls back")

func (d *device) transaction(n int, long bool) error {
	tx, err := d.db.Begin(context.Background(), store.Origin{Kind: store.Local})
	if err != nil {
		return err
	}
	defer tx.Rollback()
	saw, err := visibleMarks(tx)
	if err != nil {
		return err
	}
	depth := 0
	for range 1 + d.rng.IntN(5) {
		if long {
			if sleep(context.Background(), time.Duration(d.rng.IntN(int(4*time.Second)))); d.disk.isDead() {
				return errPower
			}
		}
		if d.s.p.big && d.rng.IntN(30) == 0 { // sent in parts
			_, err = tx.Exec("UPDATE marks SET saw = saw || ? WHERE id = ?",
				store.Args(strings.Repeat(" ", 1<<20+d.rng.IntN(1<<20)), mark{d.id, n - 1}.String()))
			d.s.tally("large transactions", 1)
			if err != nil {
				return err
			}
		}
		switch d.rng.IntN(10) {
		case 0:
			depth++
			_, err = tx.Exec(fmt.Sprintf("SAVEPOINT s%d", depth), store.Params{})
		case 1:
			if depth > 0 {
				_, err = tx.Exec(fmt.Sprintf("RELEASE s%d", depth), store.Params{})
				depth--
			}
		case 2:
			if depth > 0 {
				_, err = tx.Exec(fmt.Sprintf("ROLLBACK TO s%d", depth), store.Params{})
			}
		default:
			err = d.statement(tx)
		}
		d.s.tally("statements", 1)
		if err != nil {
			return err
		}
	}
	if d.rng.IntN(12) == 0 {
		return errRollback
	}
	if _, err := tx.Exec(`INSERT INTO marks VALUES(?, ?)`, store.Args(mark{d.id, n}.String(), saw.highest())); err != nil {
		return err
	}
	return tx.Commit()
}

// statement runs one of the app's, which goes on after most failures. A guard may be one that
// fails in the middle: RAISE(FAIL) keeps what was done until then, so that a row can be gone
// while the triggers behind the guard have not heard of it. Then the app rolls back.
func (d *device) statement(tx *store.Tx) error {
	sql, args := d.s.app.statement(d.rng, d.version)
	for _, one := range strings.Split(sql, "\x00") {
		n := strings.Count(one, "?")
		_, err := tx.Exec(one, store.Args(args[:n]...))
		args = args[n:]
		if err == nil {
			continue
		}
		if code := errcode.Of(err); strings.HasPrefix(code, "SQLITE_CONSTRAINT") || code == "SQLITE_MISMATCH" ||
			ofFunction(err) {
			if d.rng.IntN(3) > 0 && code != "SQLITE_CONSTRAINT_TRIGGER" {
				return nil
			}
		}
		return err
	}
	return nil
}
