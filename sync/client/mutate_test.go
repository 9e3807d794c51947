package client_test

import (
	"bytes"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/server"
	"heddle.dev/heddle/sync/wire"
)

var (
	mutations    = flag.Int("mutations", 1500, "how many mutated pushes TestMutatedPushes sends")
	mutationSeed = flag.Uint64("mutations.seed", 1, "what they are made of")
)

// mutant is a member of a space that sends pushes which almost make sense.
type mutant struct {
	t       testing.TB
	handler http.Handler
	r       *rand.Rand
	authors []*mutantAuthor
	before  []byte // the request before
	answers map[string]int
}

type mutantAuthor struct {
	id      wire.ClientID
	decided uint64
	rest    []wire.Part // of an upload that has begun
}

// Whatever members send, the server refuses it or decides it, and does not fail;
// and whatever it has decided, each replica passes: one that is there from the
// beginning, one that comes late, and one that takes the state.
func TestMutatedPushes(t *testing.T) {
	hs := newServer(t, server.Options{})
	strict := `CREATE TABLE notes(id TEXT PRIMARY KEY, body TEXT NOT NULL DEFAULT '',
		done INTEGER NOT NULL DEFAULT 0) STRICT`
	d := newDevice(t, hs.URL, strict)
	d.exec(`INSERT INTO notes(id, body) VALUES('first', 'tells of the table')`)
	d.now()
	m := &mutant{t: t, handler: hs.Config.Handler, r: rand.New(rand.NewPCG(*mutationSeed, 1)), answers: map[string]int{}}
	for range 6 {
		m.authors = append(m.authors, m.author())
	}
	runtime.GC()
	var began, ended runtime.MemStats
	runtime.ReadMemStats(&began)
	each := max(*mutations/100, 100)
	for n := range *mutations {
		m.push()
		if n%each == each-1 {
			d.now()
			same(t, hs.URL, d)
			if s := d.c.Status(); s.Repairs > 0 {
				t.Fatalf("after %d pushes: the replica's digest was mended: %+v", n+1, s)
			}
		}
	}
	late := newDevice(t, hs.URL, strict)
	for _, d := range []*device{d, late} {
		d.now()
		if s := d.c.Status(); s.Repairs > 0 {
			t.Errorf("a replica's digest was mended: %+v", s)
		}
	}
	same(t, hs.URL, d, late)
	seq, _ := d.digest()
	t.Logf("%d entries; answers %v", seq, m.answers)
	if m.answers["200"] < *mutations/4 || seq < uint64(*mutations/8) {
		t.Errorf("too few pushes made sense: %d entries, %v", seq, m.answers)
	}
	runtime.GC()
	runtime.ReadMemStats(&ended)
	if grown := int64(ended.HeapAlloc) - int64(began.HeapAlloc); grown > 256<<20 {
		t.Errorf("%d MiB of memory are held afterwards", grown>>20)
	}
}

func (m *mutant) author() *mutantAuthor {
	a := &mutantAuthor{}
	for i := range a.id {
		a.id[i] = byte(m.r.Uint32())
	}
	return a
}

// push sends a request of one of the authors and looks at the answer.
func (m *mutant) push() {
	a := m.authors[m.r.IntN(len(m.authors))]
	req := &wire.PushRequest{Client: a.id}
	if len(a.rest) > 0 && !m.rare(8) { // goes on with an upload
		n := 1 + m.r.IntN(len(a.rest))
		req.Parts, a.rest = a.rest[:n], a.rest[n:]
	} else {
		a.rest = nil
		for i := range uint64(1 + m.r.IntN(3)) {
			req.Parts = append(req.Parts, m.parts(a.decided+1+i)...)
		}
		if m.rare(10) && len(req.Parts) > 1 {
			n := 1 + m.r.IntN(len(req.Parts)-1)
			req.Parts, a.rest = req.Parts[:n], req.Parts[n:]
		}
	}
	if m.rare(20) {
		req.Position = wire.Position{Epoch: wire.Epoch{byte(m.r.Uint32())}, Seq: uint64(m.r.IntN(3))}
	}
	data := req.Marshal()
	if m.rare(6) {
		data = m.bytes(data)
	}
	m.before = data
	hr := httptest.NewRequest("POST", "/v1/spaces/family/push", bytes.NewReader(data))
	hr.Header.Set("Content-Type", wire.MediaType)
	w := httptest.NewRecorder()
	m.handler.ServeHTTP(w, hr)
	answer := fmt.Sprint(w.Code)
	if w.Code == http.StatusOK {
		res, err := wire.UnmarshalPushResponse(w.Body.Bytes())
		if err != nil {
			m.t.Fatal(err)
		}
		// A request whose bytes were changed may have been another author's.
		if res.Decided >= a.decided && res.Decided <= a.decided+3 {
			a.decided = res.Decided
		}
	} else {
		e, err := wire.UnmarshalError(w.Body.Bytes())
		if err != nil {
			m.t.Fatal(err)
		}
		answer += " " + e.Code
		if e.Code == errcode.ClientFork || e.Code == errcode.RateLimited {
			*a = *m.author()
		}
	}
	m.answers[answer]++
	switch w.Code {
	case 200, 400, 409, 413, 429:
	default:
		m.t.Fatalf("got %s for %x", answer, data)
	}
}

func (m *mutant) rare(n int) bool { return m.r.IntN(n) == 0 }

// parts returns those of a transaction that makes sense, or almost.
func (m *mutant) parts(counter uint64) []wire.Part {
	body := m.body().Marshal()
	if m.rare(4) {
		body = m.bytes(body)
	}
	size := wire.PartSize
	if m.rare(6) {
		size = 1 + m.r.IntN(len(body)+1)
	}
	hash := wire.HashBody(body)
	total := max(1, (len(body)+size-1)/size)
	if total > 20 {
		size, total = len(body), 1
	}
	var parts []wire.Part
	for i := range total {
		p := wire.Part{Counter: counter, Index: uint32(i), Total: uint32(total), BodyHash: hash,
			Bytes: body[i*size : min(len(body), (i+1)*size)]}
		if m.rare(60) {
			p.BodyHash[m.r.IntN(len(hash))] ^= 1
		}
		if m.rare(60) {
			p.Counter += uint64(m.r.IntN(3)) - 1
		}
		if m.rare(60) {
			p.Index, p.Total = m.r.Uint32N(5), m.r.Uint32N(5)
		}
		parts = append(parts, p)
	}
	return parts
}

// bytes changes some bytes, and pieces, of data.
func (m *mutant) bytes(data []byte) []byte {
	data = bytes.Clone(data)
	for range 1 + m.r.IntN(4) {
		if len(data) == 0 {
			return []byte{byte(m.r.Uint32())}
		}
		at := m.r.IntN(len(data))
		to := min(len(data), at+1+m.r.IntN(12))
		switch m.r.IntN(6) {
		case 0:
			data[at] ^= 1 << m.r.IntN(8)
		case 1:
			data[at] = byte(m.r.Uint32())
		case 2: // a piece goes
			data = append(data[:at:at], data[to:]...)
		case 3: // or comes twice
			data = append(data[:to:to], data[at:]...)
		case 4: // or is of the request before
			if from := m.before; len(from) > 0 {
				i := m.r.IntN(len(from))
				copy(data[at:], from[i:min(len(from), i+12)])
			}
		case 5:
			data = data[:at]
		}
	}
	return data
}

var mutantColumns = []string{"body", "done", "c0", "c1", "c2", "c3", "id", "C0", "", "heddle_c"}

// body makes a transaction on the device's own table, on others of that name
// almost, and on tables that no device knows.
func (m *mutant) body() *wire.Body {
	b := &wire.Body{}
	for range 1 + m.r.IntN(2) {
		table := []string{"notes", "notes", "notes", "Notes", "heddle_meta", "sqlite_schema",
			fmt.Sprint("t", m.r.IntN(12))}[m.r.IntN(7)]
		width := 1
		if table[0] == 't' {
			width += m.r.IntN(2)
		}
		if !m.rare(3) {
			b.Schema = append(b.Schema, m.descriptor(table, width))
		}
		s := &wire.Shape{Kind: wire.Kind(1 + m.r.IntN(3)), Table: table}
		if s.Kind != wire.Delete {
			for _, i := range m.r.Perm(len(mutantColumns))[:1+m.r.IntN(4)] {
				if name := mutantColumns[i]; name != "" && (name != "id" || m.rare(10)) {
					s.Columns, s.Joins = append(s.Columns, name), append(s.Joins, wire.Join(m.r.IntN(6)))
				}
			}
		}
		b.Shapes = append(b.Shapes, s)
		for range 1 + m.r.IntN(4) {
			op := wire.Op{Shape: s}
			for range width {
				op.Key = append(op.Key, m.key())
			}
			for range s.Columns {
				op.Cells = append(op.Cells, m.value())
			}
			b.Ops = append(b.Ops, op)
		}
	}
	return b
}

func (m *mutant) descriptor(table string, width int) wire.TableSchema {
	d := wire.TableSchema{Table: table, Key: []string{"id", "id2"}[:width]}
	for _, name := range mutantColumns {
		if name != "" && name != "id" && !m.rare(5) {
			c := wire.ColumnSchema{Name: name, Group: m.r.Uint32N(4)}
			if m.rare(2) {
				c.Default = m.value()
			}
			d.Columns = append(d.Columns, c)
		}
	}
	if m.rare(40) {
		d.Key = append(d.Key, "body")
	}
	return d
}

func (m *mutant) key() wire.Value {
	if m.rare(30) {
		return m.value()
	}
	return fmt.Sprint("k", m.r.IntN(30))
}

func (m *mutant) value() wire.Value {
	switch m.r.IntN(9) {
	case 0:
		return nil
	case 1:
		return []int64{0, 1, -1, math.MaxInt64, math.MinInt64, m.r.Int64()}[m.r.IntN(6)]
	case 2:
		return []float64{0, 0.5, 2, -1e300, math.Inf(1), math.Inf(-1), 1 << 62, m.r.NormFloat64()}[m.r.IntN(8)]
	case 3:
		return []string{`[]`, `["a","b"]`, `[1,"a",{"x":[null]}]`, `["b" , "a"]`, `[`, `["\ud800"]`, `[1.0,1]`}[m.r.IntN(7)]
	case 4:
		return []byte{byte(m.r.Uint32()), 0, 255}
	case 5:
		return "a\x00b\xff"
	case 6:
		if m.rare(20) {
			return string(bytes.Repeat([]byte("long "), m.r.IntN(20_000)))
		}
		return ""
	default:
		return fmt.Sprint("text ", m.r.IntN(100))
	}
}
