// Package rpctest is the page's half of package rpc in Go, for tests: it makes
// requests and reads replies. messages.gen.go has what messages.spec declares.
package rpctest

import (
	"maps"
	"slices"
	"time"

	"heddle.dev/heddle/internal/rpc"
)

// EncodeRequest is the inverse of rpc.DecodeRequest.
func EncodeRequest(q rpc.Request) []byte {
	var w rpc.Writer
	w.U32(q.ID)
	w.U8(uint8(q.Method))
	w.U8(0)
	w.U32(uint32(q.Time / time.Millisecond))
	w.U64(q.Write.Counter)
	w.U64(q.Write.Ack)
	encodeBody(&w, &q)
	return w.Message()
}

// EncodeOpenConfig is the inverse of rpc.DecodeOpenConfig.
func EncodeOpenConfig(c rpc.OpenConfig) []byte {
	var w rpc.Writer
	writeOpenConfig(&w, c)
	return w.Message()
}

// MakeRows encodes rows, each with the same number of values.
func MakeRows(columns int, rows [][]rpc.Value) rpc.BulkRows {
	var w rpc.Writer
	for _, row := range rows {
		for _, v := range row[:columns] {
			w.Value(v)
		}
	}
	return rpc.BulkRows{Count: len(rows), Columns: columns, Encoded: w.Message()}
}

// DecodeAnnouncement is the inverse of rpc.EncodeAnnouncement.
func DecodeAnnouncement(message []byte) (rpc.Announcement, error) {
	r := rpc.NewReader(message)
	v := readAnnouncement(r)
	return v, r.Err()
}

func writeRows(w *rpc.Writer, rows rpc.BulkRows) {
	w.U32(uint32(rows.Count))
	w.U32(uint32(rows.Columns))
	writeRest(w, rows.Encoded)
}

func writeRest(w *rpc.Writer, rest []byte) { w.Append(rest) }

func writeStmt(w *rpc.Writer, s rpc.Stmt) {
	w.Str(s.SQL)
	switch p := s.Params; {
	case p.Named != nil:
		w.U8(2)
		w.U32(uint32(len(p.Named)))
		for _, name := range slices.Sorted(maps.Keys(p.Named)) {
			w.Str(name)
			w.Value(p.Named[name])
		}
	case p.Positional != nil:
		w.U8(1)
		w.Values(p.Positional)
	default:
		w.U8(0)
	}
}

func writeStmts(w *rpc.Writer, list []rpc.Stmt) { rpc.WriteList(w, list, writeStmt) }

func readResult(r *rpc.Reader) rpc.Result {
	return rpc.Result{Changes: r.I64(), LastInsertRowID: r.I64()}
}

func readResults(r *rpc.Reader) []rpc.Result { return rpc.ReadList(r, 16, readResult) }

// Message is a reply or an event, its payload not yet decoded.
type Message struct {
	ID      uint32
	Kind    rpc.Kind
	Event   rpc.Event // of rpc.KindEvent
	Payload Payload
}

// Payload is the rest of a message. Each method takes it for one type.
type Payload struct{ r rpc.Reader }

// DecodeMessage decodes the head of a leader's message.
func DecodeMessage(message []byte) (Message, error) {
	r := rpc.NewReader(message)
	m := Message{ID: r.U32(), Kind: rpc.Kind(r.U8())}
	if m.Kind > rpc.KindEvent {
		r.Fail("no reply has kind %d", m.Kind)
	}
	if m.Kind == rpc.KindEvent {
		m.Event = rpc.Event(r.U8())
	}
	m.Payload = Payload{*r}
	return m, r.Err()
}

// Err decodes an error reply; a payload that is none is a protocol error.
func (p Payload) Err() error {
	err := p.r.Fault()
	if p.r.Err() != nil {
		return p.r.Err()
	}
	return err
}

// Bytes returns the payload, aliasing the message.
func (p Payload) Bytes() []byte { return p.r.Rest() }

// Rows decodes a rows block. Columns is nil if the block carries none.
func (p Payload) Rows() (columns []string, rows [][]rpc.Value, err error) {
	columns, rows = block(&p.r)
	return columns, rows, p.r.Err()
}

// Returned decodes the last reply to exec: what it has done, and the rows of a
// statement that returns rows.
func (p Payload) Returned() (res rpc.Result, rows [][]rpc.Value, err error) {
	res, err = p.Result()
	if p.r.Take(16); p.r.Left() > 0 {
		_, rows, err = p.Rows()
	}
	return res, rows, err
}

// Live is one message of a live event.
type Live struct {
	Commit uint64
	Last   bool
	Parts  []LivePart
}

// LivePart is an update of a query's result, further rows of it, or an error.
type LivePart struct {
	Query  uint32
	Update *rpc.Update
	Rows   [][]rpc.Value // a part of the rows of the new runs
	Err    error
}

// Live decodes the event live.
func (p Payload) Live() (Live, error) {
	r := &p.r
	v := Live{Commit: r.U64(), Last: r.Bool()}
	for r.Left() > 0 {
		part := LivePart{Query: r.U32()}
		switch kind := r.U8(); kind {
		case 0:
			u := update(r)
			part.Update = &u
			_, part.Rows = block(r)
		case 1:
			_, part.Rows = block(r)
		case 2:
			part.Err = r.Fault()
		default:
			r.Fail("no part of a live event has kind %d", kind)
		}
		v.Parts = append(v.Parts, part)
	}
	return v, r.Err()
}

func update(r *rpc.Reader) rpc.Update {
	u := rpc.Update{Reset: r.Bool(), Columns: r.Strs(), Total: int(r.U32())}
	n := r.Count(5)
	for range n {
		var run rpc.Run
		switch kind := r.U8(); kind {
		case 0:
			run.Copy, run.From = true, int(r.U32())
		case 1:
		default:
			r.Fail("no run has kind %d", kind)
		}
		run.N = int(r.U32())
		u.Runs = append(u.Runs, run)
	}
	return u
}
