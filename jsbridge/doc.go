// Package jsbridge is the border to JavaScript: one typed wrapper for each
// browser object that Heddle uses, and the only package that imports
// syscall/js or safejs (a test in internal/deptest holds that).
//
// Two rules make it safe:
//
//   - Each callback is a wall. It recovers, it never blocks, it hands its work
//     on, and it has a release function. A panic inside a callback would end the
//     Go program, and a blocked one would stop every timer.
//   - Nothing here runs per row or per page: a callback costs about 14 µs. The
//     storage calls (opfs_js.go) cross by go:wasmimport instead, and so do the
//     tabs' messages (wasm/lines.go).
//
// Values that JavaScript throws arrive as *Error, so that callers can ask for
// the name of a DOMException: errors.As, then Name == "QuotaExceededError".
//
// Natively the package is empty: portable packages declare the interfaces they
// need, and these types satisfy them.
//
// Tested by jsbridge_js_test.go under Node, and by wasm/conformance and e2e in a browser.
package jsbridge
