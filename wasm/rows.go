package main

import (
	"github.com/ncruces/go-sqlite3"
	sqlite3_wasm "github.com/ncruces/go-sqlite3-wasm/v6"

	"heddle.dev/heddle/internal/leader"
	"heddle.dev/heddle/internal/store"
	"heddle.dev/heddle/internal/store/capture"
)

// packRows has the rows of large results packed by C in the engine.
func packRows(stmt *sqlite3.Stmt, columns int) leader.BlockPacker {
	if p := sqlite3_wasm.NewPacker(stmt, columns); p != nil {
		return p
	}
	return nil // not a nil *Packer, which would be no nil interface
}

// engine is what the linked engine does many rows at a time.
var engine = store.Engine{
	RunRows: func(stmt *sqlite3.Stmt, rows []byte, columns, max int) (store.Run, int, bool) {
		run, code, ok := sqlite3_wasm.RunRows(stmt, rows, columns, max)
		return store.Run(run), code, ok
	},
	NewTally: func(conn *sqlite3.Conn, hook func(sqlite3.PreUpdateData)) capture.Tally {
		conn.PreUpdateHook(hook)
		if t := sqlite3_wasm.NewTally(conn); t != nil {
			return tally{t}
		}
		return nil
	},
}

type tally struct{ *sqlite3_wasm.Tally }

func (t tally) Add(table string, op sqlite3.AuthorizerActionCode, rowids bool) int {
	return t.Tally.Add(table, int(op), rowids)
}
