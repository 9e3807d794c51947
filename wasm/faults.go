//go:build faults

package main

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/internal/store"
)

// The build for tests of broken engines (web/build.mjs --faults) has an SQL
// function more, which breaks the engine in the way that its argument names. It
// is not in what ships.
func init() {
	sqlite3.AutoExtension(func(c *sqlite3.Conn) error {
		return c.CreateFunction("heddle_fault", 1, sqlite3.INNOCUOUS, func(ctx sqlite3.Context, arg ...sqlite3.Value) {
			kind := arg[0].Text()
			f := faults[kind]
			if f == nil {
				ctx.ResultError(fmt.Errorf("no such fault: %s", kind))
				return
			}
			f(ctx)
		})
	})
}

var faults = map[string]func(sqlite3.Context){
	// A panic of a goroutine without a recover.
	"panic": func(sqlite3.Context) {
		go panic("a fault that the test asked for")
		runtime.Gosched()
	},
	// The same, but only after the answer has gone out.
	"late": func(sqlite3.Context) {
		time.AfterFunc(20*time.Millisecond, func() { panic("a late fault that the test asked for") })
	},
	// Every goroutine waits while SQLite's frames lie on the stack.
	"deadlock": func(sqlite3.Context) { select {} },
	// One goroutine waits for ever, and has what the others need.
	"stuck": func(sqlite3.Context) {
		go lines.leader.DB().Update(context.Background(), store.Origin{}, func(tx *store.Tx) error {
			return tx.Inside(func(*sqlite3.Conn) error { select {} })
		})
	},
	// Nothing comes back from here, and nothing is said.
	"spin": func(sqlite3.Context) {
		for forever := true; forever; {
		}
	},
	"oom": func(sqlite3.Context) {
		var all [][]byte
		for {
			all = append(all, make([]byte, 1<<30))
		}
	},
	// The browser's machine stack overflows, past every recover.
	"stack": func(ctx sqlite3.Context) {
		if err := ctx.Conn().Exec(`SELECT heddle_fault('stack')`); err != nil {
			ctx.ResultError(err)
		}
	},
	// Leaves memory behind that never shrinks again.
	"grow": func(sqlite3.Context) {
		const size = 128 << 20
		garbage := make([]byte, size)
		for i := 0; i < size; i += 4096 {
			garbage[i] = 1
		}
		runtime.KeepAlive(garbage)
	},
	// For statements that last as long as a test wants.
	"clock": func(ctx sqlite3.Context) { ctx.ResultInt64(time.Now().UnixMilli()) },
}
