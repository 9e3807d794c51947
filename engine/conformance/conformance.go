// Package conformance has a set of cases that say what SQLite does, and runs
// them on whatever engine go-sqlite3 is built on: native Go code, the
// sqlite3.wasm of the browser under wazero, or the same file linked into a Go
// program for GOOS=js. The result of a case is a text, so that engines are
// compared by comparing texts; native/testdata/native.txt has those of native
// go-sqlite3.
//
// What one engine has and another has not is in absent.go.
package conformance

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/ncruces/go-sqlite3"
)

// A Case is one thing that engines must agree on.
type Case struct {
	Name string
	run  func(r *recorder)
}

// Cases returns all cases, in order.
func Cases() []Case {
	var all []Case
	for _, group := range [][]Case{valueCases, languageCases, extensionCases, callbackCases, errorCases, limitCases,
		workloadCases} {
		all = append(all, group...)
	}
	return all
}

// Options are what a case needs of the engine that runs it.
type Options struct {
	// Prepare is called with each new connection, to register what the engine
	// does not have built in. It may be nil.
	Prepare func(*sqlite3.Conn) error
}

// Run runs a case and returns its result.
func (c Case) Run(opts Options) (result string) {
	r := &recorder{opts: opts}
	defer func() {
		if v := recover(); v != nil {
			result = r.out.String() + fmt.Sprintf("panic: %v\n", v)
		}
		for _, db := range r.opened {
			closeQuietly(db)
		}
	}()
	c.run(r)
	return r.out.String()
}

// outOfStack stands for the result of a statement that ended in a panic: native
// go-sqlite3 has a stack of 64 KiB, which SQLite's own limits allow to overflow.
// Diff accepts any result in its place.
const outOfStack = "! out of stack"

// isolated runs a statement on a connection of its own, which it may break.
func (r *recorder) isolated(before, sql string) {
	db := r.memory()
	r.opened = r.opened[:len(r.opened)-1]
	defer closeQuietly(db)
	at := r.out.Len()
	defer func() {
		if v := recover(); v != nil {
			done := r.out.String()[:at]
			r.out.Reset()
			r.out.WriteString(done)
			r.heading(sql)
			r.logf(outOfStack)
		}
	}()
	if err := r.try(db, before); err != nil {
		r.logf("! before: %s", describe(err))
	}
	r.sql(db, sql)
}

// closeQuietly closes a connection that a panic may have broken.
func closeQuietly(db *sqlite3.Conn) {
	defer func() { recover() }()
	db.Close()
}

// recorder writes down what SQLite answers.
type recorder struct {
	opts   Options
	out    strings.Builder
	opened []*sqlite3.Conn
}

func (r *recorder) logf(format string, args ...any) { fmt.Fprintf(&r.out, format+"\n", args...) }

// open opens a database that is closed at the end of the case.
func (r *recorder) open(name string) *sqlite3.Conn {
	db, err := sqlite3.Open(name)
	if err == nil && r.opts.Prepare != nil {
		err = r.opts.Prepare(db)
	}
	if err != nil {
		r.logf("open %s: %s", name, describe(err))
		return nil
	}
	r.opened = append(r.opened, db)
	return db
}

// bare opens a database without preparing the connection, which may read it.
func (r *recorder) bare(name string) *sqlite3.Conn {
	prepare := r.opts.Prepare
	r.opts.Prepare = nil
	defer func() { r.opts.Prepare = prepare }()
	return r.open(name)
}

func (r *recorder) memory() *sqlite3.Conn { return r.open(":memory:") }

// sql runs statements and writes down their rows, or the error.
func (r *recorder) sql(db *sqlite3.Conn, sql string, args ...any) {
	r.heading(sql)
	if err := r.try(db, sql, args...); err != nil {
		r.logf("! %s", describe(err))
	}
}

func (r *recorder) heading(sql string) {
	short := strings.Join(strings.Fields(sql), " ")
	if len(short) > 300 {
		short = fmt.Sprintf("%s… (%d bytes)", short[:80], len(sql))
	}
	r.logf("> %s", short)
}

// try is sql without the heading. Want of memory, which go-sqlite3 panics with,
// becomes an error.
func (r *recorder) try(db *sqlite3.Conn, sql string, args ...any) (err error) {
	defer func() {
		if v := recover(); v != nil {
			if e, ok := v.(error); !ok || !strings.Contains(e.Error(), "out of memory") {
				panic(v)
			}
			err = sqlite3.NOMEM
		}
	}()
	for sql != "" {
		s, tail, err := db.Prepare(sql)
		if err != nil {
			return err
		}
		sql = tail
		if s == nil {
			continue
		}
		err = r.rows(s, args)
		if e := s.Close(); err == nil {
			err = e
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *recorder) rows(s *sqlite3.Stmt, args []any) error {
	for i, a := range args {
		if err := bind(s, i+1, a); err != nil {
			return err
		}
	}
	for s.Step() {
		var cols []string
		for i := range s.ColumnCount() {
			cols = append(cols, column(s, i))
		}
		r.logf("%s", strings.Join(cols, " | "))
	}
	return s.Err()
}

func bind(s *sqlite3.Stmt, i int, v any) error {
	switch v := v.(type) {
	case nil:
		return s.BindNull(i)
	case int:
		return s.BindInt64(i, int64(v))
	case int64:
		return s.BindInt64(i, v)
	case float64:
		return s.BindFloat(i, v)
	case string:
		return s.BindText(i, v)
	case []byte:
		return s.BindBlob(i, v)
	}
	panic(fmt.Sprintf("no binding for %T", v))
}

// column describes a value exactly: floats by their bits too, and long ones by
// their hash.
func column(s *sqlite3.Stmt, i int) string {
	switch s.ColumnType(i) {
	case sqlite3.INTEGER:
		return fmt.Sprint(s.ColumnInt64(i))
	case sqlite3.FLOAT:
		f := s.ColumnFloat(i)
		return fmt.Sprintf("%v(%#x)", f, math.Float64bits(f))
	case sqlite3.TEXT:
		if t := s.ColumnRawText(i); len(t) <= 400 {
			return fmt.Sprintf("%q", t)
		} else {
			return fmt.Sprintf("text of %d bytes, %x", len(t), sha256.Sum256(t))
		}
	case sqlite3.BLOB:
		if b := s.ColumnRawBlob(i); len(b) <= 64 {
			return fmt.Sprintf("x'%X'", b)
		} else {
			return fmt.Sprintf("blob of %d bytes, %x", len(b), sha256.Sum256(b))
		}
	}
	return "NULL"
}

// describe gives an error's codes and text.
func describe(err error) string {
	if err == nil {
		return "ok"
	}
	code, extended := errorCodes(err)
	return fmt.Sprintf("%d/%d %s", code, extended, err)
}

func errorCodes(err error) (code, extended int) {
	var e *sqlite3.Error
	var x sqlite3.ExtendedErrorCode
	var c sqlite3.ErrorCode
	switch {
	case errors.As(err, &e):
		return int(e.Code()), int(e.ExtendedCode())
	case errors.As(err, &x):
		return int(x.Code()), int(x)
	case errors.As(err, &c):
		return int(c), int(c)
	}
	return -1, -1
}

// Golden writes results in the format of native/testdata/native.txt.
func Golden(names, results []string) []byte {
	var b bytes.Buffer
	for i, name := range names {
		fmt.Fprintf(&b, "== %s\n%s", name, results[i])
	}
	return b.Bytes()
}

// ParseGolden reads that format.
func ParseGolden(data []byte) map[string]string {
	results := map[string]string{}
	var name string
	for line := range strings.Lines(string(data)) {
		if n, ok := strings.CutPrefix(line, "== "); ok {
			name = strings.TrimSuffix(n, "\n")
			continue
		}
		results[name] += line
	}
	return results
}

// Diff describes the first lines in which two results differ, or is empty.
func Diff(got, want string) string {
	if got == want {
		return ""
	}
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	g = skipAnswers(g, w)
	for i := range max(len(g), len(w)) {
		var a, b string
		if i < len(g) {
			a = g[i]
		}
		if i < len(w) {
			b = w[i]
		}
		if a != b {
			before := ""
			if i > 0 {
				before = w[i-1]
			}
			return fmt.Sprintf("line %d, after %s\n got %s\nwant %s", i+1, before, a, b)
		}
	}
	return ""
}

// skipAnswers replaces in got the answers to the statements that are
// out of stack in want.
func skipAnswers(got, want []string) []string {
	var out []string
	for len(got) > 0 {
		if len(out) < len(want) && want[len(out)] == outOfStack && got[0] != outOfStack {
			for len(got) > 0 && got[0] != "" && !strings.HasPrefix(got[0], "> ") {
				got = got[1:]
			}
			out = append(out, outOfStack)
			continue
		}
		out = append(out, got[0])
		got = got[1:]
	}
	return out
}
