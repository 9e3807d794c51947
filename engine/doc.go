// Package engine holds SQLite as a WebAssembly side module, with its recipe, its
// Go side (link) and its tests. It has no code of its own: see README.md.
package engine
