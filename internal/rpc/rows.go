package rpc

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/internal/value"
)

// The bounds of a rows block, and of the first of a reply: small, so that a
// page begins to decode while the rest is still being read.
const (
	MaxRows   = 4096
	MaxBytes  = 256 << 10
	firstRows = 512
)

// The forms of a column in a block.
const (
	formNull  = 0
	formInt32 = 1
	formFloat = 2
	formInt64 = 3
	formText  = 4
	formBlob  = 5
	formMixed = 6
	formNulls = 0x80
)

// safeInteger is the largest n for which every integer up to n is a float64.
const safeInteger = 1 << 53

// Packer gathers rows into blocks. Its memory is reused from block to block;
// the zero Packer is ready. It is not safe for concurrent use.
type Packer struct {
	names  []string
	header bool // the next block carries the columns
	limit  int  // rows of the next block
	most   int  // rows of those after it
	rows   int
	size   int
	cols   []column
}

// column is a column of the block that is being gathered.
type column struct {
	tags  []byte
	words []uint64 // the int64, the float64's bits, or the length
	text  []byte
	blob  []byte
	seen  uint8 // 1<<tag for each tag
	big   bool  // an INTEGER that no float64 is
	wide  bool  // an INTEGER that no int32 is
}

// Begin starts a result with these columns; the first block carries them.
func (p *Packer) Begin(columns []string) {
	p.names = columns
	p.header = true
	p.limit, p.most = firstRows, MaxRows
	if cap(p.cols) < len(columns) {
		p.cols = append(p.cols[:cap(p.cols)], make([]column, len(columns)-cap(p.cols))...)
	}
	p.cols = p.cols[:len(columns)]
	p.reset()
}

// Limit bounds the rows of each block of the result that has begun.
func (p *Packer) Limit(rows int) {
	p.most = rows
	p.limit = min(p.limit, rows)
}

// BeginBare starts a result of n columns whose blocks carry no names.
func (p *Packer) BeginBare(n int) {
	p.Begin(make([]string, n))
	p.header = false
}

func (p *Packer) reset() {
	p.rows, p.size = 0, 0
	for i := range p.cols {
		c := &p.cols[i]
		*c = column{tags: c.tags[:0], words: c.words[:0], text: c.text[:0], blob: c.blob[:0]}
	}
}

// BareBlock appends what stands before the number of columns in a block that
// carries no names: for packers inside the engine.
func BareBlock(message []byte) []byte { return append(message, 0) }

// Full is true when the block should be appended before another row comes.
func (p *Packer) Full() bool { return p.rows >= p.limit || p.size >= MaxBytes }

// Rows is how many rows wait.
func (p *Packer) Rows() int { return p.rows }

// Row takes the row that stmt stands on. No value is allocated.
func (p *Packer) Row(stmt *sqlite3.Stmt) {
	for i := range p.cols {
		c := &p.cols[i]
		switch stmt.ColumnType(i) {
		case sqlite3.INTEGER:
			c.integer(stmt.ColumnInt64(i))
		case sqlite3.FLOAT:
			c.put(value.Float, math.Float64bits(stmt.ColumnFloat(i)))
		case sqlite3.TEXT:
			p.size += c.str(stmt.ColumnRawText(i))
		case sqlite3.BLOB:
			p.size += c.bytes(stmt.ColumnRawBlob(i))
		default:
			c.put(value.Null, 0)
		}
	}
	p.rows++
	p.size += 9 * len(p.cols)
}

// Values takes a row of values, one for each column.
func (p *Packer) Values(row []Value) {
	for i := range p.cols {
		c := &p.cols[i]
		switch v := row[i].(type) {
		case nil:
			c.put(value.Null, 0)
		case int64:
			c.integer(v)
		case float64:
			c.put(value.Float, math.Float64bits(v))
		case string:
			p.size += c.str([]byte(v))
		case []byte:
			p.size += c.bytes(v)
		default:
			panic(fmt.Sprintf("rpc: %T is no SQLite value", v))
		}
	}
	p.rows++
	p.size += 9 * len(p.cols)
}

func (c *column) put(tag byte, word uint64) {
	c.tags = append(c.tags, tag)
	c.words = append(c.words, word)
	c.seen |= 1 << tag
}

func (c *column) integer(v int64) {
	c.put(value.Int, uint64(v))
	if v != int64(int32(v)) {
		c.wide = true
		c.big = c.big || v > safeInteger || v < -safeInteger
	}
}

func (c *column) str(v []byte) (size int) {
	from := len(c.text)
	var n int
	c.text, n = appendText(c.text, v)
	c.put(value.Text, uint64(n))
	return len(c.text) - from
}

func (c *column) bytes(v []byte) (size int) {
	c.blob = append(c.blob, v...)
	c.put(value.Blob, uint64(len(v)))
	return len(v)
}

// form chooses how the column travels.
func (c *column) form() byte {
	nulls := byte(0)
	if c.seen&(1<<value.Null) != 0 {
		nulls = formNulls
	}
	switch c.seen &^ (1 << value.Null) {
	case 0:
		return formNull
	case 1 << value.Int:
		switch {
		case !c.wide:
			return formInt32 | nulls
		case !c.big:
			return formFloat | nulls
		default:
			return formInt64 | nulls
		}
	case 1 << value.Float:
		return formFloat | nulls
	case 1<<value.Float | 1<<value.Int:
		if !c.big {
			return formFloat | nulls
		}
	case 1 << value.Text:
		return formText | nulls
	case 1 << value.Blob:
		return formBlob | nulls
	}
	return formMixed
}

// AppendTo appends the block to message and begins the next one. The padding
// counts from the start of message.
func (p *Packer) AppendTo(message []byte) []byte {
	textBytes, blobBytes := 0, 0
	for i := range p.cols {
		textBytes += len(p.cols[i].text)
		blobBytes += len(p.cols[i].blob)
	}
	w := Writer{b: slices.Grow(message, p.size+32*len(p.cols)+p.rows*len(p.cols)/8+64)}
	w.Bool(p.header)
	if p.header {
		w.Strs(p.names)
	}
	w.U16(uint16(len(p.cols)))
	w.U32(uint32(p.rows))
	w.U32(uint32(textBytes))
	w.U32(uint32(blobBytes))
	for i := range p.cols {
		p.cols[i].appendTo(&w)
	}
	for i := range p.cols {
		w.b = append(w.b, p.cols[i].text...)
	}
	for i := range p.cols {
		w.b = append(w.b, p.cols[i].blob...)
	}
	p.header = false
	p.limit = p.most
	p.reset()
	return w.b
}

func (c *column) appendTo(w *Writer) {
	form := c.form()
	w.U8(form)
	w.pad()
	if form&formNulls != 0 {
		from := len(w.b)
		w.b = append(w.b, make([]byte, (len(c.tags)+7)/8)...)
		for row, tag := range c.tags {
			if tag == value.Null {
				w.b[from+row/8] |= 1 << (row % 8)
			}
		}
		w.pad()
	}
	switch form &^ formNulls {
	case formInt32, formText, formBlob:
		for _, v := range c.words {
			w.b = binary.LittleEndian.AppendUint32(w.b, uint32(v))
		}
	case formInt64:
		for _, v := range c.words {
			w.b = binary.LittleEndian.AppendUint64(w.b, v)
		}
	case formFloat:
		for row, v := range c.words {
			if c.tags[row] == value.Int {
				v = math.Float64bits(float64(int64(v)))
			}
			w.b = binary.LittleEndian.AppendUint64(w.b, v)
		}
	case formMixed:
		w.b = append(w.b, c.tags...)
		w.pad()
		for _, v := range c.words {
			w.b = binary.LittleEndian.AppendUint64(w.b, v)
		}
	}
}
