package main

import (
	"github.com/ncruces/go-sqlite3"
	sqlite3_wasm "github.com/ncruces/go-sqlite3-wasm/v6"

	"heddle/leader"
)

// packRows has the rows of large results packed by C in the engine.
func packRows(stmt *sqlite3.Stmt, columns int) leader.BlockPacker {
	if p := sqlite3_wasm.NewPacker(stmt, columns); p != nil {
		return p
	}
	return nil // not a nil *Packer, which would be no nil interface
}
