package seal

import (
	"google.golang.org/protobuf/encoding/protowire"

	"heddle.dev/heddle/internal/errcode"
)

type fieldNumber = protowire.Number

// message is a canonical message. fields calls a method of the coder for each field,
// in ascending order of numbers.
type message interface{ fields(*coder) }

// coder writes a canonical message, or reads one. Since it reads a field only where
// that field is next, and leaves nothing over, what it reads has its fields in
// order, none of them twice and none that is unknown.
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

// hashes is a list of fixed size elements, where zeros count as well.
func hashes[T ~[16]byte | ~[32]byte](c *coder, num fieldNumber, p *[]T, limit int) {
	if !c.reading {
		for i := range *p {
			c.put(num, slice(&(*p)[i]))
		}
		return
	}
	for c.next(num, protowire.BytesType) {
		var v T
		c.fill(slice(&v))
		if *p = append(*p, v); len(*p) > limit {
			c.fail("a list is too long")
		}
	}
}

func slice[T ~[16]byte | ~[32]byte](p *T) []byte {
	switch p := any(p).(type) {
	case *ID:
		return p[:]
	case *Hash:
		return p[:]
	}
	panic("seal: a list of another type")
}

// messages is a list of messages; an optional one is a list of at most one.
func messages[T any, P interface {
	*T
	message
}](c *coder, num fieldNumber, p *[]T, limit int) {
	if !c.reading {
		for i := range *p {
			c.put(num, marshal(P(&(*p)[i])))
		}
		return
	}
	for c.next(num, protowire.BytesType) {
		inner := coder{reading: true, b: c.raw()}
		var v T
		if inner.read(P(&v)); inner.bad != "" {
			c.fail(inner.bad)
		}
		if *p = append(*p, v); len(*p) > limit {
			c.fail("a list is too long")
		}
	}
}

// optional is a message that may be absent.
func optional[T any, P interface {
	*T
	message
}](c *coder, num fieldNumber, p **T) {
	var list []T
	if *p != nil {
		list = []T{**p}
	}
	if messages[T, P](c, num, &list, 1); c.reading && len(list) > 0 {
		*p = &list[0]
	}
}

// demand fails where a field that must be there is not.
func (c *coder) demand(is bool, what string) {
	if c.reading && !is {
		c.fail("there is no " + what)
	}
}

func zero(p []byte) bool {
	for _, v := range p {
		if v != 0 {
			return false
		}
	}
	return true
}
