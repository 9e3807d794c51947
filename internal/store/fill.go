package store

import (
	"encoding/binary"
	"math"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/internal/errcode"
)

// Fill holds rows of parameters for a statement of Heddle's own, in the encoding
// of package rpc, which the engine reads.
type Fill struct {
	buf []byte
	at  int // where the first row that has not run begins
	n   int // rows that have not run
}

// The tags of values, as package rpc has them.
const (
	fillNull  = 0
	fillInt   = 1
	fillFloat = 2
	fillText  = 3
	fillBlob  = 4
)

// Null, Int, Float, Text and Blob append the next value of a row.
func (f *Fill) Null() { f.buf = append(f.buf, fillNull) }

func (f *Fill) Int(v int64) {
	f.buf = binary.LittleEndian.AppendUint64(append(f.buf, fillInt), uint64(v))
}

func (f *Fill) Float(v float64) {
	f.buf = binary.LittleEndian.AppendUint64(append(f.buf, fillFloat), math.Float64bits(v))
}

func (f *Fill) Text(v []byte) { f.bytes(fillText, v) }
func (f *Fill) Blob(v []byte) { f.bytes(fillBlob, v) }

func (f *Fill) bytes(tag byte, v []byte) {
	f.buf = binary.LittleEndian.AppendUint32(append(f.buf, tag), uint32(len(v)))
	f.buf = append(f.buf, v...)
}

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
			if row, err = bindFilled(stmt, i, row); err != nil {
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
	for range columns {
		f.at += filledSize(f.buf[f.at:])
	}
	f.n--
	return row
}

func filledSize(b []byte) int {
	switch b[0] {
	case fillNull:
		return 1
	case fillInt, fillFloat:
		return 9
	}
	return 5 + int(binary.LittleEndian.Uint32(b[1:]))
}

func bindFilled(stmt *sqlite3.Stmt, i int, b []byte) (rest []byte, err error) {
	switch tag := b[0]; tag {
	case fillNull:
		return b[1:], stmt.BindNull(i)
	case fillInt:
		return b[9:], stmt.BindInt64(i, int64(binary.LittleEndian.Uint64(b[1:])))
	case fillFloat:
		return b[9:], stmt.BindFloat(i, math.Float64frombits(binary.LittleEndian.Uint64(b[1:])))
	default:
		end := 5 + int(binary.LittleEndian.Uint32(b[1:]))
		switch v := b[5:end]; {
		case tag == fillText:
			err = stmt.BindRawText(i, v)
		case len(v) == 0:
			err = stmt.BindZeroBlob(i, 0)
		default:
			err = stmt.BindBlob(i, v)
		}
		return b[end:], err
	}
}
