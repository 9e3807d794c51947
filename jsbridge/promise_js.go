package jsbridge

import (
	"context"

	"github.com/hack-pad/safejs"
)

// Await waits until promise settles or ctx ends. It blocks the goroutine, so it
// must not be called from a callback, nor while SQLite is entered. A rejection
// is an *Error; when ctx ends first the error is ctx's, and the promise's
// outcome is dropped.
func Await(ctx context.Context, promise safejs.Value) (safejs.Value, error) {
	type outcome struct {
		value safejs.Value
		err   error
	}
	settled := make(chan outcome, 1)
	var onOK, onFail safejs.Func
	release := func() { onOK.Release(); onFail.Release() }
	onOK, err := callback(func(args []safejs.Value) {
		defer release()
		o := outcome{value: safejs.Undefined()}
		if len(args) > 0 {
			o.value = args[0]
		}
		settled <- o
	})
	if err != nil {
		return safejs.Undefined(), err
	}
	onFail, err = callback(func(args []safejs.Value) {
		defer release()
		o := outcome{err: &Error{Message: "rejected without a reason"}}
		if len(args) > 0 {
			o.err = errorOf(args[0])
		}
		settled <- o
	})
	if err != nil {
		onOK.Release()
		return safejs.Undefined(), err
	}
	if _, err := promise.Call("then", onOK.Value(), onFail.Value()); err != nil {
		release()
		return safejs.Undefined(), thrown(err)
	}
	select {
	case o := <-settled:
		return o.value, o.err
	case <-ctx.Done():
		// The callbacks live on until the promise settles: JavaScript would
		// otherwise call a released function.
		return safejs.Undefined(), context.Cause(ctx)
	}
}
