package rpc

// Live is one message of an update.
type Live struct {
	First, Last bool
	Update      Update    // in the first
	Rows        [][]Value // a stretch of the new runs' rows
}

// EncodeLive sends an update of live query id, with the rows of its new runs in
// order, as one or more messages. The packer is any that is free.
func EncodeLive(p *Packer, id uint32, u *Update, send func([]byte)) {
	var rows [][]Value
	for _, run := range u.Runs {
		rows = append(rows, run.Rows...)
	}
	p.BeginBare(len(u.Columns))
	first := true
	for {
		for len(rows) > 0 && !p.Full() {
			p.Values(rows[0])
			rows = rows[1:]
		}
		last := len(rows) == 0
		w := event(id, EventLive)
		w.flag(first)
		w.flag(last)
		if first {
			w.flag(u.Reset)
			w.strs(u.Columns)
			w.u32(uint32(u.Total))
			w.u32(uint32(len(u.Runs)))
			for _, run := range u.Runs {
				if run.Copy {
					w.u8(0)
					w.u32(uint32(run.From))
				} else {
					w.u8(1)
				}
				w.u32(uint32(run.N))
			}
		}
		send(p.AppendTo(w.b))
		if last {
			return
		}
		first = false
	}
}

func (r *reader) update() Update {
	u := Update{Reset: r.flag(), Columns: r.strs(), Total: int(r.u32())}
	n := r.count(5)
	for range n {
		var run Run
		switch kind := r.u8(); kind {
		case 0:
			run.Copy, run.From = true, int(r.u32())
		case 1:
		default:
			r.fail("no run has kind %d", kind)
		}
		run.N = int(r.u32())
		u.Runs = append(u.Runs, run)
	}
	return u
}
