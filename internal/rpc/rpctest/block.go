package rpctest

import (
	"math"
	"unicode/utf8"

	"heddle.dev/heddle/internal/rpc"
	"heddle.dev/heddle/internal/value"
)

// The forms of columns, as package rpc documents them.
const (
	formNull, formInt32, formFloat, formInt64, formText, formBlob, formMixed = 0, 1, 2, 3, 4, 5, 6
	formNulls                                                                = 0x80
)

// block decodes a rows block into values. A float64 that is whole cannot be
// told from an INTEGER here, no more than in JavaScript: form 2 gives float64.
func block(r *rpc.Reader) (columns []string, rows [][]rpc.Value) {
	if r.Bool() {
		columns = r.Strs()
		if columns == nil {
			columns = []string{}
		}
	}
	n := int(r.U16())
	if columns != nil && n != len(columns) {
		r.Fail("%d columns have %d names", n, len(columns))
	}
	count, textBytes, blobBytes := int(r.U32()), int(r.U32()), int(r.U32())
	if r.Err() != nil || count > rpc.MaxRows || (n == 0 && count > 0) {
		r.Fail("a block of %d rows of %d columns", count, n)
		return columns, nil
	}
	cells := make([]cells, n)
	for i := range cells {
		cells[i] = column(r, count)
	}
	text, blob := r.Take(textBytes), r.Take(blobBytes)
	if r.Err() != nil {
		return columns, nil
	}
	if !utf8.Valid(text) {
		r.Fail("a block's text is not UTF-8")
		return columns, nil
	}
	rows = make([][]rpc.Value, count)
	flat := make([]rpc.Value, count*n)
	for i := range rows {
		rows[i] = flat[i*n : (i+1)*n : (i+1)*n]
	}
	for i, c := range cells {
		for row, tag := range c.tags {
			var v rpc.Value
			switch tag {
			case value.Int:
				v = int64(c.words[row])
			case value.Float:
				v = math.Float64frombits(c.words[row])
			case value.Text:
				size := unitsPrefix(text, c.words[row])
				if size < 0 {
					r.Fail("a text of %d code units where there are fewer", c.words[row])
					return columns, nil
				}
				v, text = string(text[:size]), text[size:]
			case value.Blob:
				if c.words[row] > uint64(len(blob)) {
					r.Fail("a blob of %d bytes where %d are left", c.words[row], len(blob))
					return columns, nil
				}
				v, blob = blob[:c.words[row]:c.words[row]], blob[c.words[row]:]
			}
			rows[row][i] = v
		}
	}
	if len(text) > 0 || len(blob) > 0 {
		r.Fail("%d bytes of text and %d of blobs belong to no row", len(text), len(blob))
	}
	return columns, rows
}

// cells are one column's values, their tags and words as a Packer holds them.
type cells struct {
	tags  []byte
	words []uint64
}

func column(r *rpc.Reader, count int) cells {
	form := r.U8()
	r.Pad()
	c := cells{tags: make([]byte, count), words: make([]uint64, count)}
	var nulls []byte
	if form&formNulls != 0 {
		if form &^= formNulls; form == formNull || form == formMixed {
			r.Fail("a column has form %d", form|formNulls)
			return c
		}
		nulls = r.Take((count + 7) / 8)
		r.Pad()
	}
	var tag byte
	switch form {
	case formNull:
		return c
	case formInt32:
		tag = value.Int
	case formFloat:
		tag = value.Float
	case formInt64:
		tag = value.Int
	case formText:
		tag = value.Text
	case formBlob:
		tag = value.Blob
	case formMixed:
		copy(c.tags, r.Take(count))
		r.Pad()
	default:
		r.Fail("a column has form %d", form)
		return c
	}
	for row := range count {
		if form != formMixed {
			c.tags[row] = tag
		}
		switch form {
		case formInt32:
			c.words[row] = uint64(int64(int32(r.U32())))
		case formText, formBlob:
			c.words[row] = uint64(r.U32())
		default:
			c.words[row] = r.U64()
		}
		if nulls != nil && nulls[row/8]&(1<<(row%8)) != 0 {
			c.tags[row] = value.Null
		}
		if t := c.tags[row]; t > value.Blob {
			r.Fail("no value has tag %d", t)
		} else if form == formMixed && t >= value.Text && c.words[row] > math.MaxUint32 {
			r.Fail("a length of %d", c.words[row])
		}
		if r.Err() != nil {
			return c
		}
	}
	return c
}

// unitsPrefix is how many bytes of valid UTF-8 hold n UTF-16 code units, -1 if
// no number of them does.
func unitsPrefix(text []byte, n uint64) int {
	at := 0
	for n > 0 {
		if at >= len(text) {
			return -1
		}
		_, size := utf8.DecodeRune(text[at:])
		at += size
		if n--; size == 4 {
			if n == 0 {
				return -1
			}
			n--
		}
	}
	return at
}
