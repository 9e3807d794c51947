package rpc

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
		w.Bool(first)
		w.Bool(last)
		if first {
			w.Bool(u.Reset)
			w.Strs(u.Columns)
			w.U32(uint32(u.Total))
			w.U32(uint32(len(u.Runs)))
			for _, run := range u.Runs {
				if run.Copy {
					w.U8(0)
					w.U32(uint32(run.From))
				} else {
					w.U8(1)
				}
				w.U32(uint32(run.N))
			}
		}
		send(p.AppendTo(w.b))
		if last {
			return
		}
		first = false
	}
}
