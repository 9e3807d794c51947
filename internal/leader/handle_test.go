package leader

import (
	"encoding/binary"
	"strings"
	"testing"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/rpc"
	"heddle.dev/heddle/internal/rpc/rpctest"
)

// FuzzSession_Handle takes a tab that sends anything: no message stops the
// leader, and each that has an id gets an answer that decodes or none.
func FuzzSession_Handle(f *testing.F) {
	hello := helloOf("a", []string{notes})
	write := rpc.WriteID{Counter: 1}
	requests := []rpc.Request{
		hello, {Method: rpc.MethodExportEnd}, {Method: rpc.MethodCancel, Target: 2}, {Method: rpc.MethodOutcome,
			Write: write},
		{Method: rpc.MethodExec, Write: write, Stmt: stmt("INSERT INTO notes VALUES(?,?,?)", "k", "b", int64(1))},
		{Method: rpc.MethodQuery, Stmt: stmt("SELECT * FROM notes"), Time: 1e9},
		{Method: rpc.MethodBatch, Write: write, Stmts: []rpc.Stmt{stmt("DELETE FROM notes"), stmt("SELECT 1")}},
		{Method: rpc.MethodBulkBegin, Write: write, Stmt: rpc.Stmt{SQL: "INSERT INTO notes(id) VALUES(?)"}},
		{Method: rpc.MethodBulkRows, Target: 8, Rows: rpctest.MakeRows(1,
			[][]rpc.Value{{"a"}, {nil}})}, {Method: rpc.MethodBulkEnd, Target: 8},
		{Method: rpc.MethodIterate, Stmt: stmt("SELECT 1"), Block: 1, Credit: 1}, {Method: rpc.MethodCredit, Target: 11,
			Credit: rpc.MaxCredit},
		{Method: rpc.MethodTxBegin, Write: write}, {Method: rpc.MethodTxExec, Target: 13, Stmt: stmt("DELETE FROM notes")},
		{Method: rpc.MethodTxQuery, Target: 13, Stmt: stmt("SELECT 1")}, {Method: rpc.MethodTxCommit, Target: 13},
		{Method: rpc.MethodTxRollback, Target: 13}, {Method: rpc.MethodLiveStart, Stmt: stmt("SELECT count(*) FROM notes")},
		{Method: rpc.MethodLiveStop, Target: 18}, {Method: rpc.MethodLivePause, Paused: true},
		{Method: rpc.MethodListen, Listens: true}, {Method: rpc.MethodListen},
		{Method: rpc.MethodAck, Event: uint8(rpc.EventLive)},
		{Method: rpc.MethodAck, Event: uint8(rpc.EventStatus)}, {Method: rpc.MethodImportBegin, Write: write, Size: 1 << 20},
		{Method: rpc.MethodImportPart, Target: 22, Bytes: []byte("SQLite format 3")}, {Method: rpc.MethodImportEnd,
			Target: 22},
		{Method: rpc.MethodExportFile}, {Method: rpc.MethodExportPart, Target: 25,
			From: 1 << 40}, {Method: rpc.MethodExportEnd, Target: 25},
		{Method: rpc.MethodSyncNow}, {Method: rpc.MethodSyncRetry, Tx: 1 << 60}, {Method: rpc.MethodToken, Target: 1,
			Token: "t"},
		{Method: rpc.MethodSyncDangling, Limit: 1 << 31}, {Method: rpc.MethodSyncQuarantined,
			Limit: 1 << 31}, {Method: rpc.MethodHealth},
	}
	var all []byte
	for i, q := range requests {
		q.ID = uint32(i + 1)
		message := rpctest.EncodeRequest(q)
		one := binary.LittleEndian.AppendUint16(nil, uint16(len(message)))
		one = append(one, message...)
		f.Add(one)
		all = append(all, one...)
	}
	f.Add(all)
	f.Add(append(all, all...))
	l := openLeader(f, nil)
	f.Fuzz(func(t *testing.T, input []byte) {
		p := connect(t, l, "a")
		for len(input) >= 2 {
			n := min(int(binary.LittleEndian.Uint16(input)), len(input)-2)
			p.s.Handle(input[2:2+n:2+n], n%2 == 0)
			input = input[2+n:]
		}
		p.s.Close()
		p.mu.Lock()
		for _, m := range p.inbox {
			if m.Kind == rpc.KindError && strings.Contains(m.Payload.Err().Error(), "a fault of Heddle") {
				t.Error(m.Payload.Err())
			}
		}
		p.mu.Unlock()
		if n := connect(t, l, "b").value("SELECT 1"); n != int64(1) {
			t.Errorf("SELECT 1 is %v", n)
		}
	})
}

// What one tab's SQL asks for does not reach other tabs.
func TestSession_sqlOfOneTab(t *testing.T) {
	l := openLeader(t, nil)
	a, b := connect(t, l, "a"), connect(t, l, "b")
	long := strings.Repeat("n", 1_000_001)
	for _, test := range []struct {
		q    rpc.Request
		code string
	}{
		{exec("ATTACH ? AS x", "/nowhere/at.all"), errcode.Unsupported},
		{exec("PRAGMA wal_autocheckpoint = ''"), "SQLITE_AUTH"},
		{query("PRAGMA synchronous = ''"), "SQLITE_AUTH"},
		{exec("CREATE TEMP TABLE notes(id, body, n)"), errcode.Unsupported},
		{query(`SELECT 1 AS "` + long + `"`), "SQLITE_TOOBIG"},
		{exec(`CREATE TABLE x("` + long + `")`), "SQLITE_TOOBIG"},
		{query("SELECT 'aaa' LIKE ?", strings.Repeat("%a", 25000)), "SQLITE_ERROR"},
		{exec("VACUUM INTO 'x'"), errcode.Unsupported},
	} {
		a.ask(test.q).fails(test.code)
		b.ask(exec("INSERT INTO notes VALUES(hex(randomblob(8)), '', 1)")).ok()
	}
	a.ask(exec("/* tidy */ VACUUM main;")).ok()
	if n := b.value("SELECT count(*) FROM notes"); n != int64(8) {
		t.Errorf("got %v rows", n)
	}
}
