package live

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"heddle.dev/heddle/internal/await"
	"heddle.dev/heddle/internal/store"
	"heddle.dev/heddle/internal/store/storetest"
)

// accounts are two tables whose amounts have the same sum after each commit.
const (
	accounts = `
	CREATE TABLE giro(id INTEGER PRIMARY KEY, amount INT);
	CREATE TABLE savings(id INTEGER PRIMARY KEY, amount INT);
	INSERT INTO giro VALUES(1, 50), (2, 50);
	INSERT INTO savings VALUES(1, 50), (2, 50);`
	allAmounts = int64(200)
)

// amounts show all accounts, each by a query of its own kind.
var amounts = []string{
	`SELECT amount FROM giro WHERE id = 1`,
	`SELECT sum(amount) FROM giro WHERE id <> 1`,
	`SELECT amount FROM savings ORDER BY id LIMIT 1`,
	`SELECT s.amount FROM savings s JOIN giro g ON g.id = s.id WHERE s.id = 2`,
}

// board is a page: it shows the amounts, and looks whether they add up.
type board struct {
	group *Group
	sinks []*sink

	mu      sync.Mutex
	commits []uint64
	broken  []string
	vain    []Statement
	moves   chan struct{}
}

func newBoard(t *testing.T, e *Engine) *board {
	b := &board{moves: make(chan struct{}, 10000)}
	b.group = e.NewGroup(func(commit uint64) { b.moved(commit) }, func(s Statement) { b.vain = append(b.vain, s) })
	for _, sql := range amounts {
		b.show(t, sql)
	}
	return b
}

func (b *board) show(t *testing.T, sql string) *sink {
	t.Helper()
	s := newSink(t)
	b.mu.Lock()
	b.sinks = append(b.sinks, s)
	b.mu.Unlock()
	if _, err := b.group.Subscribe(context.Background(), sql, store.Params{}, s); err != nil {
		t.Fatal(err)
	}
	return s
}

// moved is called by the engine, which writes the sinks between two calls.
func (b *board) moved(commit uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	sum, parts := int64(0), []any{}
	for _, s := range b.sinks[:min(len(b.sinks), len(amounts))] {
		s.mu.Lock()
		if len(s.rows) == 1 {
			n, _ := s.rows[0][0].(int64)
			sum += n
			parts = append(parts, n)
		}
		s.mu.Unlock()
	}
	if n := len(b.commits); n > 0 && commit < b.commits[n-1] {
		b.broken = append(b.broken, fmt.Sprintf("commit %d after %d", commit, b.commits[n-1]))
	}
	b.commits = append(b.commits, commit)
	if len(parts) == len(amounts) && sum != allAmounts {
		b.broken = append(b.broken, fmt.Sprintf("at commit %d: %v", commit, parts))
	}
	b.moves <- struct{}{}
}

func openAccounts(t *testing.T, single bool) (*store.DB, *Engine) {
	db, err := store.Open(context.Background(), store.Options{Filename: storetest.File(t), Migrations: []string{accounts},
		SingleConn: single, Bounds: store.Bounds{ReadAge: await.Long, Busy: await.Long}})
	if err != nil {
		t.Fatal(err)
	}
	e := New(db)
	t.Cleanup(func() { e.Close(); db.Close() })
	return db, e
}

func transfer(db *store.DB, amount, from, to int) error {
	return db.Update(context.Background(), store.Origin{Kind: store.Local}, func(tx *store.Tx) error {
		_, err := tx.Exec(fmt.Sprintf(`UPDATE giro SET amount = amount - %[1]d WHERE id = %[2]d;
			UPDATE savings SET amount = amount + %[1]d WHERE id = %[3]d`, amount, from, to), store.Params{})
		return err
	})
}

// TestRound_isOneSnapshot: what several queries show adds up after each round, while
// others write and queries come.
func TestRound_isOneSnapshot(t *testing.T) {
	for _, single := range []bool{false, true} {
		db, e := openAccounts(t, single)
		var boards []*board
		for range 3 {
			boards = append(boards, newBoard(t, e))
		}
		const writers, transfers = 3, 60
		var wg sync.WaitGroup
		for w := range writers {
			wg.Go(func() {
				for i := range transfers {
					if err := transfer(db, i%7+1, i%2+1, (i+w)%2+1); err != nil {
						t.Error(err)
					}
				}
			})
		}
		for range transfers { // a page that is hidden and shown, and begins queries meanwhile
			boards[0].group.Pause(true)
			boards[0].show(t, `SELECT count(*) FROM giro`)
			boards[0].group.Pause(false)
			boards[1].group.Pause(true)
			boards[1].group.Pause(false)
		}
		wg.Wait()
		e.settle(t)
		for _, b := range boards {
			b.mu.Lock()
			if len(b.broken) > 0 {
				t.Errorf("single %v: of %d rounds %v", single, len(b.commits), b.broken)
			}
			if n := len(b.commits); n < 2 || b.commits[n-1] != db.CommitNumber() {
				t.Errorf("single %v: %d rounds, the last of commit %d, want %d", single, n, b.commits[n-1], db.CommitNumber())
			}
			b.mu.Unlock()
		}
	}
}

// TestGroup_pauses: what nobody looks at does not run, and then comes at once.
func TestGroup_pauses(t *testing.T) {
	db, e := openAccounts(t, false)
	hidden, shown := newBoard(t, e), newBoard(t, e)
	only := hidden.show(t, `SELECT count(*), sum(amount) FROM savings`)
	e.settle(t)
	hidden.group.Pause(true)
	runs, told := e.runCount(), len(hidden.commits)
	const writes = 5
	for i := range writes {
		if err := transfer(db, i+1, 1, 2); err != nil {
			t.Fatal(err)
		}
		e.settle(t)
	}
	// The other board shows two queries that each transfer concerns, and shares them.
	if n := e.runCount() - runs; n > writes*len(amounts) || len(only.updates) != 1 {
		t.Errorf("%d runs, and %d updates of what nobody looks at", n, len(only.updates))
	}
	if len(hidden.commits) != told {
		t.Error("a group that pauses was told of a round")
	}
	hidden.group.Pause(false)
	e.settle(t)
	if len(only.updates) != 2 || only.rows[0][1] != int64(115) || len(hidden.commits) != told+1 {
		t.Errorf("after the pause: %d updates %v, %d rounds", len(only.updates), only.rows, len(hidden.commits)-told)
	}
	hidden.group.Pause(true)
	hidden.group.Pause(false) // nothing has changed
	e.settle(t)
	if len(hidden.commits) != told+2 || len(only.updates) != 2 {
		t.Errorf("after a pause without commits: %d rounds, %d updates", len(hidden.commits)-told, len(only.updates))
	}
	if len(shown.broken)+len(hidden.broken) > 0 {
		t.Error(shown.broken, hidden.broken)
	}
}

// TestGroup_beginsWhilePaused: a page that opens in the background gets its first
// results, and all others with them.
func TestGroup_beginsWhilePaused(t *testing.T) {
	db, e := openAccounts(t, false)
	b := newBoard(t, e)
	e.settle(t)
	b.group.Pause(true)
	if err := transfer(db, 10, 1, 1); err != nil {
		t.Fatal(err)
	}
	e.settle(t)
	first := b.show(t, `SELECT amount FROM savings WHERE id = 1`)
	e.settle(t)
	if len(first.updates) != 1 || first.rows[0][0] != int64(60) || b.sinks[2].rows[0][0] != int64(60) {
		t.Errorf("got %v beside %v", first.rows, b.sinks[2].rows)
	}
	// One that fails is no reason to go on.
	bad := b.show(t, `SELECT abs(-9223372036854775807 - amount / amount)`+` FROM giro WHERE id = 1`)
	e.settle(t)
	if len(bad.errs) != 1 {
		t.Fatalf("got %v %v", bad.rows, bad.errs)
	}
	runs := e.runCount()
	if err := transfer(db, 1, 1, 1); err != nil {
		t.Fatal(err)
	}
	e.settle(t)
	if e.runCount() != runs || len(b.broken) > 0 {
		t.Errorf("%d runs in a pause; %v", e.runCount()-runs, b.broken)
	}
}

// TestEngine_stopDuringCommit: queries go, and queries that share their places come,
// while the engine makes results of the commits. The race detector judges it.
func TestEngine_stopDuringCommit(t *testing.T) {
	db, e := open(t)
	ctx := context.Background()
	exec(t, db, `INSERT INTO notes(id, rank) VALUES('a', 0)`)
	exec(t, db, `INSERT INTO tags(note, tag) VALUES('a', '0'), ('a', '1')`)
	var written atomic.Bool
	var subscribers sync.WaitGroup
	for _, sql := range []string{
		`SELECT count(*) FROM notes WHERE rank > ?`,
		`SELECT n.id, n.rank, t.tag FROM tags t JOIN notes n ON n.id = t.note WHERE t.tag = ?`,
		`SELECT n.id, n.body, t.tag FROM tags t JOIN notes n ON n.id = t.note WHERE t.tag = ?`,
	} {
		subscribers.Go(func() {
			for i := 0; !written.Load(); i++ {
				s := newSink(t)
				sub, err := e.Subscribe(ctx, sql, store.Args(fmt.Sprint(i%2)), s)
				if err != nil {
					t.Error(err)
					return
				}
				s.wait(t)
				sub.Stop()
			}
		})
	}
	for i := range 300 {
		exec(t, db, `UPDATE notes SET rank = ?`, int64(i))
	}
	written.Store(true)
	subscribers.Wait()
}
