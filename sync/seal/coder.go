package seal

import (
	"google.golang.org/protobuf/encoding/protowire"

	"heddle.dev/heddle/internal/errcode"
)

type fieldNumber = protowire.Number

// message is a canonical message. fields calls a method of the coder for each field,
// in ascending order of numbers.
type message interface{ fields(*coder) }

// coder writes a canonical message, or reads one. A browser downloads each call of a
// method, so that none is generic, and those with many calls are not inlined.
//
// Since it reads a field only where that field is next, and leaves nothing over, what it
// reads has its fields in order, none of them twice and none that is unknown.
type coder struct {
	reading bool
	b       []byte
	bad     string // the first fault of what was read, "" for none
}

func marshal(m message) []byte {
	c := coder{}
	m.fields(&c)
	return c.b
}

func unmarshal(data []byte, op string, m message) error {
	c := coder{reading: true, b: data}
	c.read(m)
	if c.bad != "" {
		return errcode.New(errcode.Protocol, op, c.bad)
	}
	return nil
}

// read reads a message from all of c.b.
func (c *coder) read(m message) {
	if m.fields(c); len(c.b) > 0 {
		c.fail("an unknown field, or one out of order")
	}
}

func (c *coder) fail(msg string) {
	if c.bad == "" {
		c.bad = msg
	}
	c.b = nil
}

// next takes the tag of field num (below 16, so one byte) if it is next.
func (c *coder) next(num fieldNumber, typ protowire.Type) bool {
	if len(c.b) == 0 || c.b[0] != byte(num)<<3|byte(typ) {
		return false
	}
	c.b = c.b[1:]
	return true
}

func (c *coder) varint() uint64 {
	v, n := protowire.ConsumeVarint(c.b)
	if n < 0 || n != protowire.SizeVarint(v) {
		c.fail("a number is not in its shortest form")
		return 0
	}
	c.b = c.b[n:]
	return v
}

// raw takes a length and so many bytes.
func (c *coder) raw() []byte {
	n := c.varint()
	if n > uint64(len(c.b)) {
		c.fail("a field is cut short")
		return nil
	}
	v := c.b[:n:n]
	c.b = c.b[n:]
	return v
}

// uint is a number of at most limit; 0 is absent.
//
//go:noinline
func (c *coder) uint(num fieldNumber, p *uint64, limit uint64) {
	switch {
	case c.reading && c.next(num, protowire.VarintType):
		if *p = c.varint(); *p == 0 {
			c.fail("a default is written out")
		} else if *p > limit {
			c.fail("a number is too large")
		}
	case !c.reading && *p != 0:
		c.b = protowire.AppendVarint(protowire.AppendTag(c.b, num, protowire.VarintType), *p)
	}
}

// bytes is a text of bytes; the empty one is absent. What is read shares memory with
// the message.
//
//go:noinline
func (c *coder) bytes(num fieldNumber, p *[]byte, limit int) {
	switch {
	case c.reading && c.next(num, protowire.BytesType):
		if *p = c.raw(); len(*p) == 0 {
			c.fail("a default is written out")
		} else if len(*p) > limit {
			c.fail("a field is too long")
		}
	case !c.reading && len(*p) > 0:
		c.put(num, *p)
	}
}

// fixed is an id, a hash, a key or a signature, which fills p; all zeros are absent.
//
//go:noinline
func (c *coder) fixed(num fieldNumber, p []byte) {
	switch {
	case c.reading && c.next(num, protowire.BytesType):
		if c.fill(p); zero(p) {
			c.fail("a default is written out")
		}
	case !c.reading && !zero(p):
		c.put(num, p)
	}
}

func (c *coder) fill(p []byte) {
	if v := c.raw(); len(v) == len(p) {
		copy(p, v)
	} else {
		c.fail("an id, a hash or a key has another length")
	}
}

func (c *coder) put(num fieldNumber, v []byte) {
	c.b = protowire.AppendBytes(protowire.AppendTag(c.b, num, protowire.BytesType), v)
}

// list is a list of elements of a fixed size, where zeros count as well. at returns
// element i of n, and one more where i is n.
func (c *coder) list(num fieldNumber, n, limit int, at func(i int) []byte) {
	if !c.reading {
		for i := range n {
			c.put(num, at(i))
		}
		return
	}
	for ; c.next(num, protowire.BytesType); n++ {
		if c.fill(at(n)); n >= limit {
			c.fail("a list is too long")
		}
	}
}

// messages is a list of messages. at returns element i of n, and one more where i is n.
// An optional message is a list of at most one.
func (c *coder) messages(num fieldNumber, n, limit int, at func(i int) message) {
	if !c.reading {
		for i := range n {
			c.put(num, marshal(at(i)))
		}
		return
	}
	for ; c.next(num, protowire.BytesType); n++ {
		inner := coder{reading: true, b: c.raw()}
		if inner.read(at(n)); inner.bad != "" {
			c.fail(inner.bad)
		}
		if n >= limit {
			c.fail("a list is too long")
		}
	}
}

// element returns element i of a list, which it makes where i is the list's length.
func element[T any](list *[]T, i int) *T {
	if i == len(*list) {
		*list = append(*list, *new(T))
	}
	return &(*list)[i]
}

// present is the length of a list of at most one.
func present(is bool) int {
	if is {
		return 1
	}
	return 0
}

// demand fails where a field that must be there is not.
//
//go:noinline
func (c *coder) demand(is bool, what string) {
	if c.reading && !is {
		c.fail("there is no " + what)
	}
}

//go:noinline
func zero(p []byte) bool {
	for _, v := range p {
		if v != 0 {
			return false
		}
	}
	return true
}
