package rpc

// LiveResult is what became of one live query of a page: an update of its result, an
// error, or both in this order.
type LiveResult struct {
	Query  uint32 // the id of its liveStart
	Update *Update
	Err    error
}

// The parts of a live event.
const (
	liveUpdate = 0 // the runs of an update, and a rows block
	liveRows   = 1 // a further rows block of the update before
	liveError  = 2
)

// EncodeLive sends what became of live queries up to a commit, as one or more
// messages, each of about [MaxBytes]. The packer is any that is free.
func EncodeLive(p *Packer, commit uint64, results []LiveResult, send func([]byte)) {
	e := liveEncoder{p: p, commit: commit, send: send}
	e.begin()
	for i := range results {
		r := &results[i]
		if r.Update != nil {
			e.update(r.Query, r.Update)
		}
		if r.Err != nil {
			e.part(r.Query, liveError)
			e.w.Fault(r.Err)
		}
	}
	e.w.b[e.last] = 1
	send(e.w.b)
}

// liveEncoder makes the messages of a live event.
type liveEncoder struct {
	p      *Packer
	commit uint64
	send   func([]byte)
	w      *Writer
	last   int // where the message says whether it is the last
}

func (e *liveEncoder) begin() {
	e.w = event(0, EventLive)
	e.w.U64(e.commit)
	e.last = len(e.w.b)
	e.w.Bool(false)
}

// part begins a part, in a message of its own if the last one is full.
func (e *liveEncoder) part(query uint32, kind uint8) {
	if len(e.w.b) >= MaxBytes {
		e.send(e.w.b)
		e.begin()
	}
	e.w.U32(query)
	e.w.U8(kind)
}

func (e *liveEncoder) update(query uint32, u *Update) {
	var rows [][]Value
	e.part(query, liveUpdate)
	e.w.Bool(u.Reset)
	e.w.Strs(u.Columns)
	e.w.U32(uint32(u.Total))
	e.w.U32(uint32(len(u.Runs)))
	for _, run := range u.Runs {
		if run.Copy {
			e.w.U8(0)
			e.w.U32(uint32(run.From))
		} else {
			e.w.U8(1)
		}
		e.w.U32(uint32(run.N))
		rows = append(rows, run.Rows...)
	}
	for e.p.BeginBare(len(u.Columns)); ; e.part(query, liveRows) {
		for len(rows) > 0 && !e.p.Full() {
			e.p.Values(rows[0])
			rows = rows[1:]
		}
		if e.w.b = e.p.AppendTo(e.w.b); len(rows) == 0 {
			return
		}
	}
}
