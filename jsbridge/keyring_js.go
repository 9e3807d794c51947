package jsbridge

import (
	"context"

	"github.com/hack-pad/safejs"
)

// Keyring is where the worker keeps a device's keys to a sealed space, with WebCrypto
// (web/src/worker/key-host.ts has its methods).
type Keyring struct{ value safejs.Value }

// Keyring returns the worker's.
func (h *Host) Keyring() (*Keyring, error) {
	keys, err := h.value.Get("keys")
	return &Keyring{keys}, thrown(err)
}

// Call calls a method with bytes and numbers, and waits for the bytes that it answers.
func (k *Keyring) Call(ctx context.Context, method string, args ...any) ([]byte, error) {
	for i, arg := range args {
		if p, is := arg.([]byte); is {
			v, err := uint8Array(p)
			if err != nil {
				return nil, err
			}
			args[i] = v
		}
	}
	promise, err := k.value.Call(method, args...)
	if err != nil {
		return nil, thrown(err)
	}
	answer, err := Await(ctx, promise)
	if err != nil {
		return nil, err
	}
	return bytesOf(answer)
}
