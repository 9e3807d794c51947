package leader

import (
	"fmt"
	"reflect"
	"sync/atomic"
	"testing"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/rpc"
	"heddle.dev/heddle/internal/rpc/rpctest"

	"github.com/ncruces/go-sqlite3"
)

// stepper is a BlockPacker in Go: as the engine's, it steps the statement.
type stepper struct {
	p    rpc.Packer
	open *atomic.Int64
}

func (s *stepper) Read(stmt any, onRow bool, maxRows, maxBytes, steps int) int {
	q := stmt.(*sqlite3.Stmt)
	if onRow {
		s.p.Row(q)
	}
	for ; steps > 0 && s.p.Rows() < maxRows && !s.p.Full(); steps-- {
		if !q.Step() {
			if q.Err() != nil {
				return 1
			}
			return codeDone
		}
		s.p.Row(q)
	}
	return codeRow
}

func (s *stepper) Rows() int { return s.p.Rows() }

func (s *stepper) AppendTo(message []byte) ([]byte, bool) {
	// The flags stand there already.
	return s.p.AppendTo(message[:len(message)-1]), true
}

func (s *stepper) Close() { s.open.Add(-1) }

func TestRows_packedInsideTheEngine(t *testing.T) {
	var made, open atomic.Int64
	l := openLeader(t, func(_ *rpc.OpenConfig, env *Env) {
		env.NewBlockPacker = func(stmt *sqlite3.Stmt, columns int) BlockPacker {
			if made.Add(1)%4 == 0 {
				return nil // now and then it has no memory
			}
			open.Add(1)
			s := &stepper{open: &open}
			s.p.BeginBare(columns)
			return s
		}
	})
	p := connect(t, l, "a")
	const numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < ?) SELECT i, 'row '||i AS t"
	for _, n := range []int{0, 1, 127, 128, 129, 130, 640, 641, 642, 5000, 20000} {
		columns, rows := p.ask(query(numbers+" FROM n LIMIT ?", int64(max(1, n)), int64(n))).rows()
		if len(rows) != n || len(columns) != 2 || columns[1] != "t" {
			t.Fatalf("%d rows: got %d, columns %q", n, len(rows), columns)
		}
		for i, row := range rows {
			if row[0] != int64(i+1) || row[1] != fmt.Sprint("row ", i+1) {
				t.Fatalf("%d rows: row %d is %v", n, i, row)
			}
		}
	}
	tx := p.begin()
	p.ask(inTx(rpc.MethodTxExec, tx, "INSERT INTO notes "+numbers+", i FROM n", int64(3000))).ok()
	if _, rows := p.ask(inTx(rpc.MethodTxQuery, tx, "SELECT * FROM notes")).rows(); len(rows) != 3000 {
		t.Errorf("in a transaction: got %d rows", len(rows))
	}
	p.ask(commit(tx)).ok()
	if _, rows := p.writeQuery("UPDATE notes SET n = n + 1 RETURNING n").rows(); len(rows) != 3000 ||
		rows[2999][0] != int64(3001) {
		t.Errorf("RETURNING: got %d rows", len(rows))
	}
	if res, rows := p.ask(exec("UPDATE notes SET n = n + 1 RETURNING n")).returned(); len(rows) != 3000 ||
		res.Changes != 3000 || rows[2999][0] != int64(3002) {
		t.Errorf("exec with RETURNING: got %+v and %d rows", res, len(rows))
	}

	// Ended in the middle: by an error, and by the page.
	for range 3 {
		p.ask(query("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n) SELECT abs(CASE i WHEN 3000 THEN " +
			"-9223372036854775808 ELSE i END) FROM n")).fails("SQLITE_ERROR")
		id := p.send(query("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n) SELECT i FROM n"))
		p.take("chunk", func(m rpctest.Message) bool { return m.ID == id && m.Kind == rpc.KindChunk })
		p.send(rpc.Request{Method: rpc.MethodCancel, Target: id})
		p.wait(id).fails(errcode.Aborted)
	}
	if n := p.value("SELECT 1"); n != int64(1) {
		t.Errorf("got %v", n)
	}
	if n := open.Load(); n != 0 || made.Load() < 10 {
		t.Errorf("%d of %d packers are left open", n, made.Load())
	}
}

func TestExec_rowsOfTheLastStatement(t *testing.T) {
	const insert = "INSERT INTO notes VALUES(?, 'body', 7)"
	type rows = [][]rpc.Value
	for _, c := range []struct {
		name    string
		sql     string
		args    []rpc.Value
		changes int64
		rows    rows
	}{
		{"none", insert, []rpc.Value{"k"}, 1, nil},
		{"RETURNING", insert + " RETURNING id, n", []rpc.Value{"k"}, 1,
			rows{{"k", int64(7)}}},
		{"a comment behind it", insert + " RETURNING id; -- the end", []rpc.Value{"k"},
			1, rows{{"k"}}},
		{"no row matches", "DELETE FROM notes RETURNING id", nil, 0, nil},
		{"of several the last one's", "INSERT INTO notes VALUES('a', 'b', 1) RETURNING id; SELECT n FROM notes", nil,
			0, rows{{int64(1)}}},
		{"of several none", "SELECT 1; INSERT INTO notes VALUES('a', 'b', 1)", nil,
			1, nil},
		{"a PRAGMA", "PRAGMA user_version", nil, 0, rows{{int64(0)}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := connect(t, openLeader(t, nil), "a")
			res, got := p.ask(exec(c.sql, c.args...)).returned()
			if res.Changes != c.changes || !reflect.DeepEqual(got, c.rows) {
				t.Errorf("got %+v, %v; want %d, %v", res, got, c.changes, c.rows)
			}
			tx := connect(t, openLeader(t, nil), "b")
			id := tx.begin()
			if res, got := tx.ask(inTx(rpc.MethodTxExec, id, c.sql, c.args...)).returned(); res.Changes != c.changes ||
				!reflect.DeepEqual(got, c.rows) {
				t.Errorf("in a transaction: got %+v, %v; want %d, %v", res, got, c.changes, c.rows)
			}
		})
	}
}
