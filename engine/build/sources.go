//go:build sources

// Package main names, for the go command, the modules whose C sources the
// recipe reads from the module cache. It is never compiled.
package main

import (
	_ "github.com/mattn/go-sqlite3"
	_ "github.com/ncruces/go-sqlite3-wasm/v6"
	_ "github.com/ncruces/wasm2go/libc-gen/go"
)
