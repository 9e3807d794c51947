package rpc

import (
	"errors"
	"unsafe"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/value"
)

// The types of package value that messages are made of. A decoded []byte
// aliases its message.
type (
	Value  = value.Value
	Params = value.Params
	Result = value.Result
	Key    = value.Key
	Update = value.Update
	Run    = value.Run
)

// Stmt is a statement with its parameters.
type Stmt struct {
	SQL    string
	Params Params
}

// WriteID names one write of the tab. Counter is 0 for a read. The tab knows the
// outcome of every write up to Ack.
type WriteID struct{ Counter, Ack uint64 }

func (w *Writer) Value(v Value) {
	if text, ok := v.(string); ok {
		w.U8(value.Text)
		w.Str(text)
		return
	}
	w.b = value.Append(w.b, v)
}

func (w *Writer) Values(list []Value) { WriteList(w, list, (*Writer).Value) }

func (r *Reader) Value() Value {
	switch tag := r.U8(); tag {
	case value.Null:
		return nil
	case value.Int:
		return r.I64()
	case value.Float:
		return r.F64()
	case value.Text:
		if r.alias {
			p := r.Bytes()
			return unsafe.String(unsafe.SliceData(p), len(p))
		}
		return r.Str()
	case value.Blob:
		return r.Bytes()
	default:
		r.Fail("no value has tag %d", tag)
		return nil
	}
}

func (r *Reader) Values() []Value { return ReadList(r, 1, (*Reader).Value) }

const (
	paramsNone       = 0
	paramsPositional = 1
	paramsNamed      = 2
)

func (r *Reader) params() Params {
	switch kind := r.U8(); kind {
	case paramsNone:
		return Params{}
	case paramsPositional:
		p := Params{Positional: r.Values()}
		if p.Positional == nil {
			p.Positional = []Value{}
		}
		return p
	case paramsNamed:
		n := r.Count(5)
		named := make(map[string]Value, n)
		for range n {
			name := r.Str()
			if _, twice := named[name]; twice {
				r.Fail("parameter %q is there twice", name)
			}
			named[name] = r.Value()
		}
		return Params{Named: named}
	default:
		r.Fail("no parameters have kind %d", kind)
		return Params{}
	}
}

func (r *Reader) Stmt() Stmt { return Stmt{SQL: r.Str(), Params: r.params()} }

func (r *Reader) Stmts() []Stmt { return ReadList(r, 5, (*Reader).Stmt) }

func (w *Writer) Result(v Result) { w.I64(v.Changes); w.I64(v.LastInsertRowID) }

func (w *Writer) Results(list []Result) { WriteList(w, list, (*Writer).Result) }

func readResult(r *Reader) Result { return Result{Changes: r.I64(), LastInsertRowID: r.I64()} }

// Fault writes err as code, message, op and sql; nil as four empty strings.
func (w *Writer) Fault(err error) {
	if err == nil {
		err = &errcode.Error{}
	}
	var e *errcode.Error
	if !errors.As(err, &e) {
		e = &errcode.Error{Code: errcode.Of(err), Err: err}
	}
	w.Str(e.Code)
	if e.Code == "" {
		w.Str("")
	} else {
		w.Str(e.Message())
	}
	w.Str(e.Op)
	w.Str(e.SQL)
}

// Fault reads an error, nil if its code is empty.
func (r *Reader) Fault() error {
	e := &errcode.Error{Code: r.Str(), Msg: r.Str(), Op: r.Str(), SQL: r.Str()}
	if e.Code == "" {
		return nil
	}
	return e
}
