module heddle.dev/heddle/engine/build

go 1.26.0

toolchain go1.26.8

require (
	github.com/mattn/go-sqlite3 v1.14.53 // the SQLite 3.54.1 amalgamation
	github.com/ncruces/go-sqlite3-wasm/v6 v6.4.35401 // the C glue, its patches and the export list
	github.com/ncruces/wasm2go v0.4.19 // libc-gen: a small libc for a module without a system
)
