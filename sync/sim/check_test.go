package sim

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/store"
	"heddle.dev/heddle/sync/fold"
	"heddle.dev/heddle/sync/wire"
)

// markSet is what a device sees of the transactions of all: marks, and what
// each had seen.
type markSet map[mark]string

// highest writes the last number of each device down.
func (m markSet) highest() string {
	last := map[int]int{}
	for k := range m {
		last[k.device] = max(last[k.device], k.n)
	}
	var all []string
	for device, n := range last {
		all = append(all, mark{device, n}.String())
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

func visibleMarks(tx *store.Tx) (markSet, error) {
	marks := markSet{}
	err := tx.Query(`SELECT id, saw FROM marks`, store.Params{}, nil, func(s *sqlite3.Stmt) error {
		marks[readMark(s.ColumnText(0))] = s.ColumnText(1)
		return nil
	})
	return marks, err
}

// snapshot is what a device holds at one moment.
type snapshot struct {
	seq      uint64
	chain    wire.Hash
	booting  bool // a snapshot is being applied: the rows are those of no prefix
	over     bool // it follows the log again from its first entry
	bases    state
	told     *fold.Schema
	pending  []*wire.Body
	rows     map[string][]string // by table
	index    map[string][]string // what the triggers' tables should hold, and do
	marks    markSet
	left     []string // tables of Heddle's that are not empty
	unproved []mark   // given back to the app, since it is not known what became of them
	held     []string // rows that are quarantined: table, a zero byte, and the encoded key
}

func (d *device) snapshot() (*snapshot, error) {
	tx, err := d.db.Begin(context.Background(), store.Origin{Kind: store.Sync})
	if err != nil {
		return nil, err
	}
	defer tx.Rollback()
	snap := &snapshot{bases: state{}, told: &fold.Schema{}, rows: map[string][]string{}, index: map[string][]string{}}
	var queryErr error
	query := func(sql string, row func(s *sqlite3.Stmt)) {
		err := tx.Query(sql, store.Params{}, nil, func(s *sqlite3.Stmt) error {
			row(s)
			return nil
		})
		if err != nil && queryErr == nil {
			queryErr = fmt.Errorf("%s: %w", sql, err)
		}
	}
	query(`SELECT value FROM heddle_meta WHERE name = 'seq'`,
		func(s *sqlite3.Stmt) { snap.seq = uint64(s.ColumnInt64(0)) })
	query(`SELECT value FROM heddle_meta WHERE name = 'chain'`,
		func(s *sqlite3.Stmt) { copy(snap.chain[:], s.ColumnRawBlob(0)) })
	query(`SELECT 1 FROM heddle_meta WHERE name = 'boot'`, func(s *sqlite3.Stmt) { snap.booting = true })
	query(`SELECT 1 FROM heddle_meta WHERE name = 'over'`, func(s *sqlite3.Stmt) { snap.over = true })
	query(`SELECT value FROM heddle_meta WHERE name = 'schema'`, func(s *sqlite3.Stmt) {
		if snap.told, err = fold.UnmarshalSchema(s.ColumnBlob(0, nil)); err != nil {
			queryErr = err
		}
	})
	query(`SELECT tbl, key, base FROM heddle_row WHERE base IS NOT NULL`, func(s *sqlite3.Stmt) {
		cells, err := wire.DecodeRow(s.ColumnBlob(2, nil))
		if err != nil {
			queryErr = err
		}
		snap.bases[s.ColumnText(0)+"\x00"+string(s.ColumnBlob(1, nil))] = cells
	})
	bodies, last := [][]byte{}, int64(-1)
	query(`SELECT id, bytes FROM heddle_pending ORDER BY id, part`, func(s *sqlite3.Stmt) {
		if id := s.ColumnInt64(0); id != last {
			bodies, last = append(bodies, nil), id
		}
		bodies[len(bodies)-1] = append(bodies[len(bodies)-1], s.ColumnRawBlob(1)...)
	})
	for _, data := range bodies {
		body, err := wire.UnmarshalBody(data)
		if err != nil {
			return nil, err
		}
		snap.pending = append(snap.pending, body)
	}
	query(`SELECT body FROM heddle_rejected WHERE code = '`+errcode.Behind+`'`, func(s *sqlite3.Stmt) {
		body, err := wire.UnmarshalBody(s.ColumnRawBlob(0))
		if err != nil {
			queryErr = err
			return
		}
		snap.unproved = append(snap.unproved, marksOf(body)...)
	})
	dump := func(sql string, columns []column) (lines []string) {
		query(sql, func(s *sqlite3.Stmt) {
			values := make([]any, s.ColumnCount())
			if err := store.Scan(s, values); err != nil {
				queryErr = err
			}
			for i, c := range columns {
				if d.roughly(c) {
					values[i] = whole(values[i])
				}
			}
			lines = append(lines, line1(values))
		})
		slices.Sort(lines)
		return lines
	}
	for _, t := range d.s.app.syncedAt(d.version) {
		columns := append(slices.Clone(t.key), t.columnsAt(d.version)...)
		snap.rows[t.name] = dump("SELECT "+names(columns, "")+" FROM "+t.name, columns)
		if t.index != "" {
			from, in := names(t.key, ""), names(t.key, "")
			if t.indexed != "" {
				from, in = from+", "+t.indexed, in+", v"
			}
			snap.index["want "+t.name] = dump("SELECT "+from+" FROM "+t.name, nil)
			snap.index["got "+t.name] = dump("SELECT "+in+" FROM "+t.index, nil)
		}
	}
	for _, name := range []string{"heddle_pending", "heddle_row", "heddle_overflow"} {
		query("SELECT 1 FROM "+name+" LIMIT 1", func(*sqlite3.Stmt) { snap.left = append(snap.left, name) })
	}
	query("SELECT tbl, key FROM heddle_overflow WHERE code IS NOT NULL ORDER BY tbl, key", func(s *sqlite3.Stmt) {
		if name := s.ColumnText(0); d.s.app.table(name).since <= d.version {
			snap.held = append(snap.held, name+"\x00"+string(s.ColumnBlob(1, nil)))
		}
	})
	if snap.marks, err = visibleMarks(tx); err != nil {
		return nil, err
	}
	return snap, queryErr
}

func line1(values []any) string {
	var all []string
	for _, v := range values {
		all = append(all, show(v))
	}
	return strings.Join(all, " ")
}

// check holds what the device shows against the model.
func (d *device) check(final bool) {
	snap, err := d.snapshot()
	if err != nil {
		if !d.disk.isDead() {
			d.s.violate("device %d cannot be read: %v", d.id, err)
		}
		return
	}
	s, m := d.s, d.s.model
	s.modelMu.Lock()
	defer s.modelMu.Unlock()
	s.srv.read()
	s.event("device %d checked at %d with %d pending, a snapshot coming: %v", d.id, snap.seq, len(snap.pending),
		snap.booting)
	if n := d.c.Status().Repairs; n > 0 { // it would cover up what went wrong
		s.violate("device %d: the digest was not the server's, %d times", d.id, n)
		return
	}
	if snap.booting {
		s.tally("reads while a snapshot comes", 1)
		s.tally("transactions pending while a snapshot comes", len(snap.pending))
		d.checkBases(snap)
		if !m.restored || m.has(snap.seq, snap.chain) { // else what it has seen may be lost
			d.checkMarks(snap)
		}
		return
	}
	if m.restored && !m.has(snap.seq, snap.chain) {
		s.tally("checks of devices that the restored server does not know", 1)
		d.seq = 0
		return
	}
	if snap.seq < d.seq {
		s.violate("device %d went back from %d to %d", d.id, d.seq, snap.seq)
		return
	}
	d.seq = snap.seq
	if snap.seq > m.at.Seq {
		if s.srv.isUp() {
			s.violate("device %d has entry %d, and the log ends at %d", d.id, snap.seq, m.at.Seq)
		}
		return // the model sees it when the server is back
	}
	if !m.has(snap.seq, snap.chain) {
		s.violate("device %d has another past at %d", d.id, snap.seq)
		return
	}
	s.tally("checks", 1)
	d.checkRows(snap)
	if snap.over { // what it has seen comes again
		s.tally("checks of devices that start over", 1)
		return
	}
	d.checkMarks(snap)
	if final && len(snap.left) > 0 &&
		!((d.version < len(s.app.versions) || len(snap.held) > 0) && slices.Equal(snap.left, []string{"heddle_overflow"})) {
		s.violate("device %d is at rest, and not empty: %v", d.id, snap.left)
	}
}

// has reports whether a position is one of this log.
func (m *model) has(seq uint64, chain wire.Hash) bool {
	return seq == 0 || seq <= m.at.Seq && m.entries[seq-1].Chain == chain
}

// checkRows compares all rows: a prefix with the pending transactions on top.
func (d *device) checkRows(snap *snapshot) {
	m := d.s.model
	state, told := m.states[snap.seq], m.schemas[snap.seq]
	defaults := d.defaults(func(table, column string) (wire.Value, bool) {
		v, ok := told[table+"."+column]
		return v, ok
	})
	for _, body := range snap.pending {
		state = state.fold(body, defaults)
	}
	want, held := map[string][]string{}, []string(nil)
	for _, id := range sortedKeys(state) {
		name, _, _ := strings.Cut(id, "\x00")
		t := d.s.app.table(name)
		if t.since > d.version {
			continue
		}
		if line, ok := d.shown(t, id, state[id], defaults); ok {
			want[name] = append(want[name], line)
		} else {
			held = append(held, id)
		}
	}
	d.s.tally("rows found quarantined", len(held))
	if !slices.Equal(held, snap.held) {
		d.s.violate("device %d at %d with %d pending: quarantined\n got %q\nwant %q", d.id, snap.seq, len(snap.pending),
			snap.held, held)
	}
	for _, t := range d.s.app.syncedAt(d.version) {
		slices.Sort(want[t.name])
		if !slices.Equal(want[t.name], snap.rows[t.name]) {
			d.s.violate("device %d at %d with %d pending: table %s\n got %q\nwant %q", d.id, snap.seq, len(snap.pending),
				t.name, snap.rows[t.name], want[t.name])
		}
		if t.index != "" && !slices.Equal(snap.index["want "+t.name], snap.index["got "+t.name]) {
			d.s.violate("device %d: the index of %s that triggers keep\n got %q\nwant %q", d.id, t.name,
				snap.index["got "+t.name], snap.index["want "+t.name])
		}
	}
}

// defaults gives a column's default: that of the log, else what the app has.
func (d *device) defaults(told func(table, column string) (wire.Value, bool)) func(table, column string) wire.Value {
	own := map[string]wire.Value{}
	for _, t := range d.s.app.syncedAt(d.version) {
		info, _ := d.db.Table(t.name)
		for _, c := range info.Columns {
			if c.Default != nil {
				own[t.name+"."+c.Name] = *c.Default
			}
		}
	}
	return func(table, column string) wire.Value {
		if v, ok := told(table, column); ok {
			return v
		}
		return own[table+"."+column]
	}
}

// keyOf returns the key's values of a row's id in a state.
func keyOf(id string) []wire.Value {
	_, enc, _ := strings.Cut(id, "\x00")
	key, err := wire.DecodeKey([]byte(enc))
	if err != nil {
		panic(err)
	}
	return key
}

// shown is how a row of the model looks in the app's table, false if that cannot
// hold it.
func (d *device) shown(
	t *table, id string, cells row, defaults func(table, column string) wire.Value,
) (line string, ok bool) {
	values := keyOf(id)
	for _, c := range t.columnsAt(d.version) {
		v, ok := cells[c.name]
		if !ok {
			v = defaults(t.name, c.name)
		}
		values = append(values, v)
	}
	if d.holder == nil { // closed with the app, which may be of another version afterwards
		d.holder = newHolder(d.dialect, d.version)
	}
	columns := append(slices.Clone(t.key), t.columnsAt(d.version)...)
	stored, ok := d.holder.hold(t, columns, values)
	for i := range stored {
		if d.roughly(columns[i]) {
			stored[i] = whole(stored[i])
		}
	}
	return line1(stored), ok
}

// roughly reports whether 2 passes for 2.0 in a column, as it does to the digest.
// A dialect may have declared it as one that keeps 2.0 as 2: a release that
// declares it otherwise has 2. A snapshot of a sealed space has what its maker's table
// holds, in whatever dialect.
func (d *device) roughly(c column) bool {
	dialects := d.dialect.clauses != nil || d.s.keys != nil && d.s.p.dialects
	return c.merge != "" || c.kind == "" && dialects
}

// checkBases: while a snapshot comes, a row that something is pending on is its
// base image with that on top.
func (d *device) checkBases(snap *snapshot) {
	defaults := d.defaults(func(table, column string) (wire.Value, bool) {
		c, ok := snap.told.Column(table, column)
		return c.Default, ok
	})
	state := snap.bases
	touched := map[string]string{}
	for _, body := range snap.pending {
		state = state.fold(body, defaults)
		for _, op := range body.Ops {
			touched[op.Shape.Table+"\x00"+string(wire.EncodeKey(op.Key))] = op.Shape.Table
		}
	}
	for _, id := range sortedKeys(touched) {
		t := d.s.app.table(touched[id])
		if t.since > d.version {
			continue
		}
		var got, want []string
		key := line1(keyOf(id))
		for _, line := range snap.rows[t.name] {
			if line == key || strings.HasPrefix(line, key+" ") {
				got = append(got, line)
			}
		}
		if cells, ok := state[id]; ok {
			if line, ok := d.shown(t, id, cells, defaults); ok {
				want = append(want, line)
			}
		}
		if !slices.Equal(got, want) {
			d.s.violate("device %d in the middle of a snapshot: table %s\n got %q\nwant %q", d.id, t.name, got, want)
		}
	}
}

// checkMarks looks for effects without their causes, and for writes that were
// seen and are gone. It knows nothing of positions and pending transactions.
func (d *device) checkMarks(snap *snapshot) {
	s, m := d.s, d.s.model
	// A transaction that was tried again has another place in the order than its
	// number says: of it only the rows are checked.
	again := func(k mark) bool { return s.devices[k.device].retried[k.n] > 0 }
	for _, k := range snap.unproved {
		s.devices[k.device].unproved[k.n] = true
		if s.p.copies == 0 {
			s.violate("device %d does not know what became of %v, and no copy of it has used its number", d.id, k)
		}
	}
	lost := func(k mark) bool { return m.restored && s.devices[k.device].unproved[k.n] } // and the app has it back
	gone := func(k mark) bool { return m.marks[k] != "" || again(k) || lost(k) }
	for _, n := range d.acked {
		k := mark{d.id, n}
		if _, ok := snap.marks[k]; !ok && !gone(k) {
			s.violate("device %d does not see its own write %v", d.id, k)
		}
	}
	for _, n := range sortedInts(d.failed) {
		if _, ok := snap.marks[mark{d.id, n}]; ok {
			s.violate("device %d sees its transaction %d, which failed", d.id, n)
		}
	}
	if snap.booting && m.restored { // what others wrote may be of the log that was lost, until they give it back
		return
	}
	for k := range d.seen {
		if _, ok := snap.marks[k]; !ok && !gone(k) {
			s.violate("device %d has seen %v and does not any more", d.id, k)
		}
	}
	for k, saw := range snap.marks {
		d.seen[k] = true
		if snap.booting || m.restored { // each device gives back its own, and they have no order between them
			continue
		}
		for _, name := range strings.Fields(saw) {
			cause := readMark(name)
			for n := 1; n <= cause.n; n++ {
				c := mark{cause.device, n}
				if outcome, decided := m.marks[c]; !decided || outcome != "" || again(c) {
					continue
				}
				if _, ok := snap.marks[c]; !ok {
					s.violate("device %d sees %v, which had seen %v, and not that", d.id, k, c)
				}
			}
		}
	}
	s.tally("reads checked for causality", len(snap.marks))
}

func sortedInts(m map[int]bool) []int { return slices.Sorted(maps.Keys(m)) }

func (a *app) table(name string) *table {
	for _, t := range a.tables {
		if t.name == name {
			return t
		}
	}
	panic("the log has a table " + name)
}
