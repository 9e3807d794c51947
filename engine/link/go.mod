module github.com/ncruces/go-sqlite3-wasm/v6

go 1.26.0

toolchain go1.26.8
