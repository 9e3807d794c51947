package rpc

import (
	"iter"
	"time"

	"heddle.dev/heddle/internal/value"
)

// MaxCredit bounds what one message adds to an iteration's credit.
const MaxCredit = 1 << 16

// UnknownSize is the size of an import whose end the page does not know yet.
const UnknownSize = 0

// Method says what a request asks for.
type Method uint8

// Lane says in which order the leader serves a request.
type Lane uint8

// The lanes.
const (
	LaneHello Lane = iota + 1 // the first request of a connection
	LaneTell                  // done at once, in order
	LaneRead                  // in the order of the tab's reads
	LaneWrite                 // in the order of the tab's writes
	LaneTx                    // in the order of the transaction that the request names
	LaneLoad                  // in the order of the load that the request names
	LaneSide                  // beside the others
)

// Lane is the lane that messages.spec declares. There is no method where it is 0.
func (m Method) Lane() Lane { return lanes[m] }

// Lane is the lane of the request: a read that names a write is one.
func (q *Request) Lane() Lane {
	lane := q.Method.Lane()
	if lane == LaneRead && q.Write.Counter != 0 {
		return LaneWrite
	}
	return lane
}

// DecodeRequest decodes a message of a page. The request aliases the message.
// On an error the request's ID is right if the message has one: the error can
// be replied to.
func DecodeRequest(message []byte) (Request, error) {
	r := Reader{b: message}
	q := Request{ID: r.U32(), Method: Method(r.U8())}
	r.U8() // flags
	q.Time = time.Duration(r.U32()) * time.Millisecond
	q.Write = WriteID{Counter: r.U64(), Ack: r.U64()}
	switch {
	case r.err != nil:
	case q.ID == 0:
		r.Fail("a request has id 0")
	case q.Method.Lane() == 0:
		r.Fail("no method has number %d: this tab's build is newer", q.Method)
	default:
		q.decode(&r)
	}
	return q, r.err
}

// BulkRows are the rows of one part of a bulk load, still encoded: the values
// one after another, row by row.
type BulkRows struct {
	Count   int
	Columns int
	Encoded []byte
}

// RowReader reads BulkRows one by one.
type RowReader struct {
	r    Reader
	row  []Value
	left int
}

// Reader returns a Reader of the rows.
func (rows BulkRows) Reader() *RowReader {
	return &RowReader{Reader{b: rows.Encoded, alias: true}, make([]Value, rows.Columns), rows.Count}
}

// Next returns the next row. The slice is the same each time; text and blobs
// alias the message.
func (r *RowReader) Next() (row []Value, ok bool) {
	if r.left == 0 {
		return nil, false
	}
	r.left--
	for i := range r.row {
		r.row[i] = r.r.Value()
	}
	return r.row, true
}

// Encoded returns the rows that are left as they lie in the message: their
// values one after another.
func (r *RowReader) Encoded() (rows []byte, columns, n int) {
	return r.r.b[r.r.at:], len(r.row), r.left
}

// Skip passes over the next n rows, which take that many bytes.
func (r *RowReader) Skip(n, bytes int) {
	r.left -= n
	r.r.at += bytes
}

// All yields the rows in order. The slice is the same each time; text and blobs
// alias the message.
func (rows BulkRows) All() iter.Seq[[]Value] {
	return func(yield func([]Value) bool) {
		for r := rows.Reader(); ; {
			row, ok := r.Next()
			if !ok || !yield(row) {
				return
			}
		}
	}
}

// Rows reads the rows of a part, and checks every value.
func (r *Reader) Rows() BulkRows {
	n, columns := r.U32(), r.U32()
	if columns == 0 || columns > 32767 || uint64(n)*uint64(columns) > uint64(len(r.b)-r.at) {
		r.Fail("%d rows of %d columns in %d bytes", n, columns, len(r.b)-r.at)
		return BulkRows{}
	}
	from := r.at
	for range uint64(n) * uint64(columns) {
		r.skipValue()
	}
	return BulkRows{Count: int(n), Columns: int(columns), Encoded: r.b[from:r.at]}
}

// skipValue checks a value as value does, and allocates nothing.
func (r *Reader) skipValue() {
	switch tag := r.U8(); tag {
	case value.Null:
	case value.Int, value.Float:
		r.Take(8)
	case value.Blob:
		r.Bytes()
	case value.Text:
		if p := r.Bytes(); !validUTF8(p) {
			r.Fail("a string is not UTF-8")
		}
	default:
		r.Fail("no value has tag %d", tag)
	}
}
