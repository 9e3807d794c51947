package store

import (
	"encoding/binary"
	"math"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/value"
)

// Fill holds rows of parameters for a statement of Heddle's own, in the page
// encoding of package value, which the engine reads.
type Fill struct {
	buf []byte
	at  int // where the first row that has not run begins
	n   int // rows that have not run
}

// Null, Int, Float, Text and Blob append the next value of a row.
func (f *Fill) Null()           { f.buf = append(f.buf, value.Null) }
func (f *Fill) Int(v int64)     { f.buf = value.AppendInt(f.buf, v) }
func (f *Fill) Float(v float64) { f.buf = value.AppendFloat(f.buf, v) }
func (f *Fill) Text(v []byte)   { f.buf = value.AppendText(f.buf, v) }
func (f *Fill) Blob(v []byte)   { f.buf = value.AppendBlob(f.buf, v) }

// End ends a row.
func (f *Fill) End() { f.n++ }

// Run runs stmt, inside [Tx.Inside], for the rows that were ended, and forgets
// them. The engine does so many in a call, if it can. After an error done rows
// have run, the next one has failed, and those that follow it are kept.
func (f *Fill) Run(tx *Tx, stmt *sqlite3.Stmt) (done int, err error) {
	columns := stmt.BindCount()
	for f.n > 0 {
		if run := tx.db.opts.Engine.RunRows; run != nil {
			if did, code, ok := run(stmt, f.buf[f.at:], columns, f.n); ok {
				f.at, f.n, done = f.at+did.Bytes, f.n-did.Rows, done+did.Rows
				if code > 0 {
					f.skip(columns)
					if err := stmt.Reset(); err != nil {
						return done, err
					}
					return done, errcode.New(errcode.Internal, "store: fill", "the engine reports an error that it does not know")
				}
				if f.n == 0 {
					break
				}
			}
		}
		row := f.skip(columns)
		for i := 1; i <= columns; i++ {
			if row, err = bindEncoded(stmt, i, row); err != nil {
				return done, err
			}
		}
		if err := stmt.Exec(); err != nil {
			return done, err
		}
		done++
	}
	f.buf, f.at = f.buf[:0], 0
	return done, nil
}

// skip takes the first row out.
func (f *Fill) skip(columns int) (row []byte) {
	row = f.buf[f.at:]
	rest := row
	for range columns {
		_, _, rest, _ = value.Cut(rest)
	}
	f.at = len(f.buf) - len(rest)
	f.n--
	return row
}

// bindEncoded binds the first value of b, which this package has encoded.
func bindEncoded(stmt *sqlite3.Stmt, i int, b []byte) (rest []byte, err error) {
	tag, v, rest, _ := value.Cut(b)
	switch tag {
	case value.Null:
		err = stmt.BindNull(i)
	case value.Int:
		err = stmt.BindInt64(i, int64(binary.LittleEndian.Uint64(v)))
	case value.Float:
		err = stmt.BindFloat(i, math.Float64frombits(binary.LittleEndian.Uint64(v)))
	case value.Text:
		err = stmt.BindRawText(i, v)
	default:
		if len(v) == 0 {
			return rest, stmt.BindZeroBlob(i, 0)
		}
		err = stmt.BindBlob(i, v)
	}
	return rest, err
}
