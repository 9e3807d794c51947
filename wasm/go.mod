// The browser's binary. A module of its own, so that replacing the engine
// touches no native build.
module heddle.dev/heddle/wasm

go 1.26.0

toolchain go1.26.8

replace heddle.dev/heddle => ..

replace github.com/ncruces/go-sqlite3-wasm/v6 => ../engine/link

require (
	github.com/ncruces/go-sqlite3 v0.36.0
	github.com/ncruces/go-sqlite3-wasm/v6 v6.4.35401
	heddle.dev/heddle v0.0.0
)

require (
	github.com/golang/snappy v1.0.0 // indirect
	github.com/google/uuid v1.6.0 // indirect
	github.com/hack-pad/safejs v0.1.1 // indirect
	github.com/ncruces/julianday v1.0.0 // indirect
	golang.org/x/crypto v0.58.0 // indirect
	golang.org/x/sys v0.50.0 // indirect
	google.golang.org/protobuf v1.36.12 // indirect
	lukechampine.com/adiantum v1.1.1 // indirect
)
