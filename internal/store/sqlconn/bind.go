package sqlconn

import (
	"fmt"
	"math"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/value"
)

const bindOp = "store: bind"

// Bind sets every parameter of s. Too many, too few or unknown ones are errors.
func (s *Stmt) Bind(p value.Params) error {
	switch {
	case p.Named != nil && len(p.Positional) > 0:
		return errcode.New(errcode.BadParam, bindOp, "parameters are given by position and by name; use one")
	case p.Named != nil:
		return s.bindNamed(p.Named)
	case len(p.Positional) != len(s.names):
		return BadCount(len(s.names), len(p.Positional))
	}
	for i, v := range p.Positional {
		if err := BindValue(s.Stmt, i+1, v); err != nil {
			return err
		}
	}
	return nil
}

// BadCount is the error for a number of parameters that is not the statement's.
func BadCount(want, got int) error {
	return errcode.New(errcode.BadParam, bindOp, fmt.Sprintf("the statement takes %d parameters, %d given", want, got))
}

// bindNamed binds by name. A key of values may carry its prefix or not.
func (s *Stmt) bindNamed(values map[string]value.Value) error {
	used := 0
	for i, name := range s.names {
		if name == "" {
			return errcode.New(errcode.BadParam, bindOp,
				fmt.Sprintf("parameter %d has no name, but the parameters are given by name", i+1))
		}
		v, ok := values[name]
		if !ok {
			v, ok = values[name[1:]]
		}
		if !ok {
			return errcode.New(errcode.BadParam, bindOp, "parameter "+name+" is not given")
		}
		if err := BindValue(s.Stmt, i+1, v); err != nil {
			return err
		}
		used++
	}
	if used == len(values) {
		return nil
	}
	for key := range values {
		if !s.hasName(key) {
			return errcode.New(errcode.BadParam, bindOp, "the statement has no parameter "+key)
		}
	}
	return nil
}

func (s *Stmt) hasName(key string) bool {
	for _, name := range s.names {
		if name == key || name[1:] == key {
			return true
		}
	}
	return false
}

// BindValue binds the i-th parameter, from 1 on.
func BindValue(s *sqlite3.Stmt, i int, given any) error {
	v, ok := value.Of(given)
	if !ok {
		return errcode.New(errcode.BadParam, bindOp, fmt.Sprintf("parameter %d is a %T, which SQLite has not", i, given))
	}
	switch v := v.(type) {
	case int64:
		return s.BindInt64(i, v)
	case float64:
		if math.IsNaN(v) {
			// SQLite would store NULL without a word.
			return errcode.New(errcode.BadParam, bindOp, fmt.Sprintf("parameter %d is NaN, which SQLite cannot store", i))
		}
		return s.BindFloat(i, v)
	case string:
		return s.BindText(i, v)
	case []byte:
		if len(v) == 0 {
			return s.BindZeroBlob(i, 0)
		}
		return s.BindBlob(i, v)
	}
	return s.BindNull(i)
}
