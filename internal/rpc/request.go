package rpc

import (
	"errors"
	"iter"
	"sort"
	"time"

	"heddle.dev/heddle/internal/errcode"
)

// MaxCredit bounds what one message adds to an iteration's credit.
const MaxCredit = 1 << 16

// Version is the version of this language, told in hello.
const Version = 1

// Method says what a request asks for.
type Method uint8

// The methods, as the package comment lists them.
const (
	MethodHello       Method = 1
	MethodPing        Method = 2
	MethodCancel      Method = 3
	MethodClose       Method = 4
	MethodOutcome     Method = 5
	MethodWithin      Method = 6 // only around another: Request.Time
	MethodExec        Method = 10
	MethodQuery       Method = 11
	MethodBatch       Method = 12
	MethodBulkBegin   Method = 13
	MethodBulkRows    Method = 14
	MethodBulkEnd     Method = 15
	MethodIterate     Method = 16
	MethodCredit      Method = 17
	MethodTxBegin     Method = 20
	MethodTxExec      Method = 21
	MethodTxQuery     Method = 22
	MethodTxBatch     Method = 23
	MethodTxCommit    Method = 24
	MethodTxRollback  Method = 25
	MethodLiveStart   Method = 30
	MethodLiveStop    Method = 31
	MethodAck         Method = 32
	MethodExport      Method = 40
	MethodImportBegin Method = 41
	MethodImportPart  Method = 42
	MethodImportEnd   Method = 43
	MethodExportFile  Method = 44
	MethodExportPart  Method = 45
	MethodExportEnd   Method = 46
	MethodSyncStatus  Method = 50
	MethodSyncNow     Method = 51
	MethodSyncPause   Method = 52
	MethodSyncResume  Method = 53
	MethodSyncDigest  Method = 54
	MethodToken       Method = 55

	MethodSyncPending  Method = 56
	MethodSyncRejected Method = 57
	MethodSyncRetry    Method = 58
	MethodSyncDiscard  Method = 59
	MethodSyncDangling Method = 60
	MethodSyncExport   Method = 61

	MethodSyncQuarantined Method = 62
	MethodSyncAccept      Method = 63

	MethodHealth Method = 70
)

// UnknownSize is the size of an import whose end the page does not know yet.
const UnknownSize = 1<<64 - 1

// Request is one request, decoded. Only the fields of its method are set.
type Request struct {
	ID     uint32
	Method Method
	Time   time.Duration // that it may take, in whole milliseconds; 0: without end

	Target uint32  // the transaction, load, iteration, live query or ask that it belongs to; what cancel ends
	Write  WriteID // outcome, exec, query, batch, bulkBegin, txBegin, importBegin
	Stmt   Stmt    // exec, query, iterate, tx…, liveStart; of bulkBegin the SQL alone
	Stmts  []Stmt  // batch, txBatch
	Rows   Rows    // bulkRows
	Bytes  []byte  // importPart; aliases the message
	Size   uint64  // importBegin: bytes in all, or UnknownSize; exportPart: from where on
	Tx     uint64  // syncRetry, syncDiscard: the transaction
	Limit  uint32  // syncDangling, syncQuarantined
	Full   bool    // health; syncPause: persist; syncAccept: upload
	Event  Event   // ack
	Block  int     // iterate: the most rows a chunk may have; 0 if it does not matter
	Credit uint32  // iterate, credit: how many more chunks may be sent
	Hello  Hello   // hello
	Token  string  // token
	Err    error   // token: why there is none
}

// Hello is a tab's introduction.
type Hello struct {
	Version    uint16
	Session    string
	Migrations uint32 // how many its app knows
	Token      bool   // whether it can be asked for a token
}

// Rows are the rows of one part of a bulk load, still encoded.
type Rows struct {
	Count   int
	Columns int
	body    []byte
}

// MakeRows encodes rows, each with the same number of values.
func MakeRows(columns int, rows [][]Value) Rows {
	var w writer
	for _, row := range rows {
		for _, v := range row[:columns] {
			w.value(v)
		}
	}
	return Rows{Count: len(rows), Columns: columns, body: w.b}
}

// RowReader reads Rows one by one.
type RowReader struct {
	r    reader
	row  []Value
	left int
}

// Reader returns a reader of the rows.
func (rows Rows) Reader() *RowReader {
	return &RowReader{reader{b: rows.body, alias: true}, make([]Value, rows.Columns), rows.Count}
}

// Next returns the next row. The slice is the same each time; text and blobs
// alias the message.
func (r *RowReader) Next() (row []Value, ok bool) {
	if r.left == 0 {
		return nil, false
	}
	r.left--
	for i := range r.row {
		r.row[i] = r.r.value()
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
func (rows Rows) All() iter.Seq[[]Value] {
	return func(yield func([]Value) bool) {
		for r := rows.Reader(); ; {
			row, ok := r.Next()
			if !ok || !yield(row) {
				return
			}
		}
	}
}

func (r *reader) rows() Rows {
	n, columns := r.u32(), r.u32()
	if columns == 0 || columns > 32767 || uint64(n)*uint64(columns) > uint64(len(r.b)-r.at) {
		r.fail("%d rows of %d columns in %d bytes", n, columns, len(r.b)-r.at)
		return Rows{}
	}
	from := r.at
	for range uint64(n) * uint64(columns) {
		r.skipValue()
	}
	return Rows{Count: int(n), Columns: int(columns), body: r.b[from:r.at]}
}

// skipValue checks a value as value does, and allocates nothing.
func (r *reader) skipValue() {
	switch tag := r.u8(); tag {
	case tagNull:
	case tagInt, tagFloat:
		r.take(8)
	case tagBlob:
		r.bytes()
	case tagText:
		if p := r.bytes(); !validUTF8(p) {
			r.fail("a string is not UTF-8")
		}
	default:
		r.fail("no value has tag %d", tag)
	}
}

// DecodeRequest decodes a message of a page. The request aliases the message.
// On an error the request's ID is right if the message has one: the error can
// be replied to.
func DecodeRequest(message []byte) (Request, error) {
	r := reader{b: message}
	q := Request{ID: r.u32(), Method: Method(r.u8())}
	if r.err == nil && q.ID == 0 {
		r.fail("a request has id 0")
	}
	if q.Method == MethodWithin {
		q.Time, q.Method = time.Duration(r.u32())*time.Millisecond, Method(r.u8())
		if r.err == nil && q.Time == 0 {
			r.fail("a limit of no time")
		}
	}
	switch q.Method {
	case MethodPing, MethodClose, MethodExport,
		MethodSyncStatus, MethodSyncNow, MethodSyncResume, MethodSyncDigest,
		MethodSyncPending, MethodSyncRejected, MethodSyncExport, MethodExportFile:
	case MethodHealth, MethodSyncPause, MethodSyncAccept:
		q.Full = r.flag()
	case MethodExportPart:
		q.Target, q.Size = r.u32(), r.u64()
	case MethodCancel, MethodBulkEnd, MethodTxCommit, MethodTxRollback, MethodLiveStop, MethodImportEnd, MethodExportEnd:
		q.Target = r.u32()
	case MethodOutcome, MethodTxBegin:
		q.Write = r.write()
	case MethodHello:
		q.Hello = Hello{Version: r.u16(), Session: r.str(), Migrations: r.u32(), Token: r.flag()}
	case MethodExec, MethodQuery:
		q.Write, q.Stmt = r.write(), r.stmt()
	case MethodBatch:
		q.Write, q.Stmts = r.write(), r.stmts()
	case MethodBulkBegin:
		q.Write, q.Stmt.SQL = r.write(), r.str()
	case MethodBulkRows:
		q.Target, q.Rows = r.u32(), r.rows()
	case MethodIterate:
		q.Stmt, q.Block, q.Credit = r.stmt(), int(min(r.u32(), MaxRows)), r.u32()
	case MethodCredit:
		q.Target, q.Credit = r.u32(), r.u32()
	case MethodTxExec, MethodTxQuery:
		q.Target, q.Stmt = r.u32(), r.stmt()
	case MethodTxBatch:
		q.Target, q.Stmts = r.u32(), r.stmts()
	case MethodLiveStart:
		q.Stmt = r.stmt()
	case MethodAck:
		q.Target, q.Event = r.u32(), Event(r.u8())
	case MethodImportBegin:
		q.Write, q.Size = r.write(), r.u64()
	case MethodImportPart:
		q.Target, q.Bytes = r.u32(), r.rest()
	case MethodToken:
		q.Target, q.Token, q.Err = r.u32(), r.str(), r.fault()
	case MethodSyncRetry, MethodSyncDiscard:
		q.Tx = r.u64()
	case MethodSyncDangling, MethodSyncQuarantined:
		q.Limit = r.u32()
	default:
		r.fail("no method has number %d: this tab's build is newer", q.Method)
	}
	return q, r.err
}

// EncodeRequest is DecodeRequest's inverse, for native clients and tests.
func EncodeRequest(q Request) []byte {
	var w writer
	w.u32(q.ID)
	if q.Time > 0 {
		w.u8(uint8(MethodWithin))
		w.u32(uint32(q.Time / time.Millisecond))
	}
	w.u8(uint8(q.Method))
	switch q.Method {
	case MethodCancel, MethodBulkEnd, MethodTxCommit, MethodTxRollback, MethodLiveStop, MethodImportEnd, MethodExportEnd:
		w.u32(q.Target)
	case MethodOutcome, MethodTxBegin:
		w.write(q.Write)
	case MethodHello:
		w.u16(q.Hello.Version)
		w.str(q.Hello.Session)
		w.u32(q.Hello.Migrations)
		w.flag(q.Hello.Token)
	case MethodExec, MethodQuery:
		w.write(q.Write)
		w.stmt(q.Stmt)
	case MethodBatch:
		w.write(q.Write)
		w.stmts(q.Stmts)
	case MethodBulkBegin:
		w.write(q.Write)
		w.str(q.Stmt.SQL)
	case MethodBulkRows:
		w.u32(q.Target)
		w.u32(uint32(q.Rows.Count))
		w.u32(uint32(q.Rows.Columns))
		w.b = append(w.b, q.Rows.body...)
	case MethodIterate:
		w.stmt(q.Stmt)
		w.u32(uint32(q.Block))
		w.u32(q.Credit)
	case MethodCredit:
		w.u32(q.Target)
		w.u32(q.Credit)
	case MethodTxExec, MethodTxQuery:
		w.u32(q.Target)
		w.stmt(q.Stmt)
	case MethodTxBatch:
		w.u32(q.Target)
		w.stmts(q.Stmts)
	case MethodLiveStart:
		w.stmt(q.Stmt)
	case MethodAck:
		w.u32(q.Target)
		w.u8(uint8(q.Event))
	case MethodImportBegin:
		w.write(q.Write)
		w.u64(q.Size)
	case MethodImportPart:
		w.u32(q.Target)
		w.b = append(w.b, q.Bytes...)
	case MethodToken:
		w.u32(q.Target)
		w.str(q.Token)
		w.fault(q.Err)
	case MethodSyncRetry, MethodSyncDiscard:
		w.u64(q.Tx)
	case MethodSyncDangling, MethodSyncQuarantined:
		w.u32(q.Limit)
	case MethodHealth, MethodSyncPause, MethodSyncAccept:
		w.flag(q.Full)
	case MethodExportPart:
		w.u32(q.Target)
		w.u64(q.Size)
	}
	return w.b
}

func asError(err error) *errcode.Error {
	var e *errcode.Error
	if errors.As(err, &e) {
		return e
	}
	return &errcode.Error{Code: errcode.Of(err), Err: err}
}

func sortedKeys(m map[string]Value) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
