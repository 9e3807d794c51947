package wire

import (
	"math"

	"heddle.dev/heddle/internal/errcode"
)

// Each outer message names its fields once, in the order of their numbers; a coder
// writes them or reads them. docs/PROTOCOL.md has the same list. A singular message
// that is read twice is replaced, as every other field is.

func (m *Position) fields(c *coder) {
	c.fixed(1, m.Epoch[:], "an id")
	c.uint(2, &m.Seq)
	c.fixed(3, m.Chain[:], "a hash")
}

// position is a message's field 1.
func (c *coder) position(m *Position) {
	c.each(1, 1, func(int) {
		if c.reading {
			*m = Position{}
		}
		c.message(1, m)
	})
}

func (e *Entry) fields(c *coder) {
	c.uint(1, &e.Seq)
	c.fixed(2, e.Client[:], "an id")
	c.uint(3, &e.Counter)
	c.text(4, &e.Outcome, MaxText)
	c.fixed(5, e.BodyHash[:], "a hash")
	c.bytes(6, &e.Body, MaxBody, "a body")
	c.fixed(7, e.Chain[:], "a hash")
}

func (m *Part) fields(c *coder) {
	c.uint(1, &m.Counter)
	c.uint32(2, &m.Index, math.MaxUint32)
	c.uint32(3, &m.Total, math.MaxUint32)
	c.fixed(4, m.BodyHash[:], "a hash")
	c.bytes(5, &m.Bytes, MaxPart, "a part")
}

func (m *PushRequest) fields(c *coder) {
	c.position(&m.Position)
	c.fixed(2, m.Client[:], "an id")
	c.each(3, len(m.Parts), func(i int) {
		if c.reading {
			m.Parts = append(m.Parts, Part{})
		}
		p := &m.Parts[i]
		c.message(3, p)
		if c.reading && (p.Counter == 0 || p.Total == 0 || p.Total > MaxParts || p.Index >= p.Total) {
			c.fail("a part's numbers make no sense")
		}
	})
}

func (m *PushResponse) fields(c *coder) {
	c.fixed(1, m.Epoch[:], "an id")
	c.uint(2, &m.Head)
	c.uint(3, &m.Decided)
	c.uint32(4, &m.Staged, math.MaxUint32)
}

func (m *PullRequest) fields(c *coder) {
	c.position(&m.Position)
	c.fixed(2, m.Client[:], "an id")
	c.flag(3, &m.OwnBodies)
	c.flag(4, &m.Snapshots)
	c.each(5, present(m.Resume != nil), func(int) {
		if c.reading {
			m.Resume = &Resume{}
		}
		c.message(5, m.Resume)
	})
	c.flag(6, &m.Anew)
	c.buckets(7, &m.Only)
	c.each(8, len(m.Clients), func(i int) {
		if c.reading {
			m.Clients = append(m.Clients, ClientID{})
		}
		if c.element(8, m.Clients[i][:], "an id"); len(m.Clients) > MaxClients {
			c.fail("too many clients are asked for")
		}
	})
}

func (m *DigestResponse) fields(c *coder) {
	c.fixed(1, m.Epoch[:], "an id")
	c.uint(2, &m.Seq)
	c.fixed(3, m.Chain[:], "a hash")
	c.fixed(4, m.Digest[:], "a hash")
	c.uint(5, &m.Rows)
	c.buckets(6, &m.Buckets)
}

func (m *Bucket) fields(c *coder) {
	c.text(1, &m.Table, MaxName)
	c.uint32(2, &m.Group, math.MaxUint32)
	c.uint32(3, &m.Number, math.MaxUint8)
	c.bytes(4, &m.Sum, MaxFrame, "a sum")
}

//go:noinline
func (c *coder) buckets(num fieldNumber, list *[]Bucket) {
	c.each(num, len(*list), func(i int) {
		if c.reading {
			*list = append(*list, Bucket{})
		}
		c.message(num, &(*list)[i])
	})
}

func (m *Error) fields(c *coder) {
	c.text(1, &m.Code, MaxText)
	c.text(2, &m.Message, MaxText)
}

func (f *Frame) fields(c *coder) {
	c.each(1, present(f.Hello != nil), func(int) {
		if c.reading {
			f.Hello = &Hello{}
		}
		c.message(1, f.Hello)
	})
	c.each(2, len(f.Entries), func(i int) {
		if c.reading {
			f.Entries = append(f.Entries, Entry{})
		}
		c.message(2, &f.Entries[i])
	})
	c.each(3, present(f.CaughtUp != nil), func(int) {
		if c.reading {
			f.CaughtUp = &CaughtUp{}
		}
		c.message(3, f.CaughtUp)
	})
	c.each(4, present(f.Heartbeat != nil), func(int) {
		if c.reading {
			f.Heartbeat = &Heartbeat{}
		}
		c.message(4, f.Heartbeat)
	})
	c.each(5, present(f.Error != nil), func(int) {
		if c.reading {
			f.Error = &Error{}
		}
		c.message(5, f.Error)
	})
	c.each(6, present(f.Snapshot != nil), func(int) {
		if c.reading {
			f.Snapshot = &Snapshot{}
		}
		c.message(6, f.Snapshot)
	})
	c.each(7, len(f.Heads), func(i int) {
		if c.reading {
			f.Heads = append(f.Heads, nil)
		}
		c.item(7, &f.Heads[i])
	})
	c.each(8, present(f.Wanted != nil), func(int) {
		if c.reading {
			f.Wanted = &Wanted{}
		}
		c.message(8, f.Wanted)
	})
}

func (m *Wanted) fields(c *coder) { c.bytes(1, &m.Prove, len(ClientID{}), "an id") }

func (m *Missing) fields(c *coder) {
	c.each(1, len(m.Chunks), func(i int) {
		if c.reading {
			m.Chunks = append(m.Chunks, Hash{})
		}
		c.element(1, m.Chunks[i][:], "a hash")
	})
}

func (m *Hello) fields(c *coder) {
	c.fixed(1, m.Epoch[:], "an id")
	c.uint(2, &m.Head)
}

func (m *CaughtUp) fields(c *coder) {
	c.uint(1, &m.Seq)
	c.fixed(2, m.Digest[:], "a hash")
}

func (m *Heartbeat) fields(c *coder) { c.uint(1, &m.Head) }

func (m *Resume) fields(c *coder) {
	c.fixed(1, m.Epoch[:], "an id")
	c.uint(2, &m.Seq)
	c.fixed(3, m.Chain[:], "a hash")
	c.text(4, &m.Table, MaxName)
	c.bytes(5, &m.Key, MaxKey, "a key")
	c.uint(6, &m.Rows)
	c.flag(7, &m.Done)
}

func (m *Snapshot) fields(c *coder) {
	c.flag(1, &m.Resumed)
	c.flag(2, &m.Again)
	c.flag(3, &m.Last)
	c.uint(4, &m.Seq)
	c.fixed(5, m.Chain[:], "a hash")
	c.uint(6, &m.Total)
	c.bytes(7, &m.Schema, MaxFrame, "a schema")
	c.each(8, len(m.Tables), func(i int) {
		if c.reading {
			m.Tables = append(m.Tables, SnapshotTable{})
		}
		c.message(8, &m.Tables[i])
	})
	c.each(9, present(m.End != nil), func(int) {
		if c.reading {
			m.End = &SnapshotEnd{}
		}
		c.message(9, m.End)
	})
	c.flag(10, &m.Only)
	c.each(11, len(m.Clients), func(i int) {
		if c.reading {
			m.Clients = append(m.Clients, Decided{})
		}
		c.message(11, &m.Clients[i])
	})
	c.each(12, len(m.Own), func(i int) {
		if c.reading {
			m.Own = append(m.Own, Outcome{})
		}
		c.message(12, &m.Own[i])
	})
}

func (m *SnapshotTable) fields(c *coder) {
	c.text(1, &m.Table, MaxName)
	c.bytes(2, &m.Rows, MaxFrame, "rows")
}

func (m *SnapshotEnd) fields(c *coder) { c.fixed(1, m.Digest[:], "a hash") }

func (m *Decided) fields(c *coder) {
	c.fixed(1, m.Client[:], "an id")
	c.uint(2, &m.Counter)
}

func (m *Outcome) fields(c *coder) {
	c.uint(1, &m.Counter)
	c.uint(2, &m.Seq)
	c.text(3, &m.Code, MaxText)
	c.fixed(4, m.BodyHash[:], "a hash")
	c.fixed(5, m.Client[:], "an id")
}

// The encodings of the messages that travel by themselves, and of Resume, which a
// replica keeps. A decoded message shares data's memory. With an error it is not
// whole.

func (e *Entry) Marshal() []byte          { return marshal(e) }
func (m *PushResponse) Marshal() []byte   { return marshal(m) }
func (m *PullRequest) Marshal() []byte    { return marshal(m) }
func (m *DigestResponse) Marshal() []byte { return marshal(m) }
func (m *Missing) Marshal() []byte        { return marshal(m) }
func (m *Error) Marshal() []byte          { return marshal(m) }
func (m *Resume) Marshal() []byte         { return marshal(m) }

// Marshal returns m's encoding.
func (m *PushRequest) Marshal() []byte {
	size := partSize
	for i := range m.Parts {
		size += len(m.Parts[i].Bytes) + partSize
	}
	c := coder{b: make([]byte, 0, size)}
	m.fields(&c)
	return c.b
}

// partSize is more than a part has beside its bytes.
const partSize = 96

// Marshal returns f's encoding, without a length before it.
func (f *Frame) Marshal() []byte { return marshal(f) }

// UnmarshalEntry decodes an entry that travels by itself.
func UnmarshalEntry(data []byte) (*Entry, error) {
	e := &Entry{}
	return e, unmarshal(data, "wire: decode entry", e)
}

// UnmarshalPushRequest decodes a push.
func UnmarshalPushRequest(data []byte) (*PushRequest, error) {
	m := &PushRequest{}
	return m, unmarshal(data, "wire: decode push", m)
}

// UnmarshalPushResponse decodes the answer to a push.
func UnmarshalPushResponse(data []byte) (*PushResponse, error) {
	m := &PushResponse{}
	return m, unmarshal(data, "wire: decode push response", m)
}

// UnmarshalPullRequest decodes a pull.
func UnmarshalPullRequest(data []byte) (*PullRequest, error) {
	m := &PullRequest{}
	return m, unmarshal(data, "wire: decode pull", m)
}

// UnmarshalDigestResponse decodes the answer to a request for the digest.
func UnmarshalDigestResponse(data []byte) (*DigestResponse, error) {
	m := &DigestResponse{}
	return m, unmarshal(data, "wire: decode digest", m)
}

// UnmarshalMissing decodes a list of chunks.
func UnmarshalMissing(data []byte) (*Missing, error) {
	m := &Missing{}
	return m, unmarshal(data, "wire: decode chunks", m)
}

// UnmarshalError decodes a refusal.
func UnmarshalError(data []byte) (*Error, error) {
	m := &Error{}
	return m, unmarshal(data, "wire: decode error", m)
}

// UnmarshalResume decodes a Resume.
func UnmarshalResume(data []byte) (*Resume, error) {
	m := &Resume{}
	return m, unmarshal(data, "wire: decode resume", m)
}

// UnmarshalFrame decodes a frame. A frame of a kind that this build does not know
// has nothing set: skip it.
func UnmarshalFrame(data []byte) (*Frame, error) {
	const op = "wire: decode frame"
	f := &Frame{}
	err := unmarshal(data, op, f)
	kinds := present(f.Hello != nil) + present(f.Entries != nil) + present(f.CaughtUp != nil) +
		present(f.Heartbeat != nil) + present(f.Error != nil) + present(f.Snapshot != nil) + present(f.Heads != nil) +
		present(f.Wanted != nil)
	if err == nil && kinds > 1 {
		err = errcode.New(errcode.Protocol, op, "a frame is of two kinds")
	}
	return f, err
}
