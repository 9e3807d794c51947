package rpc

// This file is the page's side in Go: what the leader's tests, and a native
// program that talks to a leader, need.

// Message is a reply or event, its payload not yet decoded.
type Message struct {
	ID      uint32
	Kind    Kind
	Event   Event // of KindEvent
	Payload Payload
}

// Payload is the rest of a message.
type Payload struct{ r reader }

// DecodeMessage decodes the head of a leader's message.
func DecodeMessage(message []byte) (Message, error) {
	r := reader{b: message}
	m := Message{ID: r.u32(), Kind: Kind(r.u8())}
	if r.err == nil && m.Kind > KindEvent {
		r.fail("no reply has kind %d", m.Kind)
	}
	if m.Kind == KindEvent {
		m.Event = Event(r.u8())
	}
	m.Payload = Payload{r}
	return m, r.err
}

// Err decodes an error reply; a payload that is none is a protocol error.
func (p Payload) Err() error {
	err := p.r.fault()
	if p.r.err != nil {
		return p.r.err
	}
	return err
}

// Result decodes the reply of exec.
func (p Payload) Result() (Result, error) { v := p.r.result(); return v, p.r.err }

// Results decodes the reply of batch.
func (p Payload) Results() ([]Result, error) {
	list := make([]Result, 0, p.r.count(16))
	for range cap(list) {
		list = append(list, p.r.result())
	}
	return list, p.r.err
}

// Welcome decodes the reply of hello.
func (p Payload) Welcome() (Welcome, error) {
	v := Welcome{Version: p.r.u16(), Leader: p.r.str(), Storage: p.r.str(), Migrations: p.r.u32(),
		Commit: p.r.u64(), Sync: p.r.flag(), Status: p.r.status()}
	return v, p.r.err
}

// Status decodes the reply of syncStatus, and the status event.
func (p Payload) Status() (Status, error) { v := p.r.status(); return v, p.r.err }

// Digest decodes the reply of syncDigest.
func (p Payload) Digest() (seq uint64, digest [32]byte, err error) {
	seq = p.r.u64()
	copy(digest[:], p.r.take(32))
	return seq, digest, p.r.err
}

// Progress decodes the progress event.
func (p Payload) Progress() (phase string, done, total uint64, err error) {
	phase, done, total = p.r.str(), p.r.u64(), p.r.u64()
	return phase, done, total, p.r.err
}

// Rejected decodes the rejected event.
func (p Payload) Rejected() (Transaction, error) {
	t := Transaction{Counter: p.r.u64(), Code: p.r.str(), Message: p.r.str(), Ops: p.r.ops()}
	if len(p.r.b) > p.r.at { // what an older leader does not tell
		t.ID, t.Created = p.r.u64(), p.r.u64()
		p.r.joins(t.Ops)
	}
	return t, p.r.err
}

// Transactions decodes a reply of syncPending or syncRejected.
func (p Payload) Transactions() ([]Transaction, error) {
	var all []Transaction
	for range p.r.count(36) {
		t := Transaction{ID: p.r.u64(), Counter: p.r.u64(), Created: p.r.u64(), Code: p.r.str(), Message: p.r.str(), Ops: p.r.ops()}
		p.r.joins(t.Ops)
		all = append(all, t)
	}
	return all, p.r.err
}

func (r *reader) ops() []Op {
	ops := make([]Op, 0, r.count(20))
	for range cap(ops) {
		ops = append(ops, Op{Kind: r.str(), Table: r.str(), Key: r.values(), Columns: r.strs(), Cells: r.values()})
	}
	return ops
}

func (r *reader) joins(ops []Op) {
	for i := range ops {
		ops[i].Joins = r.strs()
	}
}

// Flag decodes the reply of syncRetry and syncDiscard.
func (p Payload) Flag() (bool, error) { v := p.r.flag(); return v, p.r.err }

// Keys decodes the reply of syncDangling.
func (p Payload) Keys() ([]Key, error) {
	var all []Key
	for range p.r.count(8) {
		all = append(all, Key{Table: p.r.str(), Key: p.r.values()})
	}
	return all, p.r.err
}

// Quarantined decodes a message of syncQuarantined's reply.
func (p Payload) Quarantined() ([]Quarantined, error) {
	var all []Quarantined
	for range p.r.count(24) {
		all = append(all, Quarantined{Key: Key{Table: p.r.str(), Key: p.r.values()}, Code: p.r.str(), Constraint: p.r.str(),
			Columns: p.r.strs(), Cells: p.r.values()})
	}
	return all, p.r.err
}

// Conflict decodes the conflict event.
func (p Payload) Conflict() (Conflict, error) {
	c := Conflict{Counter: p.r.u64(), Kind: p.r.str(), Key: Key{Table: p.r.str(), Key: p.r.values()}}
	if len(p.r.b) > p.r.at { // what an older leader does not tell
		c.Code, c.Constraint = p.r.str(), p.r.str()
	}
	return c, p.r.err
}

// Ask decodes the token event.
func (p Payload) Ask() (uint32, error) { v := p.r.u32(); return v, p.r.err }

// Str decodes the storage event, and the reply of syncExport.
func (p Payload) Str() (string, error) { v := p.r.str(); return v, p.r.err }

// Bytes returns the payload, aliasing the message.
func (p Payload) Bytes() []byte { return p.r.rest() }

// Rows decodes a rows block. Columns is nil if the block carries none.
func (p Payload) Rows() (columns []string, rows [][]Value, err error) {
	columns, rows = p.r.block()
	return columns, rows, p.r.err
}

// Live decodes one message of a live update.
func (p Payload) Live() (Live, error) {
	v := Live{First: p.r.flag(), Last: p.r.flag()}
	if v.First {
		v.Update = p.r.update()
	}
	_, v.Rows = p.r.block()
	return v, p.r.err
}

// Recovered reads the event of a damaged database.
func (p Payload) Recovered() (Recovered, error) {
	v := Recovered{File: p.r.str(), Reason: p.r.str(), Pending: p.r.u64(), Rejected: p.r.u64(), Rows: p.r.u64(), Tables: p.r.strs(), Lost: p.r.flag()}
	return v, p.r.err
}

// Health reads the reply of health.
func (p Payload) Health() (Health, error) {
	v := Health{Pages: p.r.u64(), Trees: p.r.u64(), Problems: p.r.strs(), Checksums: p.r.flag(), PageSize: p.r.u32(),
		Bytes: p.r.u64(), LogBytes: p.r.u64(), Exit: p.r.str()}
	return v, p.r.err
}

// Exported reads the reply of exportFile.
func (p Payload) Exported() (size uint64, err error) { v := p.r.u64(); return v, p.r.err }
