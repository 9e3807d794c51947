// Package deptest keeps the import rules of ARCHITECTURE.md as tests: imports
// run downward only, one package knows JavaScript, and the browser's binary
// does not link what would make it large. It has no code of its own.
package deptest
