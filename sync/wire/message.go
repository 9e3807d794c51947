package wire

// Marshal returns m's encoding.
func (m *Position) Marshal() []byte {
	b := putID(nil, 1, m.Epoch)
	b = putUint(b, 2, m.Seq)
	return putHash(b, 3, m.Chain)
}

func (m *Position) read(r *loose) {
	switch r.num {
	case 1:
		m.Epoch = r.id()
	case 2:
		m.Seq = r.uint()
	case 3:
		m.Chain = r.hash()
	default:
		r.skip()
	}
}

// Marshal returns e's encoding.
func (e *Entry) Marshal() []byte { return e.append(nil) }

func (e *Entry) append(b []byte) []byte {
	b = putUint(b, 1, e.Seq)
	b = putID(b, 2, e.Client)
	b = putUint(b, 3, e.Counter)
	b = putString(b, 4, e.Outcome)
	b = putHash(b, 5, e.BodyHash)
	b = putBytes(b, 6, e.Body)
	return putHash(b, 7, e.Chain)
}

func (e *Entry) read(r *loose) {
	switch r.num {
	case 1:
		e.Seq = r.uint()
	case 2:
		e.Client = r.id()
	case 3:
		e.Counter = r.uint()
	case 4:
		e.Outcome = r.text(MaxText)
	case 5:
		e.BodyHash = r.hash()
	case 6:
		if e.Body = r.bytes(); len(e.Body) > MaxBody {
			r.fail("a body is too long")
		}
	case 7:
		e.Chain = r.hash()
	default:
		r.skip()
	}
}

// UnmarshalEntry decodes an entry. Its Body shares data's memory.
func UnmarshalEntry(data []byte) (*Entry, error) {
	return decode(data, "wire: decode entry", (*Entry).read)
}

// Marshal returns m's encoding.
func (m *PushRequest) Marshal() []byte {
	b := putMessage(nil, 1, m.Position.Marshal())
	b = putID(b, 2, m.Client)
	var p []byte
	for i := range m.Parts {
		part := &m.Parts[i]
		p = putUint(p[:0], 1, part.Counter)
		p = putUint(p, 2, uint64(part.Index))
		p = putUint(p, 3, uint64(part.Total))
		p = putHash(p, 4, part.BodyHash)
		p = putBytes(p, 5, part.Bytes)
		b = putMessage(b, 3, p)
	}
	return b
}

func (m *Part) read(r *loose) {
	switch r.num {
	case 1:
		m.Counter = r.uint()
	case 2:
		m.Index = r.uint32()
	case 3:
		m.Total = r.uint32()
	case 4:
		m.BodyHash = r.hash()
	case 5:
		if m.Bytes = r.bytes(); len(m.Bytes) > MaxPart {
			r.fail("a part is too long")
		}
	default:
		r.skip()
	}
}

// UnmarshalPushRequest decodes a push. Its parts share data's memory.
func UnmarshalPushRequest(data []byte) (*PushRequest, error) {
	return decode(data, "wire: decode push", func(m *PushRequest, r *loose) {
		switch r.num {
		case 1:
			m.Position = Position{}
			r.sub(m.Position.read)
		case 2:
			m.Client = r.id()
		case 3:
			var p Part
			r.sub(p.read)
			if p.Counter == 0 || p.Total == 0 || p.Total > MaxParts || p.Index >= p.Total {
				r.fail("a part's numbers make no sense")
			}
			m.Parts = append(m.Parts, p)
		default:
			r.skip()
		}
	})
}

// Marshal returns m's encoding.
func (m *PushResponse) Marshal() []byte {
	b := putID(nil, 1, m.Epoch)
	b = putUint(b, 2, m.Head)
	b = putUint(b, 3, m.Decided)
	return putUint(b, 4, uint64(m.Staged))
}

// UnmarshalPushResponse decodes the answer to a push.
func UnmarshalPushResponse(data []byte) (*PushResponse, error) {
	return decode(data, "wire: decode push response", func(m *PushResponse, r *loose) {
		switch r.num {
		case 1:
			m.Epoch = r.id()
		case 2:
			m.Head = r.uint()
		case 3:
			m.Decided = r.uint()
		case 4:
			m.Staged = r.uint32()
		default:
			r.skip()
		}
	})
}

// Marshal returns m's encoding.
func (m *PullRequest) Marshal() []byte {
	b := putMessage(nil, 1, m.Position.Marshal())
	b = putID(b, 2, m.Client)
	b = putFlag(b, 3, m.OwnBodies)
	b = putFlag(b, 4, m.Snapshots)
	if m.Resume != nil {
		b = putMessage(b, 5, m.Resume.Marshal())
	}
	b = putFlag(b, 6, m.Anew)
	for i := range m.Only {
		b = putMessage(b, 7, m.Only[i].marshal())
	}
	for i := range m.Clients {
		b = putMessage(b, 8, m.Clients[i][:])
	}
	return b
}

// UnmarshalPullRequest decodes a pull.
func UnmarshalPullRequest(data []byte) (*PullRequest, error) {
	return decode(data, "wire: decode pull", func(m *PullRequest, r *loose) {
		switch r.num {
		case 1:
			m.Position = Position{}
			r.sub(m.Position.read)
		case 2:
			m.Client = r.id()
		case 3:
			m.OwnBodies = r.uint() != 0
		case 4:
			m.Snapshots = r.uint() != 0
		case 5:
			m.Resume = &Resume{}
			r.sub(m.Resume.read)
		case 6:
			m.Anew = r.uint() != 0
		case 7:
			var o Bucket
			r.sub(o.read)
			m.Only = append(m.Only, o)
		case 8:
			if m.Clients = append(m.Clients, r.id()); len(m.Clients) > MaxClients {
				r.fail("too many clients are asked for")
			}
		default:
			r.skip()
		}
	})
}

// Marshal returns m's encoding.
func (m *DigestResponse) Marshal() []byte {
	b := putID(nil, 1, m.Epoch)
	b = putUint(b, 2, m.Seq)
	b = putHash(b, 3, m.Chain)
	b = putHash(b, 4, m.Digest)
	b = putUint(b, 5, m.Rows)
	for i := range m.Buckets {
		b = putMessage(b, 6, m.Buckets[i].marshal())
	}
	return b
}

// UnmarshalDigestResponse decodes the answer to a question for the digest.
func UnmarshalDigestResponse(data []byte) (*DigestResponse, error) {
	return decode(data, "wire: decode digest", func(m *DigestResponse, r *loose) {
		switch r.num {
		case 1:
			m.Epoch = r.id()
		case 2:
			m.Seq = r.uint()
		case 3:
			m.Chain = r.hash()
		case 4:
			m.Digest = r.hash()
		case 5:
			m.Rows = r.uint()
		case 6:
			var o Bucket
			r.sub(o.read)
			m.Buckets = append(m.Buckets, o)
		default:
			r.skip()
		}
	})
}

// Marshal returns m's encoding.
func (m *Error) Marshal() []byte {
	return putString(putString(nil, 1, m.Code), 2, m.Message)
}

func (m *Error) read(r *loose) {
	switch r.num {
	case 1:
		m.Code = r.text(MaxText)
	case 2:
		m.Message = r.text(MaxText)
	default:
		r.skip()
	}
}

// UnmarshalError decodes a refusal.
func UnmarshalError(data []byte) (*Error, error) {
	return decode(data, "wire: decode error", (*Error).read)
}

// decode reads a whole outer message by read, field by field.
func decode[T any](data []byte, op string, read func(*T, *loose)) (*T, error) {
	m := new(T)
	r := loose{b: data, op: op}
	for r.next() {
		read(m, &r)
	}
	if r.err != nil {
		return nil, r.err
	}
	return m, nil
}

// Marshal returns f's encoding, without a length before it.
func (f *Frame) Marshal() []byte {
	switch {
	case f.Hello != nil:
		return putMessage(nil, 1, putUint(putID(nil, 1, f.Hello.Epoch), 2, f.Hello.Head))
	case f.CaughtUp != nil:
		return putMessage(nil, 3, putHash(putUint(nil, 1, f.CaughtUp.Seq), 2, f.CaughtUp.Digest))
	case f.Heartbeat != nil:
		return putMessage(nil, 4, putUint(nil, 1, f.Heartbeat.Head))
	case f.Error != nil:
		return putMessage(nil, 5, f.Error.Marshal())
	case f.Snapshot != nil:
		return putMessage(nil, 6, f.Snapshot.marshal())
	}
	var b, tmp []byte
	for i := range f.Entries {
		tmp = f.Entries[i].append(tmp[:0])
		b = putMessage(b, 2, tmp)
	}
	return b
}

// UnmarshalFrame decodes a frame. Entries' bodies share data's memory. A frame
// of a kind that this build does not know has nothing set: skip it.
func UnmarshalFrame(data []byte) (*Frame, error) {
	f, err := decode(data, "wire: decode frame", func(f *Frame, r *loose) {
		switch r.num {
		case 1:
			f.Hello = &Hello{}
			r.sub(func(r *loose) {
				switch r.num {
				case 1:
					f.Hello.Epoch = r.id()
				case 2:
					f.Hello.Head = r.uint()
				default:
					r.skip()
				}
			})
		case 2:
			var e Entry
			r.sub(e.read)
			f.Entries = append(f.Entries, e)
		case 3:
			f.CaughtUp = &CaughtUp{}
			r.sub(func(r *loose) {
				switch r.num {
				case 1:
					f.CaughtUp.Seq = r.uint()
				case 2:
					f.CaughtUp.Digest = r.hash()
				default:
					r.skip()
				}
			})
		case 4:
			f.Heartbeat = &Heartbeat{}
			r.sub(func(r *loose) {
				if r.num == 1 {
					f.Heartbeat.Head = r.uint()
				} else {
					r.skip()
				}
			})
		case 5:
			f.Error = &Error{}
			r.sub(f.Error.read)
		case 6:
			f.Snapshot = &Snapshot{}
			r.sub(f.Snapshot.read)
		default:
			r.skip()
		}
	})
	if err != nil {
		return nil, err
	}
	set := 0
	for _, is := range []bool{f.Hello != nil, f.Entries != nil, f.CaughtUp != nil, f.Heartbeat != nil, f.Error != nil, f.Snapshot != nil} {
		if is {
			set++
		}
	}
	if set > 1 {
		r := loose{op: "wire: decode frame"}
		r.fail("a frame is of two kinds")
		return nil, r.err
	}
	return f, nil
}
