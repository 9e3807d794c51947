module heddle.dev/heddle/engine/linktest

go 1.26.0

toolchain go1.26.8

require (
	github.com/golang/snappy v1.0.0
	github.com/ncruces/go-sqlite3 v0.36.0
	github.com/ncruces/go-sqlite3-wasm/v6 v6.4.35401
	golang.org/x/crypto v0.58.0
	heddle.dev/heddle v0.0.0
)

require (
	github.com/google/uuid v1.6.0 // indirect
	github.com/ncruces/julianday v1.0.0 // indirect
	golang.org/x/sys v0.50.0 // indirect
	google.golang.org/protobuf v1.36.12 // indirect
	lukechampine.com/adiantum v1.1.1 // indirect
)

replace (
	github.com/ncruces/go-sqlite3-wasm/v6 => ../link
	heddle.dev/heddle => ../..
)
