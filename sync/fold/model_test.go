package fold

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"heddle.dev/heddle/sync/wire"
)

var histories = flag.Int("histories", 20_000, "random histories to try")

// This file is the definition of a replica's state, in a page of code
// (definition), and a replica as it is built (replica): a table, base images
// for the keys that pending transactions touch, and the rules of commit, pull
// and re-bootstrap. Random histories show that the two never differ. A mutant
// with an obvious shortcut shows that the histories can tell.

// ---- the definition ----

type mTx struct {
	client  int
	counter int
	ops     []wire.Op
	void    bool // its outcome, once it stands in the log
}

type mState map[string]*Row // by key; a missing row has no entry or nil

// definition is what a replica at cursor n with the pending transactions p
// shows: the fold of the log's first n entries, then p on top. (It starts from
// nothing, or from the fold of what came before log.)
func definition(log []mTx, n int, p []mTx, before ...mState) mState {
	s := mState{}
	for _, b := range before {
		maps.Copy(s, b)
	}
	for _, tx := range log[:n] {
		if !tx.void {
			s.apply(tx.ops)
		}
	}
	for _, tx := range p {
		s.apply(tx.ops)
	}
	return s
}

func (s mState) apply(ops []wire.Op) {
	for _, op := range ops {
		k := op.Key[0].(string)
		s[k] = Apply(op, s[k], mSchema)
	}
}

// ---- a replica as it is built ----

type replica struct {
	id      int
	n       int // cursor
	counter int // of the last own transaction
	table   mState
	base    mState // a key is here exactly while pending touches it
	pending []mTx
	digest  Digest // of the prefix
	mutant  bool   // a pulled change skips the columns that pending has set
}

func (r *replica) commit(ops []wire.Op) {
	r.counter++
	for _, op := range ops {
		k := op.Key[0].(string)
		if _, ok := r.base[k]; !ok {
			r.base[k] = r.table[k]
		}
	}
	r.pending = append(r.pending, mTx{client: r.id, counter: r.counter, ops: ops})
	r.table.apply(ops)
}

// pull applies one entry of the log: the rules (1) to (4).
func (r *replica) pull(e mTx) {
	r.n++
	own := e.client == r.id
	if own { // (1)
		r.pending = r.pending[1:]
	}
	if !e.void { // (2)
		for _, op := range e.ops {
			k := op.Key[0].(string)
			prefix := r.table
			if _, ok := r.base[k]; ok {
				prefix = r.base
			}
			before := prefix[k]
			prefix[k] = Apply(op, before, mSchema)
			r.digest.Remove("t", op.Key, before, mSchema)
			r.digest.Add("t", op.Key, prefix[k], mSchema)
			if _, ok := r.base[k]; ok && r.mutant && !own {
				r.table[k] = Apply(r.without(op), r.table[k], mSchema)
			}
		}
	}
	for _, op := range e.ops { // (3)
		k := op.Key[0].(string)
		base, ok := r.base[k]
		if !ok || r.mutant && !own && r.touched(k) {
			continue
		}
		row := base
		for _, tx := range r.pending {
			for _, op := range tx.ops {
				if op.Key[0] == k {
					row = Apply(op, row, mSchema)
				}
			}
		}
		r.table[k] = row
		if !r.touched(k) {
			delete(r.base, k)
		}
	}
}

func (r *replica) touched(k string) bool {
	return slices.ContainsFunc(r.pending, func(tx mTx) bool {
		return slices.ContainsFunc(tx.ops, func(op wire.Op) bool { return op.Key[0] == k })
	})
}

// without is op without the columns that pending transactions have set.
func (r *replica) without(op wire.Op) wire.Op {
	set := map[string]bool{}
	for _, tx := range r.pending {
		for _, o := range tx.ops {
			if o.Key[0] == op.Key[0] {
				for _, c := range o.Shape.Columns {
					set[c] = true
				}
			}
		}
	}
	shape := &wire.Shape{Kind: op.Shape.Kind, Table: op.Shape.Table}
	rest := wire.Op{Shape: shape, Key: op.Key}
	for i, c := range op.Shape.Columns {
		if !set[c] {
			shape.Columns = append(shape.Columns, c)
			shape.Joins = append(shape.Joins, op.Shape.Joins[i])
			rest.Cells = append(rest.Cells, op.Cells[i])
		}
	}
	return rest
}

// bootstrap starts over from a snapshot of the whole log, keeping what the
// snapshot's counters do not say is decided.
func (r *replica) bootstrap(log []mTx, decided int) {
	r.n = len(log)
	r.pending = slices.DeleteFunc(slices.Clone(r.pending), func(tx mTx) bool { return tx.counter <= decided })
	r.table, r.base, r.digest = definition(log, r.n, nil), mState{}, Digest{}
	for k, row := range r.table {
		r.digest.Add("t", []wire.Value{k}, row, mSchema)
	}
	for _, tx := range r.pending {
		for _, op := range tx.ops {
			k := op.Key[0].(string)
			if _, ok := r.base[k]; !ok {
				r.base[k] = r.table[k]
			}
		}
		r.table.apply(tx.ops)
	}
}

// ---- random histories ----

var mSchema = func() *Schema {
	s := &Schema{}
	s.Apply([]wire.TableSchema{{Table: "t", Key: []string{"k"}, Columns: []wire.ColumnSchema{
		{Name: "a", Group: 1, Default: "-"}, {Name: "n", Group: 1, Default: int64(0)},
		{Name: "m", Group: 1}, {Name: "s", Group: 2, Default: "[]"}}}})
	return s
}()

var mColumns = []struct {
	name  string
	joins []wire.Join
}{
	{"a", []wire.Join{wire.JoinLast}},
	{"n", []wire.Join{wire.JoinAdd, wire.JoinAdd, wire.JoinLast}},
	{"m", []wire.Join{wire.JoinMax, wire.JoinMin}},
	{"s", []wire.Join{wire.JoinSetAdd, wire.JoinSetRemove}},
}

var mKeys = []string{"x", "y", "z"}

func randomOps(rng *rand.Rand, view mState) []wire.Op {
	var ops []wire.Op
	for range 1 + rng.IntN(3) {
		shape := &wire.Shape{Kind: wire.Insert, Table: "t"}
		op := wire.Op{Shape: shape, Key: []wire.Value{mKeys[rng.IntN(len(mKeys))]}}
		if view[op.Key[0].(string)] != nil { // an insert may also meet a row: deleted and inserted again
			shape.Kind = []wire.Kind{wire.Update, wire.Update, wire.Delete, wire.Insert}[rng.IntN(4)]
		}
		if shape.Kind != wire.Delete {
			one := rng.IntN(len(mColumns))
			for i, c := range mColumns {
				if i != one && rng.IntN(2) == 0 {
					continue
				}
				join := c.joins[rng.IntN(len(c.joins))]
				var v wire.Value = int64(rng.IntN(9) - 4)
				switch join {
				case wire.JoinLast:
					v = fmt.Sprint(rng.IntN(100))
				case wire.JoinSetAdd, wire.JoinSetRemove:
					v = fmt.Sprintf(`["%c"]`, 'a'+rune(rng.IntN(4)))
				}
				shape.Columns, shape.Joins, op.Cells = append(shape.Columns, c.name), append(shape.Joins, join), append(op.Cells, v)
			}
		}
		ops = append(ops, op)
	}
	return ops
}

// tally counts what the histories have met, so that an idle run cannot pass.
type tally struct{ commits, pulls, voids, conflicts, bootstraps, rebased int }

// run plays one history and says how the replica as built came to differ from
// the definition, "" if it did not.
func run(seed uint64, mutant bool, met *tally) string {
	rng := rand.New(rand.NewPCG(seed, 7))
	var log []mTx
	folds := []mState{{}} // the definition at each seq, so that it is folded once for all checks
	var decided [3]int
	var replicas [3]*replica
	for i := range replicas {
		replicas[i] = &replica{id: i, table: mState{}, base: mState{}, mutant: mutant}
	}
	check := func(r *replica, what string) string {
		for n := len(folds); n <= r.n; n++ {
			folds = append(folds, definition(log[n-1:], 1, nil, folds[n-1]))
		}
		prefix := folds[r.n]
		want := definition(nil, 0, r.pending, prefix)
		var digest Digest
		digests := (r.n+len(r.pending))%8 == 0 // the dearest check, so not always
		for _, k := range mKeys {
			if !Equal("t", r.table[k], want[k], mSchema) {
				return fmt.Sprintf("seed %d: %s: replica %d shows %v for %q, the definition %v", seed, what, r.id, r.table[k], k,
					want[k])
			}
			base, ok := r.base[k]
			if ok != r.touched(k) {
				return fmt.Sprintf("seed %d: %s: replica %d has a base image of %q: %v", seed, what, r.id, k, ok)
			}
			if ok && !Equal("t", base, prefix[k], mSchema) {
				return fmt.Sprintf("seed %d: %s: replica %d has base %v for %q, the prefix %v", seed, what, r.id, base, k,
					prefix[k])
			}
			if digests {
				digest.Add("t", []wire.Value{k}, prefix[k], mSchema)
			}
		}
		if digests && digest.Sum() != r.digest.Sum() {
			return fmt.Sprintf("seed %d: %s: replica %d has another digest than its prefix", seed, what, r.id)
		}
		return ""
	}
	push := func(r *replica) { // the server decides the next undecided transaction
		for _, tx := range r.pending {
			if tx.counter == decided[r.id]+1 {
				tx.void = rng.IntN(5) == 0
				if tx.void {
					met.voids++
				}
				decided[r.id]++
				log = append(log, tx)
				return
			}
		}
	}
	pull := func(r *replica) string {
		e := log[r.n]
		if len(r.pending) > 0 && e.client != r.id {
			met.rebased++
		}
		shown := map[string]*Row{}
		for k, row := range r.table {
			shown[k] = row
		}
		r.pull(e)
		met.pulls++
		if e.client == r.id && !e.void { // (4)
			for _, k := range mKeys {
				if !Equal("t", shown[k], r.table[k], mSchema) {
					return fmt.Sprintf("seed %d: an own accepted entry changed %q for its author", seed, k)
				}
			}
			before := folds[r.n-1]
			for _, op := range e.ops {
				if op.Shape.Kind == wire.Update && before[op.Key[0].(string)] == nil {
					met.conflicts++
				}
			}
		}
		return check(r, "pull")
	}
	for range 24 {
		r := replicas[rng.IntN(3)]
		bad := ""
		switch p := rng.IntN(20); {
		case p < 7:
			r.commit(randomOps(rng, r.table))
			met.commits++
			bad = check(r, "commit")
		case p < 12:
			push(r)
		case p < 19:
			for range 1 + rng.IntN(3) { // a batch is one local transaction
				if bad == "" && r.n < len(log) {
					bad = pull(r)
				}
			}
		default:
			r.bootstrap(log, decided[r.id])
			met.bootstraps++
			bad = check(r, "bootstrap")
		}
		if bad != "" {
			return bad
		}
	}
	for _, r := range replicas {
		for decided[r.id] < r.counter {
			push(r)
		}
	}
	for _, r := range replicas {
		for r.n < len(log) {
			if bad := pull(r); bad != "" {
				return bad
			}
		}
		if len(r.pending) > 0 || len(r.base) > 0 || r.digest.Sum() != replicas[0].digest.Sum() {
			return fmt.Sprintf("seed %d: replica %d did not come to rest", seed, r.id)
		}
	}
	return ""
}

func TestModel(t *testing.T) {
	n := *histories
	if testing.Short() {
		n /= 10
	}
	var met tally
	for seed := range uint64(n) {
		if bad := run(seed, false, &met); bad != "" {
			t.Fatal(bad)
		}
	}
	t.Logf("%d histories: %+v", n, met)
	for what, count := range map[string]int{"commits": met.commits, "pulls": met.pulls, "voids": met.voids,
		"conflicts": met.conflicts, "bootstraps": met.bootstraps, "rebased": met.rebased} {
		if count < n/10 {
			t.Errorf("%d histories met %d %s: too few to mean anything", n, count, what)
		}
	}
}

// The shortcut that suggests itself is wrong, and the histories see it.
func TestModel_mutantIsCaught(t *testing.T) {
	const n = 500
	caught := 0
	for seed := range uint64(n) {
		if run(seed, true, new(tally)) != "" {
			caught++
		}
	}
	t.Logf("caught in %d of %d histories", caught, n)
	if caught < n/5 {
		t.Errorf("the mutant was caught in %d of %d histories only", caught, n)
	}
}
