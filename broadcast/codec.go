package broadcast

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/store"
)

// Append encodes m after b. Text that is not valid UTF-8 is repaired.
func (m *Message) Append(b []byte) []byte {
	b = append(b, Version, byte(m.Kind))
	b = appendString(b, m.Leader)
	b = binary.LittleEndian.AppendUint64(b, m.Number)
	if m.Kind != KindCommit {
		return b
	}
	c := &m.Commit
	b = append(b, byte(c.Origin.Kind))
	b = appendString(b, c.Origin.Tab)
	b = append(b, flagByte(c.Schema))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(c.Tables)))
	for i := range c.Tables {
		b = appendTable(b, &c.Tables[i], len(b)+(MaxSize-len(b))/(len(c.Tables)-i))
	}
	return b
}

// appendTable encodes a table, without its keys if they would end past limit.
func appendTable(b []byte, t *store.TableCommit, limit int) []byte {
	b = appendString(b, t.Table)
	b = append(b, flagByte(t.HasInsertOrDelete))
	more := len(b)
	b = binary.LittleEndian.AppendUint32(b, uint32(t.More))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(t.Columns)))
	for _, name := range t.Columns {
		b = appendString(b, name)
	}
	start := len(b)
	for _, keys := range [][][]store.Value{t.Inserted, t.Updated, t.Deleted} {
		b = binary.LittleEndian.AppendUint32(b, uint32(len(keys)))
		for _, key := range keys {
			b = binary.LittleEndian.AppendUint32(b, uint32(len(key)))
			for _, v := range key {
				b = appendValue(b, v)
			}
		}
	}
	if len(b) > limit {
		left := t.More + len(t.Inserted) + len(t.Updated) + len(t.Deleted)
		binary.LittleEndian.PutUint32(b[more:], uint32(left))
		b = append(b[:start], make([]byte, 3*4)...)
	}
	return b
}

func flagByte(on bool) byte {
	if on {
		return 1
	}
	return 0
}

func appendString(b []byte, s string) []byte {
	s = strings.ToValidUTF8(s, "\uFFFD")
	return append(binary.LittleEndian.AppendUint32(b, uint32(len(s))), s...)
}

func appendValue(b []byte, v store.Value) []byte {
	switch v := v.(type) {
	case int64:
		return binary.LittleEndian.AppendUint64(append(b, 1), uint64(v))
	case float64:
		return binary.LittleEndian.AppendUint64(append(b, 2), math.Float64bits(v))
	case string:
		return appendString(append(b, 3), v)
	case []byte:
		b = binary.LittleEndian.AppendUint32(append(b, 4), uint32(len(v)))
		return append(b, v...)
	default:
		return append(b, 0)
	}
}

// Decode reads a message. It fails with HEDDLE_PROTOCOL if p is of another
// version or damaged. A kind that it does not know has its head alone.
func Decode(p []byte) (Message, error) {
	d := &decoder{p: p}
	var m Message
	if v := d.u8(); v != Version && d.err == nil {
		return m, errcode.New(errcode.Protocol, decodeOp, fmt.Sprintf("a message of version %d", v))
	}
	m.Kind = Kind(d.u8())
	m.Leader = d.str()
	m.Number = d.u64()
	if m.Kind == KindCommit && d.err == nil {
		c := &m.Commit
		c.Number = m.Number
		c.Origin.Kind = store.OriginKind(d.u8())
		c.Origin.Tab = d.str()
		c.Schema = d.u8()&1 != 0
		for range d.count(18) {
			c.Tables = append(c.Tables, d.table())
		}
	}
	return m, d.err
}

const decodeOp = "broadcast: decode"

// decoder reads from p and remembers the first error.
type decoder struct {
	p   []byte
	err error
}

func (d *decoder) take(n int) []byte {
	if d.err != nil || n > len(d.p) {
		if d.err == nil {
			d.err = errcode.New(errcode.Protocol, decodeOp, "the message is cut off")
		}
		return nil
	}
	p := d.p[:n]
	d.p = d.p[n:]
	return p
}

func (d *decoder) u8() byte {
	if p := d.take(1); p != nil {
		return p[0]
	}
	return 0
}

func (d *decoder) u32() uint32 {
	if p := d.take(4); p != nil {
		return binary.LittleEndian.Uint32(p)
	}
	return 0
}

func (d *decoder) u64() uint64 {
	if p := d.take(8); p != nil {
		return binary.LittleEndian.Uint64(p)
	}
	return 0
}

// count reads a count of things of at least size bytes, so that a damaged one
// cannot ask for more than the message holds.
func (d *decoder) count(size int) int {
	n := d.u32()
	if d.err == nil && uint64(n)*uint64(size) > uint64(len(d.p)) {
		d.err = errcode.New(errcode.Protocol, decodeOp, "a count is larger than the message")
	}
	if d.err != nil {
		return 0
	}
	return int(n)
}

func (d *decoder) bytes() []byte { return d.take(d.count(1)) }
func (d *decoder) str() string   { return string(d.bytes()) }

func (d *decoder) value() store.Value {
	switch tag := d.u8(); tag {
	case 0:
		return nil
	case 1:
		return int64(d.u64())
	case 2:
		return math.Float64frombits(d.u64())
	case 3:
		return d.str()
	case 4:
		return append([]byte{}, d.bytes()...)
	default:
		if d.err == nil {
			d.err = errcode.New(errcode.Protocol, decodeOp, fmt.Sprintf("no value has tag %d", tag))
		}
		return nil
	}
}

func (d *decoder) table() (t store.TableCommit) {
	t.Table = d.str()
	t.HasInsertOrDelete = d.u8()&1 != 0
	t.More = int(d.u32())
	for range d.count(4) {
		t.Columns = append(t.Columns, d.str())
	}
	for _, keys := range []*[][]store.Value{&t.Inserted, &t.Updated, &t.Deleted} {
		for range d.count(4) {
			var key []store.Value
			for range d.count(1) {
				key = append(key, d.value())
			}
			*keys = append(*keys, key)
		}
	}
	return t
}
