// Package wazero tests engine/sqlite3.wasm without a browser: go-sqlite3 runs on
// that very file, under wazero, and its results are compared with those of
// native go-sqlite3.
package wazero
