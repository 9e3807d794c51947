package heddle

import (
	"context"
	"errors"
	"iter"
	"net/url"
	"path/filepath"
	"sync"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/ext/fts5"
	"github.com/ncruces/go-sqlite3/ext/rtree"

	"heddle.dev/heddle/internal/diskvfs"
	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/live"
	"heddle.dev/heddle/internal/store"
)

// Error is an error with its code (Code), the operation that failed (Op), a
// message (Msg), the statement where there is one (SQL), and the cause (Err).
// errors.Is(err, &Error{Code: c}) matches by code alone.
type Error = errcode.Error

// NewError returns an error without a cause. A server's Decide rejects a
// transaction with it: the code reaches the device that wrote the transaction.
// Codes that begin with HEDDLE_ or SQLITE_ are taken.
func NewError(code, op, msg string) *Error { return errcode.New(code, op, msg) }

// Code returns the code of err: "" for nil, CodeInternal where it carries none.
func Code(err error) string { return errcode.Of(err) }

// Options say how to open a database.
type Options struct {
	File       string       // path of the SQLite file, made if missing
	Migrations []string     // run once each, in order; append, never edit
	Sync       *SyncOptions // nil: the database stays on this machine
}

// Named is given as the only argument of a statement: its parameters by name.
// A name may have its prefix (:a, @a, $a) or not.
type Named map[string]any

// Rows is the result of a query.
type Rows struct {
	Columns []string
	Values  [][]any // a slice for each row, with an element for each column
}

// Result says what a statement did.
type Result struct {
	Changes         int64 // rows inserted, updated or deleted by the statement itself
	LastInsertRowID int64
}

// DB is an open database.
type DB struct {
	store *store.DB
	live  *live.Engine
	sync  *Sync
}

// The browser's engine has these extensions compiled in.
var register = sync.OnceFunc(func() {
	sqlite3.AutoExtension(fts5.Register)
	sqlite3.AutoExtension(rtree.Register)
})

// Open opens or creates a database, runs the migrations that are due, all in one
// transaction, and begins to sync. ctx bounds the opening alone.
// It fails with HEDDLE_MIGRATION if the file has had other migrations, and with
// HEDDLE_SYNC_SCHEMA if a synced table breaks a rule of sync; then the file is
// as it was.
func Open(ctx context.Context, o Options) (_ *DB, err error) {
	const op = "heddle: open"
	if o.File == "" {
		return nil, errcode.New(errcode.BadParam, op, "Options.File is needed")
	}
	path, err := filepath.Abs(o.File)
	if err != nil {
		return nil, errcode.Wrap(err, errcode.BadParam, op)
	}
	register()
	uri := url.URL{
		Scheme: "file", OmitHost: true, Path: filepath.ToSlash(path), RawQuery: "vfs=" + diskvfs.Name}
	options := store.Options{Filename: uri.String(), Migrations: o.Migrations}
	part, err := o.Sync.prepare(&options)
	if err != nil {
		return nil, err
	}
	db := &DB{}
	defer func() {
		if err != nil {
			db.Close()
		}
	}()
	if db.store, err = store.Open(ctx, options); err != nil {
		return nil, err
	}
	if o.Sync != nil {
		if db.sync, err = openSync(ctx, db.store, o.Sync, part); err != nil {
			return nil, err
		}
	}
	db.live = live.New(db.store)
	return db, nil
}

// Close ends live queries and sync, rolls an open transaction back and closes
// the file. What was not sent yet is sent after the next Open. It is called once.
func (db *DB) Close() error {
	var errs []error
	if db.live != nil {
		db.live.Close()
	}
	if db.sync != nil {
		errs = append(errs, db.sync.close())
	}
	if db.store != nil {
		errs = append(errs, db.store.Close())
	}
	return errors.Join(errs...)
}

// Sync returns the database's sync, nil if it was opened without.
func (db *DB) Sync() *Sync { return db.sync }

// Exec runs SQL in a transaction of its own, which is on disk when Exec returns.
// Several statements are allowed if there are no arguments.
func (db *DB) Exec(ctx context.Context, sql string, args ...any) (Result, error) {
	r, err := db.store.Exec(ctx, sql, params(args))
	return Result(r), err
}

// Query runs one statement and returns its rows. A statement that writes, with
// RETURNING, runs in a transaction of its own.
func (db *DB) Query(ctx context.Context, sql string, args ...any) (*Rows, error) {
	var rows Rows
	err := db.store.Query(ctx, sql, params(args), rows.columns, rows.row)
	return &rows, err
}

// Iterate runs one statement that reads, on a snapshot of its own, and yields
// its rows a part at a time: for results too large for memory. An error is the
// last thing that it yields. The loop's body may use the database. A snapshot
// ends after a minute, with HEDDLE_TIMEOUT.
func (db *DB) Iterate(ctx context.Context, sql string, args ...any) iter.Seq2[[]any, error] {
	return func(yield func([]any, error) bool) {
		var part Rows
		stopped := errors.New("the loop has ended")
		flush := func(context.Context) error {
			for _, row := range part.Values {
				if !yield(row, nil) {
					return stopped
				}
			}
			part.Values = part.Values[:0]
			return nil
		}
		err := db.store.Iterate(ctx, sql, params(args), nil, part.row, flush)
		if err == nil {
			err = flush(ctx)
		}
		if err != nil && !errors.Is(err, stopped) {
			yield(nil, err)
		}
	}
}

// Transaction runs f in a transaction, commits it if f returns nil and rolls it
// back if f fails or panics. Other writes wait meanwhile; f writes through tx
// alone. ctx bounds the wait for its turn and interrupts statements.
func (db *DB) Transaction(ctx context.Context, f func(tx *Tx) error) error {
	return db.store.Update(ctx, store.Origin{Kind: store.Local}, func(tx *store.Tx) error { return f(&Tx{tx}) })
}

// Tx is an open transaction: see DB.Transaction. It is used by one goroutine at
// a time, and not after the function has returned.
type Tx struct{ tx *store.Tx }

// Exec runs SQL. Several statements are allowed if there are no arguments.
func (tx *Tx) Exec(sql string, args ...any) (Result, error) {
	r, err := tx.tx.Exec(sql, params(args))
	return Result(r), err
}

// Query runs one statement and returns its rows.
func (tx *Tx) Query(sql string, args ...any) (*Rows, error) {
	var rows Rows
	err := tx.tx.Query(sql, params(args), rows.columns, rows.row)
	return &rows, err
}

func (r *Rows) columns(names []string) { r.Columns = names }

func (r *Rows) row(s *sqlite3.Stmt) error {
	row := make([]any, s.ColumnCount())
	if err := store.Scan(s, row); err != nil {
		return err
	}
	r.Values = append(r.Values, row)
	return nil
}

func params(args []any) store.Params {
	if len(args) == 1 {
		if named, ok := args[0].(Named); ok {
			return store.Params{Named: named}
		}
	}
	return store.Args(args...)
}
