package leader

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/rpc"
	"heddle.dev/heddle/internal/rpc/rpctest"
)

func bulkBegin(sql string) rpc.Request {
	return rpc.Request{Method: rpc.MethodBulkBegin, Stmt: rpc.Stmt{SQL: sql}}
}

const insertNotes = "INSERT INTO notes VALUES(?,?,?)"

// part makes rows from to to-1 of the table notes.
func part(load uint32, from, to int) rpc.Request {
	var rows [][]rpc.Value
	for i := from; i < to; i++ {
		rows = append(rows, []rpc.Value{fmt.Sprint("k", i), "body", int64(i)})
	}
	return rpc.Request{Method: rpc.MethodBulkRows, Target: load, Rows: rpctest.MakeRows(3, rows)}
}

func end(method rpc.Method, load uint32) rpc.Request {
	return rpc.Request{Method: method, Target: load}
}

func TestBulk_inParts(t *testing.T) {
	l := openLeader(t, nil)
	p, other := connect(t, l, "a"), connect(t, l, "b")
	load := p.send(bulkBegin(insertNotes))
	for i := range 10 {
		p.ask(part(load, i*100, i*100+100)).ok()
		// Reads pass a load; nothing of it shows before its end.
		for _, q := range []*tab{p, other} {
			if n := q.value("SELECT count(*) FROM notes"); n != int64(0) {
				t.Fatalf("after part %d a reader sees %v rows", i, n)
			}
		}
	}
	p.send(end(rpc.MethodBulkEnd, load))
	res, err := p.wait(load).ok().last.Payload.Result()
	if err != nil || res.Changes != 1000 {
		t.Errorf("got %+v, %v", res, err)
	}
	if n := other.value("SELECT sum(n) FROM notes"); n != int64(499500) {
		t.Errorf("got a sum of %v", n)
	}
	p.ask(part(load, 0, 1)).fails(errcode.TxClosed)
}

func TestBulk_noRowsAndBadSQL(t *testing.T) {
	p := connect(t, openLeader(t, nil), "a")
	load := p.send(bulkBegin(insertNotes))
	p.send(end(rpc.MethodBulkEnd, load))
	if res, err := p.wait(load).ok().last.Payload.Result(); err != nil || res.Changes != 0 {
		t.Errorf("got %+v, %v", res, err)
	}
	p.ask(bulkBegin("INSERT INTO nowhere VALUES(?)")).fails("SQLITE_ERROR")
	// The parts of a load that was refused are answered too.
	load = p.send(bulkBegin("INSERT INTO nowhere VALUES(?)"))
	first := p.send(part(load, 0, 1))
	p.wait(load).fails("SQLITE_ERROR")
	p.wait(first).fails(errcode.TxClosed)
	p.ask(exec(insertNotes, "a", "b", nil)).ok()
}

func TestBulk_aRefusedRowUndoesAll(t *testing.T) {
	p := connect(t, openLeader(t, nil), "a")
	load := p.send(bulkBegin(insertNotes))
	p.ask(part(load, 0, 100)).ok()
	again := p.send(part(load, 99, 101))
	p.wait(load).fails("SQLITE_CONSTRAINT_PRIMARYKEY")
	p.wait(again).fails(errcode.TxClosed)
	load = p.send(bulkBegin(insertNotes))
	wrong := part(load, 0, 1)
	wrong.Rows = rpctest.MakeRows(2, [][]rpc.Value{{"a", "b"}})
	p.send(wrong)
	p.wait(load).fails(errcode.BadParam)
	if n := p.value("SELECT count(*) FROM notes"); n != int64(0) {
		t.Errorf("got %v notes, want none", n)
	}
}

func TestBulk_cancelAndSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := openLeader(t, hurried)
		p, other := connect(t, l, "a"), connect(t, l, "b")
		load := p.send(bulkBegin(insertNotes))
		p.ask(part(load, 0, 10)).ok()
		p.send(rpc.Request{Method: rpc.MethodCancel, Target: load})
		p.wait(load).fails(errcode.Aborted)

		load = p.send(bulkBegin(insertNotes))
		p.ask(part(load, 0, 10)).ok()
		start := time.Now()
		other.ask(exec(insertNotes, "a", "b", nil)).ok()
		p.wait(load).fails(errcode.Timeout)
		if d := time.Since(start); d != 30*time.Second {
			t.Errorf("given up after %v, want 30s", d)
		}

		// Cancelled while it waits for its turn, with parts already there.
		tx := other.begin()
		load = p.send(bulkBegin(insertNotes))
		waits := p.send(part(load, 0, 10))
		p.send(rpc.Request{Method: rpc.MethodCancel, Target: load})
		p.wait(load).fails(errcode.Aborted)
		p.wait(waits).fails(errcode.TxClosed)
		other.ask(rollback(tx)).ok()
		if n := p.value("SELECT count(*) FROM notes"); n != int64(1) {
			t.Errorf("got %v notes, want 1", n)
		}
	})
}

func TestExportImport_roundTrip(t *testing.T) {
	l := openLeader(t, nil)
	p := connect(t, l, "a")
	load := p.send(bulkBegin(insertNotes))
	p.ask(part(load, 0, 20000)).ok()
	p.send(end(rpc.MethodBulkEnd, load))
	p.wait(load).ok()
	a := p.ask(rpc.Request{Method: rpc.MethodExport}).ok()
	var file []byte
	for _, m := range a.chunks {
		file = append(file, m.Payload.Bytes()...)
	}
	if len(a.chunks) < 2 || !bytes.HasPrefix(file, []byte("SQLite format 3\x00")) {
		t.Fatalf("got %d bytes in %d chunks", len(file), len(a.chunks))
	}
	p.ask(exec("DELETE FROM notes")).ok()
	live := p.send(rpc.Request{Method: rpc.MethodLiveStart, Stmt: stmt("SELECT count(*) FROM notes")})
	p.wait(live).ok()
	first := liveOf(t, p, live)
	p.ack()

	// Into this database and into a new one.
	fresh := connect(t, openLeader(t, nil), "b")
	for _, p := range []*tab{p, fresh} {
		sendFile(p, file, uint64(len(file))).ok()
		if n := p.value("SELECT sum(n) FROM notes"); n != int64(199990000) {
			t.Errorf("got a sum of %v", n)
		}
	}
	if u := liveOf(t, p, live); len(u.Rows) != 1 || u.Rows[0][0] != int64(20000) || first.Rows[0][0] != int64(0) {
		t.Errorf("live: got %v, then %v", first.Rows, u.Rows)
	}
}

func sendFile(p *tab, file []byte, size uint64) answer {
	load := p.send(rpc.Request{Method: rpc.MethodImportBegin, Size: size})
	for len(file) > 0 && !p.has(lastOf(load)) {
		n := min(len(file), 100_000)
		id := p.send(rpc.Request{Method: rpc.MethodImportPart, Target: load, Bytes: file[:n]})
		p.take("answer", lastOf(id))
		file = file[n:]
	}
	p.send(end(rpc.MethodImportEnd, load))
	return p.wait(load)
}

func TestImport_refuses(t *testing.T) {
	l := openLeader(t, nil)
	p := connect(t, l, "a")
	p.ask(exec(insertNotes, "a", "b", nil)).ok()
	sendFile(p, bytes.Repeat([]byte("no database\x00"), 1000), 12000).fails("SQLITE_NOTADB")
	sendFile(p, bytes.Repeat([]byte("no database "), 1000), 12000).fails("SQLITE_ERROR") // a text, and no SQL
	sendFile(p, bytes.Repeat([]byte("SQLite"), 1000), 7000).fails(errcode.Protocol)
	sendFile(p, bytes.Repeat([]byte("SQLite"), 1000), 5000).fails(errcode.Protocol)
	sendFile(p, append([]byte("SQLite format 3\x00"), make([]byte, 8000)...), 8016)
	if n := p.value("SELECT count(*) FROM notes"); n != int64(1) {
		t.Errorf("got %v notes, want 1: a refused file changed something", n)
	}
	p.ask(exec("DELETE FROM notes")).ok()
}

// A text is imported as a file is, also one whose size is not known before.
func TestImport_text(t *testing.T) {
	text := []byte(`BEGIN; CREATE TABLE others(a); INSERT INTO others VALUES('x;'); ` +
		strings.Repeat("INSERT INTO others VALUES('y'); ", 9999) + `COMMIT`)
	for _, size := range []uint64{uint64(len(text)), rpc.UnknownSize} {
		p := connect(t, openLeader(t, nil), "a")
		p.ask(exec(insertNotes, "a", "b", nil)).ok()
		sendFile(p, text, size).ok()
		if n := p.value("SELECT count(*) - (SELECT count(*) FROM notes) FROM others"); n != int64(10000) {
			t.Errorf("got %v", n)
		}
	}
}

func TestExport_isOfTheMomentAfterTheWritesBefore(t *testing.T) {
	p := connect(t, openLeader(t, nil), "a")
	p.send(exec(insertNotes, "a", "b", nil))
	id := p.send(rpc.Request{Method: rpc.MethodExport})
	a := p.wait(id).ok()
	var file []byte
	for _, m := range a.chunks {
		file = append(file, m.Payload.Bytes()...)
	}
	other := connect(t, openLeader(t, func(_ *rpc.OpenConfig, env *Env) {
		env.Filename = "file:" + filepath.ToSlash(filepath.Join(t.TempDir(), "other.db"))
	}), "b")
	sendFile(other, file, uint64(len(file))).ok()
	if n := other.value("SELECT count(*) FROM notes"); n != int64(1) {
		t.Errorf("got %v notes, want 1", n)
	}
	if len(file)%512 != 0 {
		t.Errorf("a file of %d bytes is no whole number of pages", len(file))
	}
}
