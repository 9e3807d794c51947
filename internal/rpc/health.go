package rpc

// Recovered says that the database was damaged, and what became of it.
type Recovered struct {
	File              string // where it was quarantined
	Reason            string
	Pending, Rejected uint64 // transactions that were rescued
	Rows              uint64 // rows of local tables that were rescued
	Tables            []string
	Lost              bool // there may have been more transactions
}

// EncodeRecovered is the event.
func EncodeRecovered(r Recovered) []byte {
	w := event(0, EventRecovered)
	w.str(r.File)
	w.str(r.Reason)
	w.u64(r.Pending)
	w.u64(r.Rejected)
	w.u64(r.Rows)
	w.strs(r.Tables)
	w.flag(r.Lost)
	return w.b
}

// Health is what a check found, and what the leader knows of its files.
type Health struct {
	Pages, Trees    uint64
	Problems        []string
	Checksums       bool
	PageSize        uint32
	Bytes, LogBytes uint64
	Exit            string // how the last leader ended: new, clean, unclean or damaged
}

// ReplyChecking is a chunk of health's reply: how far the check has come.
func ReplyChecking(id uint32, done, total uint64) []byte {
	w := writer{b: Reply(id, KindChunk)}
	w.u64(done)
	w.u64(total)
	return w.b
}

// ReplyHealth is the reply of health.
func ReplyHealth(id uint32, h Health) []byte {
	w := writer{b: Reply(id, KindResult)}
	w.u64(h.Pages)
	w.u64(h.Trees)
	w.strs(h.Problems)
	w.flag(h.Checksums)
	w.u32(h.PageSize)
	w.u64(h.Bytes)
	w.u64(h.LogBytes)
	w.str(h.Exit)
	return w.b
}

// ReplyExported is the reply of exportFile.
func ReplyExported(id uint32, size uint64) []byte {
	w := writer{b: Reply(id, KindResult)}
	w.u64(size)
	return w.b
}
