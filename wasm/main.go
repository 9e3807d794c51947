// Command heddle is the program that runs in Heddle's worker. It plugs the
// browser's files, network, clock and channels into package leader, and hands
// the worker's tabs to it. There is nothing here but wiring.
package main

import (
	"context"
	"errors"
	"math"
	"os"
	"runtime/debug"
	"time"

	sqlite3_wasm "github.com/ncruces/go-sqlite3-wasm/v6"
	"github.com/ncruces/go-sqlite3/vfs"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/leader"
	"heddle.dev/heddle/internal/opfs"
	"heddle.dev/heddle/internal/rpc"
	"heddle.dev/heddle/jsbridge"
)

const (
	// SQLite's memory is Go's, and counts as live heap: with Go's usual 100 %
	// the garbage might grow as large again before it is collected.
	gcPercent = 40
	// What SQLite may use in all. Go dies at 4 GiB, past any recover; SQLite
	// answers SQLITE_NOMEM and goes on.
	sqliteMemory = 1 << 30
)

func main() {
	sqlite3_wasm.SetMemoryLimit(sqliteMemory)
	sqlite3_wasm.OnProgress = progress
	host, err := jsbridge.AttachHost(os.Args[1])
	if err != nil {
		panic(err) // the worker reports it as a crash
	}
	closed, err := run(host)
	if err != nil {
		code, message, sql := parts(err)
		host.Failed(code, message, sql)
		return
	}
	host.Stopped(closed)
}

// run serves until the worker says stop, and reports whether the database was
// closed in order. An error says why it could not be opened.
func run(host *jsbridge.Host) (closed bool, err error) {
	config, err := host.Config()
	if err != nil {
		return false, err
	}
	open, err := rpc.DecodeOpenConfig(config.Open)
	if err != nil {
		return false, err
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	t := &tabs{stop: stop, isolated: config.Isolated, sessions: map[int]*leader.Session{}}
	release, err := host.Serve(t)
	if err != nil {
		return false, err
	}
	defer release()

	dir, err := directory(ctx, host, open, config)
	if err != nil {
		return false, err
	}
	files := opfs.New(dir)
	files.SetProgress(progress)
	vfs.Register(sqlite3_wasm.SharedMemoryVFS, files)
	filename, err := opfs.URI(open.Name, sqlite3_wasm.SharedMemoryVFS)
	if err != nil {
		return false, err
	}
	var keys leader.Keyring
	if open.Sync != nil && open.Sync.Sealed {
		if err := host.AwaitSealed(ctx); err != nil { // called before that, a function of another part is fetched alone
			return false, errcode.Wrap(err, errcode.Assets, "open")
		}
		if keys, err = keyringOf(host); err != nil {
			return false, err
		}
	}
	channel, err := jsbridge.NewChannel(config.Channel)
	if err != nil {
		return false, err
	}
	defer channel.Close()
	l, err := leader.Open(ctx, open, leader.Env{
		Filename: filename, Storage: config.Storage, LeaderID: config.Leader, Channel: channel, HTTP: network{host},
		Stream: host.TakeStream, NewBlockPacker: packRows, Yield: yield, Engine: engine,
		Exit: config.Exit, Keyring: keys,
		Scratch: scratchFiles(host, dir, files, open.Storage, sqlite3_wasm.SharedMemoryVFS),
		Quarantine: func(ctx context.Context, reason string) (leader.Quarantined, error) {
			name, err := host.Quarantine(ctx, reason)
			files.Freeze(name)
			return leader.Quarantined{File: name, URI: "file:" + name + "?vfs=" + sqlite3_wasm.SharedMemoryVFS}, err
		},
		OnDamage: func(err error) { host.Damaged(err.Error()) }, Whole: host.AwaitRest,
	})
	if ctx.Err() != nil {
		return false, nil // told to stop while opening
	}
	if err != nil {
		return false, err
	}
	offline, err := jsbridge.OnOnline(l.SetOnline)
	if err != nil {
		return false, err
	}
	defer offline()
	l.SetOnline(jsbridge.Online())
	t.serve(l)
	lines = t
	go receive()
	host.Ready()
	// Until then nothing is collected, unless there is much: web/src/worker/go-program.ts.
	time.AfterFunc(untilCollected, func() {
		debug.SetGCPercent(gcPercent)
		debug.SetMemoryLimit(math.MaxInt64)
	})

	<-ctx.Done()
	closing, cancel := context.WithTimeout(context.Background(), closeTime)
	defer cancel()
	// What cannot be closed in time, the end of the worker closes.
	return l.Close(closing) == nil, nil
}

// parts takes an error apart for JavaScript.
func parts(err error) (code, message, sql string) {
	message = err.Error()
	var e *errcode.Error
	if errors.As(err, &e) {
		message, sql = e.Message(), e.SQL
	}
	return errcode.Of(err), message, sql
}
