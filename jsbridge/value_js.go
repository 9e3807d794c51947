package jsbridge

import (
	"errors"
	"syscall/js"

	"github.com/hack-pad/safejs"
)

// text returns v as a string: "" for undefined, null and what cannot be read.
func text(v safejs.Value) string {
	if v.Type() != safejs.TypeString {
		return ""
	}
	s, _ := v.String()
	return s
}

// member returns the member of v as a string, "" if there is none.
func member(v safejs.Value, name string) string {
	m, err := v.Get(name)
	if err != nil {
		return ""
	}
	return text(m)
}

// errorOf makes an *Error of a value that was thrown or rejected with.
func errorOf(v safejs.Value) *Error {
	switch v.Type() {
	case safejs.TypeObject, safejs.TypeFunction:
		return &Error{Name: member(v, "name"), Message: member(v, "message"), Code: member(v, "code")}
	case safejs.TypeString:
		return &Error{Message: text(v)}
	default:
		return &Error{Message: "a " + v.Type().String() + " was thrown"}
	}
}

// thrown turns an error of safejs into an *Error if JavaScript threw it.
func thrown(err error) error {
	if err == nil {
		return nil
	}
	var thrown js.Error
	if errors.As(err, &thrown) {
		return errorOf(safejs.Safe(thrown.Value))
	}
	return err
}

// arrays is the class Uint8Array. Looking a name up costs about as much as a
// call, and messages pass here one by one.
var arrays = func() safejs.Value {
	class, err := safejs.Global().Get("Uint8Array")
	if err != nil {
		panic(err) // there is no JavaScript without it
	}
	return class
}()

// bytesOf copies a Uint8Array or ArrayBuffer into Go memory.
func bytesOf(v safejs.Value) ([]byte, error) {
	if is, err := v.InstanceOf(arrays); err != nil || !is {
		if v.Type() != safejs.TypeObject {
			return nil, &Error{Name: "TypeError", Message: "a " + v.Type().String() + " is no bytes"}
		}
		if v, err = arrays.New(v); err != nil {
			return nil, thrown(err)
		}
	}
	n, err := v.Length()
	if err != nil {
		return nil, thrown(err)
	}
	p := make([]byte, n)
	if _, err := safejs.CopyBytesToGo(p, v); err != nil {
		return nil, thrown(err)
	}
	return p, nil
}

// uint8Array copies p into a new Uint8Array that fills its buffer wholly.
func uint8Array(p []byte) (safejs.Value, error) {
	u8, err := arrays.New(len(p))
	if err != nil {
		return u8, thrown(err)
	}
	_, err = safejs.CopyBytesToJS(u8, p)
	return u8, thrown(err)
}

// construct calls `new name(args...)` for a global class.
func construct(name string, args ...any) (safejs.Value, error) {
	class, err := safejs.Global().Get(name)
	if err != nil {
		return class, thrown(err)
	}
	if class.Type() != safejs.TypeFunction {
		return class, &Error{Name: "ReferenceError", Message: name + " is not there"}
	}
	v, err := class.New(args...)
	return v, thrown(err)
}

// callback makes a JavaScript function of fn. A panic in fn is swallowed at this
// wall and told to onPanic. The caller releases it.
func callback(fn func(args []safejs.Value)) (safejs.Func, error) {
	f, err := safejs.FuncOf(func(_ safejs.Value, args []safejs.Value) any {
		defer Recovered("callback")
		fn(args)
		return nil
	})
	return f, thrown(err)
}

// Recovered, deferred, ends a panic at a border and writes it to the console: a defect of
// Heddle, yet one lost event is better than a dead engine.
func Recovered(where string) {
	if r := recover(); r != nil {
		console, err := safejs.Global().Get("console")
		if err != nil {
			return
		}
		message := "unknown panic"
		switch r := r.(type) {
		case error:
			message = r.Error()
		case string:
			message = r
		}
		_, _ = console.Call("error", "heddle: panic in "+where+": "+message)
	}
}

// listen adds an event listener and returns what removes and releases it.
func listen(target safejs.Value, event string, fn func(event safejs.Value)) (stop func(), err error) {
	f, err := callback(func(args []safejs.Value) {
		if len(args) > 0 {
			fn(args[0])
		}
	})
	if err != nil {
		return nil, err
	}
	if _, err := target.Call("addEventListener", event, f.Value()); err != nil {
		f.Release()
		return nil, thrown(err)
	}
	return func() {
		_, _ = target.Call("removeEventListener", event, f.Value())
		f.Release()
	}, nil
}
