module github.com/ncruces/go-sqlite3-wasm/v6

go 1.26.0

toolchain go1.26.8

require github.com/tetratelabs/wazero v1.12.0

require golang.org/x/sys v0.44.0 // indirect
