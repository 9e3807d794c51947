package sim

import (
	"bytes"
	"fmt"
	"maps"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/sync/fold"
	"heddle.dev/heddle/sync/replica"
	"heddle.dev/heddle/sync/wire"
)

// A row of the model: cells by column, nil for a missing row. Rows and states
// do not change once made.
type row map[string]wire.Value

type state map[string]row // by table, a zero byte, and the encoded key

// fold is the definition: what an entry makes of a state.
func (s state) fold(body *wire.Body, defaults func(table, column string) wire.Value) state {
	next := maps.Clone(s)
	for _, op := range body.Ops {
		id := op.Shape.Table + "\x00" + string(wire.EncodeKey(op.Key))
		before, there := next[id]
		if op.Shape.Kind == wire.Delete || op.Shape.Kind == wire.Update && !there {
			delete(next, id)
			continue
		}
		after := row{}
		maps.Copy(after, before)
		for i, column := range op.Shape.Columns {
			x, ok := after[column]
			if !ok {
				x = defaults(op.Shape.Table, column)
			}
			after[column] = join(op.Shape.Joins[i], x, op.Cells[i])
		}
		next[id] = after
	}
	return next
}

// join is the rule for one cell. The algebra of those beside the later write has
// a model of its own in sync/fold.
func join(j wire.Join, x, v wire.Value) wire.Value {
	if j == wire.JoinLast {
		return v
	}
	return fold.Join(j, x, v)
}

// schema is the log's descriptors of columns: the first one counts.
type schema map[string]wire.Value // default by table, a dot and column

func (s schema) learn(body *wire.Body) schema {
	if len(body.Schema) == 0 {
		return s
	}
	next := maps.Clone(s)
	for _, t := range body.Schema {
		for _, c := range t.Columns {
			if _, ok := next[t.Table+"."+c.Name]; !ok {
				next[t.Table+"."+c.Name] = c.Default
			}
		}
	}
	return next
}

// model is a space as the simulation knows it: it reads the log as it grows, from
// the server's file.
type model struct {
	s        *sim
	at       wire.Position
	entries  []wire.Entry
	taken    []wire.Entry // as they were read: of a sealed space, sealed
	states   []state      // states[n] is the fold of n entries
	schemas  []schema     // the same, of descriptors
	decided  map[wire.ClientID]uint64
	marks    map[mark]string // the outcome of each marked transaction that is decided
	times    map[mark]int    // how often it is
	restored bool            // the server was put back to an earlier state
	latest   map[int]int     // the last mark of each device
}

// mark names a transaction: the nth of a device.
type mark struct{ device, n int }

func (m mark) String() string { return fmt.Sprintf("%d:%d", m.device, m.n) }

func readMark(s string) mark {
	device, n, _ := strings.Cut(s, ":")
	var m mark
	m.device, _ = strconv.Atoi(device)
	m.n, _ = strconv.Atoi(n)
	return m
}

func newModel(s *sim) *model {
	return &model{s: s, states: []state{{}}, schemas: []schema{{}}, decided: map[wire.ClientID]uint64{},
		marks: map[mark]string{}, times: map[mark]int{}, latest: map[int]int{}}
}

// read takes in what the log has more, from the table that keeps a copy of it.
func (m *model) read(c *sqlite3.Conn) {
	s, _, err := c.Prepare(`SELECT seq, client, counter, outcome, body_hash, body, chain
		FROM sim_log WHERE seq > ? ORDER BY seq`)
	if err == nil {
		defer s.Close()
		err = s.BindInt64(1, int64(m.at.Seq))
	}
	if err != nil {
		return // the power is cut
	}
	for s.Step() {
		e := wire.Entry{Seq: uint64(s.ColumnInt64(0)), Counter: uint64(s.ColumnInt64(2)), Outcome: s.ColumnText(3),
			Body: s.ColumnBlob(5, nil)}
		copy(e.Client[:], s.ColumnRawBlob(1))
		copy(e.BodyHash[:], s.ColumnRawBlob(4))
		copy(e.Chain[:], s.ColumnRawBlob(6))
		m.take(&e)
	}
}

// rewind forgets what came after an entry: the server does not have it any more.
func (m *model) rewind(seq uint64) {
	entries, marks := m.taken, m.marks
	if m.s.keys != nil {
		m.s.keys.rewind()
	}
	restored := newModel(m.s)
	restored.restored = true
	*m = *restored
	for i := range entries[:min(seq, uint64(len(entries)))] {
		m.take(&entries[i])
	}
	for _, d := range m.s.devices {
		clear(d.seen) // what others wrote comes back with them
		d.seq = 0
	}
	// A device that knows of a void keeps it as rejected, and does not send it again.
	for k, outcome := range marks {
		if _, ok := m.marks[k]; !ok && outcome != "" {
			m.marks[k] = outcome
		}
	}
}

func (m *model) take(e *wire.Entry) {
	if e.Seq != m.at.Seq+1 || e.ChainAfter(m.at.Chain) != e.Chain {
		m.s.violate("entry %d does not follow %d", e.Seq, m.at.Seq)
		return
	}
	if e.Counter != m.decided[e.Client]+1 {
		m.s.violate("entry %d is number %d of its author, after %d", e.Seq, e.Counter, m.decided[e.Client])
	}
	plain := *e
	passed := false // nothing of rows
	if m.s.keys != nil {
		o, ok := m.s.keys.open(m.at, e)
		if !ok {
			return
		}
		plain, passed = o.Entry, o.Fate == replica.FatePassed
		if plain.Body != nil { // a replica computes it where it needs it
			plain.BodyHash = wire.HashBody(plain.Body)
		}
	}
	m.taken = append(m.taken, *e)
	m.at.Seq, m.at.Chain = e.Seq, e.Chain
	m.decided[e.Client] = e.Counter
	n := len(m.entries)
	m.entries = append(m.entries, plain)
	e = &plain
	state, schema := m.states[n], m.schemas[n]
	if passed {
		m.s.tally("Changes", 1)
	} else if e.Outcome == "" {
		body, err := wire.UnmarshalBody(e.Body)
		if err != nil || wire.HashBody(e.Body) != e.BodyHash {
			m.s.violate("the body of entry %d: %v", e.Seq, err)
			return
		}
		schema = schema.learn(body)
		state = state.fold(body, func(t, c string) wire.Value { return schema[t+"."+c] })
		m.note(marksOf(body), "", e.Seq)
	} else if marks, ok := m.s.srv.refused(e); ok && e.Outcome == refusal {
		m.note(marks, e.Outcome, e.Seq)
	} else {
		m.s.violate("entry %d by %s was decided %s, and the app has not refused it", e.Seq, m.s.nameOf(e.Client), e.Outcome)
	}
	m.states, m.schemas = append(m.states, state), append(m.schemas, schema)
	m.s.event("log %d by %s, its number %d, outcome %q", e.Seq, m.s.nameOf(e.Client), e.Counter, e.Outcome)
}

func marksOf(body *wire.Body) (marks []mark) {
	for _, op := range body.Ops {
		if op.Shape.Table == "marks" && op.Shape.Kind == wire.Insert {
			marks = append(marks, readMark(op.Key[0].(string)))
		}
	}
	return marks
}

// note takes in a transaction's mark: each may be decided once, and after those
// that its author had before it.
func (m *model) note(marks []mark, outcome string, seq uint64) {
	for _, k := range marks {
		again := m.s.devices[k.device].retried[k.n]
		if m.times[k]++; m.times[k] > 1+again {
			m.s.violate("transaction %v is in the log %d times, the last at %d, and was tried again %d times", k, m.times[k],
				seq, again)
		}
		if last := m.latest[k.device]; k.n < last && again == 0 {
			m.s.violate("transaction %v is in the log after number %d of its device", k, last)
		}
		m.latest[k.device] = max(m.latest[k.device], k.n)
		if m.marks[k] = outcome; outcome == "" {
			m.s.tally("accepted", 1)
		} else {
			m.s.tally("void", 1)
		}
	}
}

// recorder is an http.ResponseWriter in memory.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (r *recorder) Header() http.Header { return r.header }
func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
}
func (r *recorder) Write(p []byte) (int, error) {
	r.WriteHeader(http.StatusOK)
	return r.body.Write(p)
}
func (r *recorder) FlushError() error { return nil }

// whole takes a real that is a whole number for that integer: the fold does not
// know affinities, and which of the two a column that joins holds depends on its.
func whole(v wire.Value) wire.Value {
	if f, ok := v.(float64); ok && f == math.Trunc(f) && math.Abs(f) < 1<<63 {
		return int64(f)
	}
	return v
}

// show writes a value with its type, so that 1, 1.0, '1' and x'31' differ.
func show(v wire.Value) string { return fmt.Sprintf("%T:%v", v, v) }

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func itoa(n int) string { return strconv.Itoa(n) }
