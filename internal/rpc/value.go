package rpc

import (
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

const (
	tagNull  = value.Null
	tagInt   = value.Int
	tagFloat = value.Float
	tagText  = value.Text
	tagBlob  = value.Blob
)

// Stmt is a statement with its parameters.
type Stmt struct {
	SQL    string
	Params Params
}

// WriteID names one write of the tab that said hello. Counter is 0 for a mere
// read. Ack says that the tab knows the outcome of every write up to that one.
type WriteID struct{ Counter, Ack uint64 }

func (w *writer) value(v Value) {
	if text, ok := v.(string); ok {
		w.u8(value.Text)
		w.str(text)
		return
	}
	w.b = value.Append(w.b, v)
}

func (w *writer) values(list []Value) {
	w.u32(uint32(len(list)))
	for _, v := range list {
		w.value(v)
	}
}

func (r *reader) value() Value {
	switch tag := r.u8(); tag {
	case tagNull:
		return nil
	case tagInt:
		return r.i64()
	case tagFloat:
		return r.f64()
	case tagText:
		if r.alias {
			p := r.bytes()
			return unsafe.String(unsafe.SliceData(p), len(p))
		}
		return r.str()
	case tagBlob:
		return r.bytes()
	default:
		r.fail("no value has tag %d", tag)
		return nil
	}
}

func (r *reader) values() []Value {
	n := r.count(1)
	if n == 0 {
		return nil
	}
	list := make([]Value, 0, n)
	for range n {
		list = append(list, r.value())
	}
	return list
}

const (
	paramsNone       = 0
	paramsPositional = 1
	paramsNamed      = 2
)

func (w *writer) params(p Params, order []string) {
	switch {
	case p.Named != nil:
		w.u8(paramsNamed)
		w.u32(uint32(len(order)))
		for _, name := range order {
			w.str(name)
			w.value(p.Named[name])
		}
	case p.Positional != nil:
		w.u8(paramsPositional)
		w.values(p.Positional)
	default:
		w.u8(paramsNone)
	}
}

func (r *reader) params() Params {
	switch kind := r.u8(); kind {
	case paramsNone:
		return Params{}
	case paramsPositional:
		p := Params{Positional: r.values()}
		if p.Positional == nil {
			p.Positional = []Value{}
		}
		return p
	case paramsNamed:
		n := r.count(5)
		named := make(map[string]Value, n)
		for range n {
			name := r.str()
			if _, twice := named[name]; twice {
				r.fail("parameter %q is there twice", name)
			}
			named[name] = r.value()
		}
		return Params{Named: named}
	default:
		r.fail("no parameters have kind %d", kind)
		return Params{}
	}
}

func (w *writer) stmt(s Stmt) {
	w.str(s.SQL)
	w.params(s.Params, sortedKeys(s.Params.Named))
}

func (r *reader) stmt() Stmt { return Stmt{SQL: r.str(), Params: r.params()} }

func (w *writer) stmts(list []Stmt) {
	w.u32(uint32(len(list)))
	for _, s := range list {
		w.stmt(s)
	}
}

func (r *reader) stmts() []Stmt {
	n := r.count(5)
	list := make([]Stmt, 0, n)
	for range n {
		list = append(list, r.stmt())
	}
	return list
}

func (w *writer) write(id WriteID) { w.u64(id.Counter); w.u64(id.Ack) }

func (r *reader) write() WriteID { return WriteID{Counter: r.u64(), Ack: r.u64()} }

func (w *writer) result(v Result) { w.i64(v.Changes); w.i64(v.LastInsertRowID) }

func (r *reader) result() Result { return Result{Changes: r.i64(), LastInsertRowID: r.i64()} }

// fault writes err as code, message, op and sql; nil as four empty strings.
func (w *writer) fault(err error) {
	if err == nil {
		err = &errcode.Error{}
	}
	e := asError(err)
	w.str(e.Code)
	if e.Code == "" {
		w.str("")
	} else {
		w.str(e.Message())
	}
	w.str(e.Op)
	w.str(e.SQL)
}

// fault reads an error, nil if its code is empty.
func (r *reader) fault() error {
	e := &errcode.Error{Code: r.str(), Msg: r.str(), Op: r.str(), SQL: r.str()}
	if e.Code == "" {
		return nil
	}
	return e
}
