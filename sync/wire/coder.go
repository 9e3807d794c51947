package wire

import (
	"math"

	"google.golang.org/protobuf/encoding/protowire"

	"heddle.dev/heddle/internal/errcode"
)

type fieldNumber = protowire.Number

// message is an outer message. fields calls a method of the coder for each field,
// in ascending order of numbers.
type message interface{ fields(*coder) }

// coder writes outer messages, or reads them. It writes fields in order and leaves
// defaults out. It reads fields in any order, of repeated singular fields the last
// one, and skips unknown fields, so that old and new builds understand each other.
//
// A method that writes appends its field. A method that reads does nothing unless
// its field is next in the input; then it takes the field. One call of fields
// therefore reads all of a message whose fields are in order.
//
// The browser downloads each call of a method: a method is not inlined where its
// code is larger than a call.
type coder struct {
	reading bool
	b       []byte // what was written, or what follows the tag that was read last
	op      string // for errors
	err     error
	num     fieldNumber // of the field to read next; 0 at the message's end
	typ     protowire.Type
}

func marshal(m message) []byte {
	c := coder{}
	m.fields(&c)
	return c.b
}

func unmarshal(data []byte, op string, m message) error {
	c := coder{reading: true, b: data, op: op}
	c.read(m)
	return c.err
}

// read reads a message from all of c.b.
func (c *coder) read(m message) {
	for c.next(); c.num != 0; {
		num, left := c.num, len(c.b)
		m.fields(c)
		if c.num == num && len(c.b) == left {
			c.skip()
		}
	}
}

//go:noinline
func (c *coder) fail(msg string) {
	if c.err == nil {
		c.err = errcode.New(errcode.Protocol, c.op, msg)
	}
	c.b, c.num = nil, 0
}

// next reads the next tag.
func (c *coder) next() {
	if c.num = 0; len(c.b) == 0 {
		return
	}
	num, typ, n := protowire.ConsumeTag(c.b)
	if n < 0 {
		c.fail("the message does not decode")
		return
	}
	c.num, c.typ, c.b = num, typ, c.b[n:]
}

func (c *coder) skip() {
	n := protowire.ConsumeFieldValue(c.num, c.typ, c.b)
	if n < 0 {
		c.fail("the message does not decode")
		return
	}
	c.b = c.b[n:]
	c.next()
}

// number writes v, or returns the number of field num, or v where another field is
// next.
func (c *coder) number(num fieldNumber, v, limit uint64) uint64 {
	if !c.reading {
		c.b = putUint(c.b, num, v)
		return v
	}
	for c.num == num {
		got, n := protowire.ConsumeVarint(c.b)
		switch {
		case c.typ != protowire.VarintType:
			c.fail("a field has another type")
		case n < 0:
			c.fail("the message does not decode")
		case got > limit:
			c.fail("a number is too large")
		default:
			v, c.b = got, c.b[n:]
			c.next()
		}
	}
	return v
}

// raw takes the next field's bytes, and is false for one that is not num.
func (c *coder) raw(num fieldNumber) (v []byte, ok bool) {
	if c.num != num {
		return nil, false
	}
	if c.typ != protowire.BytesType {
		c.fail("a field has another type")
		return nil, false
	}
	v, n := protowire.ConsumeBytes(c.b)
	if n < 0 {
		c.fail("the message does not decode")
		return nil, false
	}
	c.b = c.b[n:]
	return v[:len(v):len(v)], true
}

//go:noinline
func (c *coder) uint(num fieldNumber, p *uint64) { *p = c.number(num, *p, math.MaxUint64) }

//go:noinline
func (c *coder) uint32(num fieldNumber, p *uint32, limit uint64) {
	*p = uint32(c.number(num, uint64(*p), limit))
}

//go:noinline
func (c *coder) flag(num fieldNumber, p *bool) {
	*p = c.number(num, uint64(present(*p)), math.MaxUint64) != 0
}

// bytes is a field of at most limit bytes, which what names.
func (c *coder) bytes(num fieldNumber, p *[]byte, limit int, what string) {
	if !c.reading {
		c.b = putBytes(c.b, num, *p)
		return
	}
	for v, ok := c.raw(num); ok; v, ok = c.raw(num) {
		if len(v) > limit {
			c.fail(what + " is too long")
			return
		}
		*p = v
		c.next()
	}
}

// item is an element of a list of bytes, where an empty one counts.
func (c *coder) item(num fieldNumber, p *[]byte) {
	if !c.reading {
		c.b = putMessage(c.b, num, *p)
		return
	}
	if v, ok := c.raw(num); ok {
		*p = v
		c.next()
	}
}

func (c *coder) text(num fieldNumber, p *string, limit int) {
	if !c.reading {
		c.b = putString(c.b, num, *p)
		return
	}
	var v []byte
	if c.num == num {
		c.bytes(num, &v, limit, "a text")
		*p = string(v)
	}
}

// fixed is an id or a hash, which fills p; all zeros are the default.
func (c *coder) fixed(num fieldNumber, p []byte, what string) {
	for c.num == num {
		c.element(num, p, what)
	}
	for _, v := range p {
		if v != 0 && !c.reading {
			c.element(num, p, what)
			return
		}
	}
}

// element is an id in a list, where zeros count.
func (c *coder) element(num fieldNumber, p []byte, what string) {
	if !c.reading {
		c.b = putMessage(c.b, num, p)
		return
	}
	v, ok := c.raw(num)
	if ok && len(v) != len(p) {
		c.fail(what + " has another length")
		return
	}
	copy(p, v)
	c.next()
}

// message is an embedded message, where an empty one counts.
func (c *coder) message(num fieldNumber, m message) {
	if !c.reading {
		c.b = protowire.AppendTag(c.b, num, protowire.BytesType)
		at := len(c.b)
		m.fields(c)
		c.b = putLength(c.b, at)
		return
	}
	if v, ok := c.raw(num); ok {
		rest := c.b
		c.b = v
		if c.read(m); c.err == nil {
			c.b = rest
			c.next()
		}
	}
}

// each calls f for each of n elements of a repeated field, or, reading, for each
// that is next, with the numbers from n on. An optional message is a field that is
// repeated up to once.
//
//go:noinline
func (c *coder) each(num fieldNumber, n int, f func(i int)) {
	if c.reading {
		for ; c.num == num; n++ {
			f(n)
		}
		return
	}
	for i := range n {
		f(i)
	}
}

// putLength puts the length of what follows at before it.
func putLength(b []byte, at int) []byte {
	n := len(b) - at
	size := protowire.SizeVarint(uint64(n))
	b = append(b, make([]byte, size)...)
	copy(b[at+size:], b[at:at+n])
	protowire.AppendVarint(b[at:at], uint64(n))
	return b
}

func present(is bool) int {
	if is {
		return 1
	}
	return 0
}
