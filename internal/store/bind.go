package store

import (
	"fmt"
	"math"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/value"
)

const bindOp = "store: bind"

func badCount(want, got int) error {
	return errcode.New(errcode.BadParam, bindOp, fmt.Sprintf("the statement takes %d parameters, %d given", want, got))
}

// bindNamed binds by name. A key of values may carry its prefix or not.
func (s *stmt) bindNamed(values map[string]Value) error {
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
		if err := s.bindValue(i+1, v); err != nil {
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

func (s *stmt) hasName(key string) bool {
	for _, name := range s.names {
		if name == key || name[1:] == key {
			return true
		}
	}
	return false
}

func (s *stmt) bindValue(i int, given any) error {
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
