package store

import (
	"context"
	"errors"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/store/sqlconn"
	"heddle.dev/heddle/internal/store/sqlerr"

	"github.com/ncruces/go-sqlite3"
)

// Tx is an open write transaction. It belongs to one goroutine at a time and
// must end in Commit or Rollback; other writers wait meanwhile, reads do not.
// To end it from elsewhere, cancel the context of SetContext and let the owner
// roll back.
type Tx struct {
	db       *DB
	c        *conn
	ctx      context.Context
	origin   Origin
	schema   bool  // DDL ran
	notified bool  // it has a notification
	ended    bool  // the turn is given back
	hasty    bool  // it waits for nothing: see TryBegin
	broken   error // SQLite has rolled the transaction back by itself
	released []*Commit
	before   int64 // SQLite's count of changes at the beginning
}

// Begin starts a transaction when its turn comes. ctx bounds the wait alone;
// see SetContext for the statements. The error is HEDDLE_ABORTED or
// HEDDLE_TIMEOUT if ctx ended first.
func (db *DB) Begin(ctx context.Context, origin Origin) (*Tx, error) {
	return db.begin(ctx, context.Background(), origin)
}

func (db *DB) begin(wait, ctx context.Context, origin Origin) (*Tx, error) {
	const op = "store: begin"
	c, err := db.turn(wait, db.writer, op)
	if err != nil {
		return nil, err
	}
	tx := &Tx{db: db, c: c, ctx: ctx, origin: origin}
	if err := db.inside(ctx, c, func() error { return tx.start(wait) }); err != nil {
		db.writer <- c
		return nil, sqlerr.Wrap(wait, err, op, "")
	}
	return tx, nil
}

// start begins the transaction in SQLite, inside it.
func (tx *Tx) start(wait context.Context) error {
	c := tx.c
	if !c.GetAutocommit() { // an earlier rollback has failed
		if err := c.Exec(`ROLLBACK`); err != nil {
			return err
		}
	}
	if err := c.Applying(tx.origin.Kind == Sync); err != nil {
		return errors.Join(err, c.Applying(false))
	}
	if err := tx.retryBusy(wait, func() error { return c.Control(`BEGIN IMMEDIATE`) }); err != nil {
		return errors.Join(err, c.Applying(false))
	}
	c.follow(tx.origin)
	c.Analyzed = false
	tx.before = c.TotalChanges()
	return nil
}

// retryBusy is DB.retryBusy, except for a transaction that waits for nothing.
func (tx *Tx) retryBusy(wait context.Context, f func() error) error {
	if tx.hasty {
		return f()
	}
	return tx.db.retryBusy(wait, f)
}

// Update runs f in a transaction and commits it, or rolls back if f fails or
// panics. ctx bounds the wait and interrupts the statements.
func (db *DB) Update(ctx context.Context, origin Origin, f func(*Tx) error) error {
	tx, err := db.begin(ctx, ctx, origin)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if err := f(tx); err != nil {
		return err
	}
	return tx.Commit()
}

// Apply is Update for entries of the log: heddle_applying() is true, foreign
// keys are off, checks are ignored and no recorder is called. The commit is
// announced with the origin Sync.
func (db *DB) Apply(ctx context.Context, f func(*Tx) error) error {
	return db.Update(ctx, Origin{Kind: Sync}, f)
}

// SetContext lets ctx interrupt the statements from now on. An interrupted
// write may roll back the whole transaction; then the error of what follows is
// HEDDLE_TX_CLOSED.
func (tx *Tx) SetContext(ctx context.Context) { tx.ctx = ctx }

// Origin returns what Begin was given.
func (tx *Tx) Origin() Origin { return tx.origin }

// Applying runs f, in a [Recorder], with the rules of [DB.Apply]:
// heddle_applying() is true, so that triggers write local-only tables alone.
func (tx *Tx) Applying(f func() error) error {
	defer func(before bool) { tx.c.Apply = before }(tx.c.Apply)
	tx.c.Apply = true
	return f()
}

// Conn returns the connection, for Heddle's own bookkeeping: no authorizer
// stands before it. Every use of it is inside [Tx.Inside], except in a
// [Recorder], which is inside already.
func (tx *Tx) Conn() *sqlite3.Conn { return tx.c.Conn.Conn }

// Inside runs f inside SQLite, for work on [Tx.Conn]. f does not wait and does
// not call the database. What f writes shows in commits and is not recorded;
// last_insert_rowid() and changes() stay as the app knows them.
func (tx *Tx) Inside(f func(*sqlite3.Conn) error) error {
	return tx.run("store: inside", "", func() error {
		return tx.c.bookkeeping(func() error { return f(tx.Conn()) })
	})
}

// Yield lets other goroutines run during a long operation: see Options.Yield. It is
// called outside SQLite.
func (tx *Tx) Yield() { tx.db.yield() }

// Undone is called after a statement inside has failed and the failure was dealt
// with: what the hook noted of it is checked before it is announced.
func (tx *Tx) Undone() {
	if tx.c.capture != nil {
		tx.c.capture.Undo()
	}
}

// run is DB.inside for the open transaction. After an error it looks whether
// SQLite has ended the transaction.
func (tx *Tx) run(op, sql string, f func() error) error {
	if err := tx.check(op); err != nil {
		return err
	}
	err := tx.db.inside(tx.ctx, tx.c, f)
	if err != nil {
		err = sqlerr.Wrap(tx.ctx, err, op, sql)
		tx.db.inside(context.Background(), tx.c, func() error {
			if tx.c.capture != nil {
				tx.c.capture.Undo()
			}
			// Without memory a statement may have stopped anywhere.
			if errcode.Of(err) == "SQLITE_NOMEM" && !tx.c.GetAutocommit() {
				tx.c.Exec(`ROLLBACK`)
			}
			if tx.c.GetAutocommit() {
				tx.broken = err
			}
			return nil
		})
	}
	return err
}

func (tx *Tx) check(op string) error {
	switch {
	case tx.broken != nil:
		return &errcode.Error{Code: errcode.TxClosed, Op: op,
			Msg: "the transaction was rolled back by an earlier error: " + tx.broken.Error(), Err: tx.broken}
	case tx.ended:
		return errcode.New(errcode.TxClosed, op, "the transaction has ended")
	}
	return nil
}

func (tx *Tx) mode() sqlconn.Mode {
	if tx.origin.Kind == Sync {
		return sqlconn.Trusted
	}
	return sqlconn.UserWrite
}

// Exec runs sql, which may hold several statements if there are no
// parameters. The result is the last one's. Rows are not handed out: see
// [Tx.ExecRows].
func (tx *Tx) Exec(sql string, p Params) (Result, error) { return tx.ExecRows(sql, p, nil, nil) }

const execOp = "store: exec"

// ExecRows is Exec that hands out the rows of the last statement, if it is one
// that returns rows: see [DB.Query] for cols and row.
func (tx *Tx) ExecRows(sql string, p Params, cols func([]string),
	row func(*sqlite3.Stmt) error) (res Result, err error) {
	hasParams := len(p.Positional) > 0 || len(p.Named) > 0
	rest, ran := sql, false
	for rest != "" {
		var last *sqlconn.Stmt // the last statement, if it returns rows
		tail := ""
		err = tx.run(execOp, sql, func() error {
			s, t, err := tx.c.Prepare(rest, tx.mode())
			tail = t
			if err != nil || s == nil {
				return err
			}
			if ran && hasParams {
				s.Close()
				return errSeveral()
			}
			returns := cols != nil && s.ColumnCount() > 0
			if tail != "" && (hasParams || returns) {
				more, err := tx.more(tail)
				if err == nil && more && hasParams {
					err = errSeveral()
				}
				if err != nil {
					s.Close()
					return err
				}
				if !more {
					tail = ""
				}
			}
			ran = true
			if returns && tail == "" {
				last = s
				tx.c.begins(s)
				return nil
			}
			return tx.execStmt(s, p, &res)
		})
		if err == nil && last != nil {
			err = tx.stream(execOp, sql, last, p, cols, row, &res)
		}
		if err != nil {
			return Result{}, err
		}
		rest = tail
	}
	if !ran && hasParams {
		return Result{}, sqlconn.BadCount(0, max(len(p.Positional), len(p.Named)))
	}
	return res, nil
}

func errSeveral() error {
	return errcode.New(errcode.BadParam, execOp, "parameters go with one statement, not with several")
}

// more reports whether sql holds a statement, and not a comment alone. It is
// called inside SQLite.
func (tx *Tx) more(sql string) (bool, error) {
	s, _, err := tx.c.Prepare(sql, tx.mode())
	if s != nil {
		s.Close()
	}
	return s != nil, err
}

// execStmt binds, runs and releases s. It is called inside SQLite.
func (tx *Tx) execStmt(s *sqlconn.Stmt, p Params, res *Result) (err error) {
	c := tx.c
	defer func() {
		c.Current = nil
		if s.Schema && err == nil {
			tx.schema = true
			err = errors.Join(c.Release(s, tx.mode()), tx.db.loadSchema(c))
			return
		}
		c.Release(s, tx.mode())
	}()
	if s.Vacuum {
		return errVacuum
	}
	if err := s.Bind(p); err != nil {
		return err
	}
	c.begins(s)
	if s.Schema && tx.mode() != sqlconn.Trusted {
		err = c.Named(s.Exec)
	} else {
		err = s.Exec()
	}
	if err != nil {
		return err
	}
	*res = c.result(s)
	return nil
}

// result is what s has done.
func (c *conn) result(s *sqlconn.Stmt) Result {
	res := Result{LastInsertRowID: c.LastInsertRowID()}
	if !s.ReadsOnly && !s.Schema {
		res.Changes = c.Changes()
	}
	return res
}

// Query runs one statement inside the transaction; see [DB.Query] for cols
// and row.
func (tx *Tx) Query(sql string, p Params, cols func([]string), row func(*sqlite3.Stmt) error) error {
	const op = "store: query"
	var s *sqlconn.Stmt
	err := tx.run(op, sql, func() (err error) {
		s, err = tx.c.prepareOne(tx.ctx, sql, tx.mode())
		if s != nil && s.ColumnCount() == 0 && (s.Schema || s.Vacuum) {
			err = tx.execStmt(s, p, &Result{})
			s = nil
		}
		if s != nil {
			tx.c.begins(s)
		}
		return err
	})
	switch {
	case err != nil:
		return err
	case s == nil:
		if cols != nil {
			cols(nil)
		}
		return nil
	}
	return tx.stream(op, sql, s, p, cols, row, &Result{})
}

// stream hands out the rows of s, which has started, and releases it.
func (tx *Tx) stream(op, sql string, s *sqlconn.Stmt, p Params, cols func([]string), row func(*sqlite3.Stmt) error,
	res *Result) error {
	err := tx.db.rows(tx.ctx, tx.c, s, tx.mode(), p, cols, row, nil)
	return tx.run(op, sql, func() error {
		tx.c.Current = nil
		*res = tx.c.result(s)
		return err
	})
}

// Rollback ends the transaction without effect. After the end it does nothing.
func (tx *Tx) Rollback() error {
	if tx.ended {
		return nil
	}
	tx.ended = true
	err := tx.db.inside(context.Background(), tx.c, func() (err error) {
		tx.c.capture, tx.c.Current = nil, nil
		if !tx.c.GetAutocommit() {
			err = tx.c.Exec(`ROLLBACK`)
		}
		err = errors.Join(err, tx.c.Applying(false))
		if tx.schema {
			tx.db.dropCaches()
			err = errors.Join(err, tx.db.loadSchema(tx.c))
		}
		return err
	})
	tx.db.writer <- tx.c
	if errcode.Of(err) == errcode.Closed {
		return nil
	}
	return sqlerr.Wrap(context.Background(), err, "store: rollback", "")
}

// Commit takes the net difference, shows it to the recorder, commits, and
// tells the subscribers. If it fails, nothing was written and the transaction
// has ended.
func (tx *Tx) Commit() error { return tx.commit("", nil) }

// commit commits with the entries of a session's write log.
func (tx *Tx) commit(session string, entries []Entry) error {
	const op = "store: commit"
	if err := tx.check(op); err != nil {
		tx.Rollback()
		return err
	}
	var commit *Commit
	err := tx.db.inside(tx.ctx, tx.c, func() error {
		err := tx.saveLog(session, entries)
		if err != nil {
			return err
		}
		if commit, err = tx.finish(); err != nil {
			return err
		}
		if err := tx.ctx.Err(); err != nil {
			return err
		}
		tx.c.SetInterrupt(context.Background())
		err = tx.retryBusy(context.Background(), func() error { return tx.c.Control(`COMMIT`) })
		if err == nil { // in one hold of the mutex: a reader of this snapshot finds its number
			tx.db.notices.add(append(tx.released, commit)...)
		}
		return err
	})
	if err != nil {
		err = sqlerr.Wrap(tx.ctx, err, op, "")
		tx.Rollback()
		return err
	}
	tx.ended = true
	tx.db.writeLogs.add(session, entries) // before another transaction has its turn
	err = tx.db.inside(context.Background(), tx.c, func() error {
		tx.c.capture = nil
		if tx.schema {
			tx.db.dropCaches()
		}
		return tx.c.Applying(false)
	})
	tx.db.writer <- tx.c
	tx.db.notices.deliver()
	if errcode.Of(err) == errcode.Closed {
		return nil
	}
	return sqlerr.Wrap(context.Background(), err, op, "")
}

// finish is called before COMMIT, inside SQLite. It returns what to announce,
// nil if nothing changed.
func (tx *Tx) finish() (*Commit, error) {
	c := tx.c
	changes, err := c.capture.Changes()
	if err != nil {
		return nil, err
	}
	if r := tx.db.recorder; r != nil && len(changes) > 0 {
		c.held = true
		c.Current = nil
		err := c.capture.Record(func() error {
			return c.bookkeeping(func() error { return r.Record(tx, changes) })
		})
		c.held = false
		if err != nil {
			return nil, err
		}
		if c.GetAutocommit() {
			return nil, errcode.New(errcode.Internal, "store: commit", "the recorder ended the transaction")
		}
	}
	commit := &Commit{Origin: tx.origin, Schema: tx.schema || c.Analyzed, Notifications: c.notified.list}
	if commit.Tables, err = c.capture.Tables(changes); err != nil {
		return nil, err
	}
	if len(commit.Tables) == 0 && !commit.Schema && len(commit.Notifications) == 0 {
		return nil, nil
	}
	return commit, nil
}
