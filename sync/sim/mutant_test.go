package sim

import (
	"context"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/internal/store"
)

// mutants break what sync promises, each in one known way, from outside: by a
// disk that does not flush, by a trigger on the tables that a client keeps its
// state in, or by a change of them when the app starts. The simulation has to
// catch every one.
var mutants = map[string]string{
	"the server acknowledges before it has flushed": "",
	"a device acknowledges before it has flushed":   "",
	"no base image is kept": `CREATE TRIGGER IF NOT EXISTS mutant AFTER INSERT ON heddle_row
		BEGIN UPDATE heddle_row SET base = NULL
		WHERE tbl = new.tbl AND key = new.key; END`,
	"a base image is lost at the second touch": `CREATE TRIGGER IF NOT EXISTS mutant AFTER UPDATE OF ops ON heddle_row
		WHEN length(new.ops) > length(old.ops)
		AND old.base IS NOT NULL
		BEGIN UPDATE heddle_row SET base = NULL
		WHERE tbl = new.tbl AND key = new.key; END`,
	"every seventh transaction is not kept": `CREATE TRIGGER IF NOT EXISTS mutant AFTER INSERT ON heddle_pending
		WHEN new.id % 7 = 0
		BEGIN DELETE FROM heddle_row WHERE 1;
		DELETE FROM heddle_pending WHERE id = new.id; END`,
	"the cursor stays behind the rows": `CREATE TRIGGER IF NOT EXISTS mutant AFTER UPDATE ON heddle_meta
		WHEN new.name = 'chain'
		BEGIN UPDATE heddle_meta SET value = old.value WHERE name = 'chain';
		UPDATE heddle_meta SET value = max(0, value - 1) WHERE name = 'seq'; END`,
	"a device forgets how far it has counted": `UPDATE heddle_meta SET value = value - 1 WHERE name = 'offset'
		AND EXISTS (SELECT 1 FROM heddle_pending)`,
	"what is sent counts as decided": `DELETE FROM heddle_pending WHERE id = (SELECT min(id) FROM heddle_pending)`,
	"a row is lost as entries are applied": `CREATE TEMP TRIGGER mutant AFTER INSERT ON main.marks
		WHEN heddle_applying() AND new.id LIKE '%4'
		BEGIN DELETE FROM marks WHERE id = new.id; END`,
	"a quarantined row is forgotten": `CREATE TRIGGER IF NOT EXISTS mutant AFTER INSERT ON heddle_overflow
		WHEN new.code IS NOT NULL
		BEGIN DELETE FROM heddle_overflow
		WHERE tbl = new.tbl AND key = new.key; END`,
	"a change of a quarantined row is lost": `CREATE TRIGGER IF NOT EXISTS mutant AFTER UPDATE ON heddle_overflow
		WHEN new.code IS NOT NULL
		BEGIN UPDATE heddle_overflow SET cells = old.cells
		WHERE tbl = new.tbl AND key = new.key; END`,
	"a refused transaction is not told": `CREATE TRIGGER IF NOT EXISTS mutant AFTER INSERT ON heddle_rejected
		BEGIN DELETE FROM heddle_rejected WHERE id = new.id; END`,
}

// mutate breaks the device on purpose, where the run is of a mutant.
func (d *device) mutate() error {
	sql := mutants[d.s.mutant]
	if sql == "" {
		return nil
	}
	err := d.db.Apply(context.Background(), func(tx *store.Tx) error {
		return tx.Inside(func(c *sqlite3.Conn) error { return c.Exec(sql) })
	})
	if err != nil && !d.disk.isDead() {
		d.s.violate("the mutant cannot be made: %v", err)
	}
	return err
}

// TestSimulation_mutants: what is broken on purpose shows, within a few seeds.
func TestSimulation_mutants(t *testing.T) {
	const most = 60
	for name := range mutants {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(most) {
				res := simulate(t, 1000+seed, manner{mutant: name})
				if len(res.violations) > 0 || res.stuck {
					how := "it got stuck"
					if len(res.violations) > 0 {
						how = res.violations[0]
					}
					t.Logf("seed %d: %.300s", 1000+seed, how)
					return
				}
			}
			t.Errorf("%d seeds have not shown it", most)
		})
	}
}
