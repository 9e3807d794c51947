module heddle.dev/heddle/engine/wazero

go 1.26.0

toolchain go1.26.8

require (
	github.com/ncruces/go-sqlite3 v0.36.0
	heddle.dev/heddle v0.0.0
)

require (
	github.com/ncruces/go-sqlite3-wasm/v6 v6.4.35401 // indirect
	github.com/ncruces/julianday v1.0.0 // indirect
	github.com/tetratelabs/wazero v1.12.0 // indirect
	golang.org/x/sys v0.50.0 // indirect
)

replace (
	github.com/ncruces/go-sqlite3-wasm/v6 => ./link
	heddle.dev/heddle => ../..
)
