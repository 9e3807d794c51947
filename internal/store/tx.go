package store

import (
	"context"
	"errors"

	"heddle.dev/heddle/internal/errcode"

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
	err = db.inside(ctx, c, func() error {
		if !c.c.GetAutocommit() { // an earlier rollback has failed
			if err := c.exec(`ROLLBACK`); err != nil {
				return err
			}
		}
		if err := c.applying(origin.Kind == Sync); err != nil {
			return errors.Join(err, c.applying(false))
		}
		if err := db.retryBusy(wait, func() error { return c.control(`BEGIN IMMEDIATE`) }); err != nil {
			return errors.Join(err, c.applying(false))
		}
		c.capture, c.analyzed = newCapture(db, c, origin), false
		tx.before = c.c.TotalChanges()
		return nil
	})
	if err != nil {
		db.writer <- c
		return nil, wrapErr(wait, err, op, "")
	}
	return tx, nil
}

// applying switches the connection to applying entries of the log and back:
// foreign keys off, checks ignored, heddle_applying() true.
func (c *conn) applying(on bool) error {
	if c.apply == on {
		return nil
	}
	defer c.c.SetInterrupt(c.c.SetInterrupt(context.Background()))
	if _, err := c.c.Config(sqlite3.DBCONFIG_ENABLE_FKEY, !on); err != nil {
		return err
	}
	sql := `PRAGMA ignore_check_constraints = off`
	if on {
		sql = `PRAGMA ignore_check_constraints = on`
	}
	c.apply = on
	return c.exec(sql)
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
	defer func(before bool) { tx.c.apply = before }(tx.c.apply)
	tx.c.apply = true
	return f()
}

// Conn returns the connection, for Heddle's own bookkeeping: no authorizer
// stands before it. Every use of it is inside [Tx.Inside], except in a
// [Recorder], which is inside already.
func (tx *Tx) Conn() *sqlite3.Conn { return tx.c.c }

// Inside runs f inside SQLite, for work on [Tx.Conn]. f does not wait and does
// not call the database. What f writes shows in commits and is not recorded;
// last_insert_rowid() and changes() stay as the app knows them.
func (tx *Tx) Inside(f func(*sqlite3.Conn) error) error {
	return tx.run("store: inside", "", func() error {
		return tx.c.bookkeeping(func() error { return f(tx.c.c) })
	})
}

// Yield lets other goroutines run during a long operation: see Options.Yield. It is
// called outside SQLite.
func (tx *Tx) Yield() { tx.db.yield() }

// Undone is called after a statement inside has failed and the failure was dealt
// with: what the hook noted of it is checked before it is announced.
func (tx *Tx) Undone() {
	if tx.c.capture != nil {
		tx.c.capture.undone = true
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
		err = wrapErr(tx.ctx, err, op, sql)
		tx.db.inside(context.Background(), tx.c, func() error {
			if tx.c.capture != nil {
				tx.c.capture.undone = true
			}
			// Without memory a statement may have stopped anywhere.
			if errcode.Of(err) == "SQLITE_NOMEM" && !tx.c.c.GetAutocommit() {
				tx.c.exec(`ROLLBACK`)
			}
			if tx.c.c.GetAutocommit() {
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

func (tx *Tx) mode() authMode {
	if tx.origin.Kind == Sync {
		return trusted
	}
	return userWrite
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
		var last *stmt // the last statement, if it returns rows
		tail := ""
		err = tx.run(execOp, sql, func() error {
			s, t, err := tx.c.prepare(rest, tx.mode())
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
				tx.c.start(s)
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
		return Result{}, badCount(0, max(len(p.Positional), len(p.Named)))
	}
	return res, nil
}

func errSeveral() error {
	return errcode.New(errcode.BadParam, execOp, "parameters go with one statement, not with several")
}

// more reports whether sql holds a statement, and not a comment alone. It is
// called inside SQLite.
func (tx *Tx) more(sql string) (bool, error) {
	s, _, err := tx.c.prepare(sql, tx.mode())
	if s != nil {
		s.Close()
	}
	return s != nil, err
}

// execStmt binds, runs and releases s. It is called inside SQLite.
func (tx *Tx) execStmt(s *stmt, p Params, res *Result) (err error) {
	c := tx.c
	defer func() {
		c.current = nil
		if s.schema && err == nil {
			tx.schema = true
			err = errors.Join(c.release(s, tx.mode()), tx.db.loadSchema(c))
			return
		}
		c.release(s, tx.mode())
	}()
	if s.vacuum {
		return errVacuum
	}
	if err := s.bind(p); err != nil {
		return err
	}
	c.start(s)
	if s.schema && tx.mode() != trusted {
		err = c.named(s.Exec)
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
func (c *conn) result(s *stmt) Result {
	res := Result{LastInsertRowID: c.c.LastInsertRowID()}
	if !s.readOnly && !s.schema {
		res.Changes = c.c.Changes()
	}
	return res
}

// start is called before s runs for the app.
func (c *conn) start(s *stmt) {
	if c.capture != nil {
		c.capture.begins(s)
	}
	c.current = s
	if s.savepoint != "" && c.capture != nil {
		c.capture.undone = c.capture.undone || s.savepoint == "ROLLBACK"
		c.capture.notified.savepoint(s.savepoint, s.savepointName)
	}
	if !s.readOnly {
		c.keptIsLast = false
	}
}

// Query runs one statement inside the transaction; see [DB.Query] for cols
// and row.
func (tx *Tx) Query(sql string, p Params, cols func([]string), row func(*sqlite3.Stmt) error) error {
	const op = "store: query"
	var s *stmt
	err := tx.run(op, sql, func() (err error) {
		s, err = tx.c.prepareOne(tx.ctx, sql, tx.mode())
		if s != nil && s.ColumnCount() == 0 && (s.schema || s.vacuum) {
			err = tx.execStmt(s, p, &Result{})
			s = nil
		}
		if s != nil {
			tx.c.start(s)
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
func (tx *Tx) stream(op, sql string, s *stmt, p Params, cols func([]string), row func(*sqlite3.Stmt) error,
	res *Result) error {
	err := tx.db.rows(tx.ctx, tx.c, s, tx.mode(), p, cols, row, nil)
	return tx.run(op, sql, func() error {
		tx.c.current = nil
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
		tx.c.capture, tx.c.current = nil, nil
		if !tx.c.c.GetAutocommit() {
			err = tx.c.exec(`ROLLBACK`)
		}
		err = errors.Join(err, tx.c.applying(false))
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
	return wrapErr(context.Background(), err, "store: rollback", "")
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
		if commit, err = tx.c.capture.finish(tx); err != nil {
			return err
		}
		if err := tx.ctx.Err(); err != nil {
			return err
		}
		tx.c.c.SetInterrupt(context.Background())
		err = tx.db.retryBusy(context.Background(), func() error { return tx.c.control(`COMMIT`) })
		if err == nil { // in one hold of the mutex: a reader of this snapshot finds its number
			tx.db.notices.add(append(tx.released, commit)...)
		}
		return err
	})
	if err != nil {
		err = wrapErr(tx.ctx, err, op, "")
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
		return tx.c.applying(false)
	})
	tx.db.writer <- tx.c
	tx.db.notices.deliver()
	if errcode.Of(err) == errcode.Closed {
		return nil
	}
	return wrapErr(context.Background(), err, op, "")
}
