package rpc_test

import (
	"encoding/hex"
	"encoding/json"
	"flag"
	"math"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/rpc"
	"heddle.dev/heddle/internal/rpc/rpctest"
)

var update = flag.Bool("update", false, "write testdata/vectors.json")

// vectors is testdata/vectors.json: messages by name, in hex. web/test/rpc/codec.test.ts
// makes the same requests and reads the same replies.
type vectors struct {
	Requests map[string]string `json:"requests"`
	Replies  map[string]string `json:"replies"`
	Configs  map[string]string `json:"configs"`

	Announcements map[string]string `json:"announcements"`
}

var write = rpc.WriteID{Counter: 7, Ack: 5}

var requestVectors = map[string]rpc.Request{
	"hello": {ID: 1, Method: rpc.MethodHello,
		Hello: rpc.Hello{Version: rpc.Version, Session: "tab-1", Migrations: 3, Token: true, Leader: "L0", Commit: 1 << 40,
			Texts: rpc.HashMigrations([]string{" CREATE TABLE t(a)\r\n", "", "SELECT 'é€😀'"})}},
	"cancel":  {ID: 3, Method: rpc.MethodCancel, Target: 2},
	"outcome": {ID: 39, Method: rpc.MethodOutcome, Write: write},
	"exec":    {ID: 5, Method: rpc.MethodExec, Write: write, Stmt: rpc.Stmt{SQL: "DELETE FROM t"}},
	"exec-positional": {ID: 6, Method: rpc.MethodExec, Write: write,
		Stmt: rpc.Stmt{SQL: "INSERT INTO t VALUES(?,?,?,?,?,?,?,?)", Params: rpc.Params{Positional: []rpc.Value{
			nil, int64(1), int64(-9007199254740993), int64(math.MaxInt64), 1.5, "a\x00ü€😀", []byte{0, 255},
			math.Copysign(0, -1)}}}},
	"exec-empty": {ID: 7, Method: rpc.MethodExec, Write: write,
		Stmt: rpc.Stmt{SQL: "SELECT 1", Params: rpc.Params{Positional: []rpc.Value{}}}},
	"query-named": {ID: 8, Method: rpc.MethodQuery,
		Stmt: rpc.Stmt{SQL: "SELECT :a, $b", Params: rpc.Params{Named: map[string]rpc.Value{
			"$b": "x", "a": int64(1)}}}},
	"batch": {ID: 9, Method: rpc.MethodBatch, Write: write,
		Stmts: []rpc.Stmt{{SQL: "A"}, {SQL: "B", Params: rpc.Params{Positional: []rpc.Value{int64(1)}}}}},
	"bulkBegin": {ID: 10, Method: rpc.MethodBulkBegin, Write: write, Stmt: rpc.Stmt{SQL: "INSERT INTO t VALUES(?,?)"}},
	"bulkRows": {ID: 11, Method: rpc.MethodBulkRows, Target: 10,
		Rows: rpctest.MakeRows(2, [][]rpc.Value{{int64(1), "a"}, {nil, 2.5}})},
	"bulkEnd":  {ID: 12, Method: rpc.MethodBulkEnd, Target: 10},
	"notify":   {ID: 46, Method: rpc.MethodNotify, Write: write, Channel: "chat", Payload: `{"a":"ü"}`},
	"txNotify": {ID: 47, Method: rpc.MethodTxNotify, Target: 13, Channel: "chat", Payload: "null"},
	"iterate": {ID: 40, Method: rpc.MethodIterate,
		Stmt: rpc.Stmt{SQL: "SELECT ?", Params: rpc.Params{Positional: []rpc.Value{int64(1)}}}, Block: 1000, Credit: 2},
	"credit": {ID: 41, Method: rpc.MethodCredit, Target: 40, Credit: 1},
	"deadline": {ID: 42, Method: rpc.MethodTxExec, Time: 1500 * time.Millisecond, Target: 13,
		Stmt: rpc.Stmt{SQL: "A"}},
	"txBegin": {ID: 13, Method: rpc.MethodTxBegin, Write: write},
	"txExec":  {ID: 14, Method: rpc.MethodTxExec, Target: 13, Stmt: rpc.Stmt{SQL: "A"}},
	"txQuery": {ID: 15, Method: rpc.MethodTxQuery, Target: 13, Stmt: rpc.Stmt{SQL: "B"}},
	"txBatch": {ID: 16, Method: rpc.MethodTxBatch, Target: 13, Stmts: []rpc.Stmt{{SQL: "C"}}},
	"txBulk": {ID: 46, Method: rpc.MethodTxBulk, Target: 13, Stmt: rpc.Stmt{SQL: "D"},
		Rows: rpctest.MakeRows(1, [][]rpc.Value{{int64(1)}, {"x"}})},
	"txCommit":     {ID: 17, Method: rpc.MethodTxCommit, Target: 13},
	"txRollback":   {ID: 18, Method: rpc.MethodTxRollback, Target: 13},
	"liveStart":    {ID: 19, Method: rpc.MethodLiveStart, Stmt: rpc.Stmt{SQL: "SELECT * FROM t"}},
	"liveStop":     {ID: 20, Method: rpc.MethodLiveStop, Target: 19},
	"ack":          {ID: 21, Method: rpc.MethodAck, Event: uint8(rpc.EventLive)},
	"liveStats":    {ID: 48, Method: rpc.MethodLiveStats},
	"liveExplain":  {ID: 49, Method: rpc.MethodLiveExplain, Stmt: rpc.Stmt{SQL: "SELECT 1"}},
	"livePause":    {ID: 46, Method: rpc.MethodLivePause, Paused: true},
	"listen":       {ID: 52, Method: rpc.MethodListen, Listens: true},
	"export":       {ID: 22, Method: rpc.MethodExport},
	"importBegin":  {ID: 23, Method: rpc.MethodImportBegin, Write: write, Size: 5 << 32},
	"importPart":   {ID: 24, Method: rpc.MethodImportPart, Target: 23, Bytes: []byte("SQLite")},
	"importEnd":    {ID: 25, Method: rpc.MethodImportEnd, Target: 23},
	"syncNow":      {ID: 27, Method: rpc.MethodSyncNow},
	"syncPause":    {ID: 28, Method: rpc.MethodSyncPause, Persist: true},
	"syncAccept":   {ID: 45, Method: rpc.MethodSyncAccept, Upload: true},
	"syncResume":   {ID: 29, Method: rpc.MethodSyncResume},
	"syncDigest":   {ID: 30, Method: rpc.MethodSyncDigest},
	"token":        {ID: 31, Method: rpc.MethodToken, Target: 4, Token: "abc"},
	"syncPending":  {ID: 33, Method: rpc.MethodSyncPending},
	"syncRejected": {ID: 34, Method: rpc.MethodSyncRejected},
	"syncRetry":    {ID: 35, Method: rpc.MethodSyncRetry, Tx: 1 << 33},
	"syncDiscard":  {ID: 36, Method: rpc.MethodSyncDiscard, Tx: 5},
	"syncDangling": {ID: 37, Method: rpc.MethodSyncDangling, Limit: 100},
	"syncExport":   {ID: 38, Method: rpc.MethodSyncExport},

	"sealedCreate":     {ID: 60, Method: rpc.MethodSealedCreate, Name: "Laptop"},
	"sealedUnlock":     {ID: 61, Method: rpc.MethodSealedUnlock, Name: "Tablet", Code: "Y29kZQ"},
	"sealedJoin":       {ID: 62, Method: rpc.MethodSealedJoin, Name: "Phone", Link: "bGluaw"},
	"sealedInvite":     {ID: 63, Method: rpc.MethodSealedInvite, Role: "write", Other: true},
	"sealedAnswer":     {ID: 64, Method: rpc.MethodSealedAnswer, Target: 63, Text: "a2V5"},
	"sealedMembers":    {ID: 65, Method: rpc.MethodSealedMembers},
	"sealedRemove":     {ID: 66, Method: rpc.MethodSealedRemove, Ids: []string{"00ff"}},
	"sealedCode":       {ID: 67, Method: rpc.MethodSealedCode},
	"sealedUnlockBy":   {ID: 68, Method: rpc.MethodSealedUnlockBy, Name: "Tablet", Code: "AAEC"},
	"sealedPassphrase": {ID: 69, Method: rpc.MethodSealedPassphrase, Coded: true},
	"sealedEvidence":   {ID: 71, Method: rpc.MethodSealedEvidence},

	"sealedFingerprint": {ID: 72, Method: rpc.MethodSealedFingerprint, Seq: 13},

	"syncQuarantined": {ID: 44, Method: rpc.MethodSyncQuarantined, Limit: 100},
	"exportFile":      {ID: 39, Method: rpc.MethodExportFile},
	"exportPart":      {ID: 42, Method: rpc.MethodExportPart, Target: 39, From: 1 << 33},
	"exportEnd":       {ID: 43, Method: rpc.MethodExportEnd, Target: 39},
	"health":          {ID: 41, Method: rpc.MethodHealth, Full: true},
	"token-error": {ID: 32, Method: rpc.MethodToken, Target: 4,
		Err: &errcode.Error{Code: errcode.Unauthorized, Msg: "no token"}},
}

var rejectedVector = rpc.Transaction{ID: 9, Counter: 4, Created: 1700000000000, Code: "SQLITE_CONSTRAINT_CHECK",
	Message: "no", Ops: []rpc.Op{
		{Kind: "update", Table: "t", Key: []rpc.Value{"k"}, Columns: []string{"a", "b"}, Cells: []rpc.Value{int64(5), "x"},
			Joins: []string{"add", "last"}}}}

func packed(id uint32, kind rpc.Kind, columns []string, rows ...[]rpc.Value) []byte {
	var p rpc.Packer
	p.Begin(columns)
	for _, row := range rows {
		p.Values(row)
	}
	return p.AppendTo(rpc.Reply(id, kind))
}

// returnedVector is the reply to an exec whose statement returns rows.
func returnedVector() []byte {
	var p rpc.Packer
	p.Begin([]string{"id"})
	p.Values([]rpc.Value{int64(7)})
	reply := p.AppendTo(rpc.ReplyResult(5, rpc.Result{}))
	rpc.SetResult(reply, rpc.Result{Changes: 1, LastInsertRowID: 7})
	return reply
}

var liveStatementVector = rpc.LiveStatement{Sql: "SELECT a", Queries: 2, Commits: 1000, Probed: 3, Patched: 4,
	Runs: 102, Vain: 100, Micros: 1500, Why: "no ORDER BY",
	Places: []rpc.LivePlace{{Table: "t", Column: "b", How: "value"}}}

func liveVector(results ...rpc.LiveResult) []byte {
	var out []byte
	rpc.EncodeLive(new(rpc.Packer), 9, results, func(b []byte) { out = b })
	return out
}

func replyVectors() map[string][]byte {
	failure := &errcode.Error{Code: "SQLITE_CONSTRAINT_UNIQUE", Msg: "UNIQUE constraint failed: t.a", Op: "store: exec",
		SQL: "INSERT …"}
	status := rpc.Status{State: "live", Seq: 12, Pending: 3, Err: failure, Repairs: 2, Incomplete: true,
		Polling: "buffered", Findings: []rpc.Finding{{What: "withheld", Device: "0102", Seq: 13},
			{What: "tampered", Kind: "fork", Seq: 12}},
		Snapshot: &rpc.SnapshotStatus{Seq: 11, Proved: true, Confirmed: 1, Devices: 2}}
	return map[string][]byte{
		"error":       rpc.ReplyError(5, failure),
		"result":      rpc.ReplyResult(5, rpc.Result{Changes: 2, LastInsertRowID: 1 << 60}),
		"result-rows": returnedVector(),
		"results": rpc.ReplyResults(9,
			[]rpc.Result{{Changes: 1, LastInsertRowID: 2}, {Changes: 3, LastInsertRowID: 4}}),
		"empty": rpc.Reply(2, rpc.KindResult),
		"welcome": rpc.ReplyWelcome(1,
			rpc.Welcome{Version: rpc.Version, Leader: "L", Storage: "persistent", Migrations: 2, Commit: 9, Sync: true,
				Status: rpc.Status{State: "offline"}}),
		"digest":          rpc.ReplyDigest(30, rpc.Digest{Seq: 12, Hash: "abcd"}),
		"rows-none":       packed(8, rpc.KindResult, []string{"a", "b"}),
		"rows-no-columns": packed(8, rpc.KindResult, nil),
		"rows-types": packed(8, rpc.KindChunk, []string{"nil", "i32", "f64", "i53", "i64", "text", "blob", "mixed"},
			[]rpc.Value{nil, int64(1), 1.5, int64(1 << 53), int64(1<<53 + 1), "a", []byte{1}, int64(math.MinInt64)},
			[]rpc.Value{nil, int64(-2147483648), math.Inf(1), int64(-1 << 53), int64(-1), "", []byte{}, "x"},
			[]rpc.Value{nil, int64(2147483647), int64(3), int64(7), int64(math.MinInt64), "\ufeffä\x00€😀", []byte{0, 254, 255},
				[]byte{9}}),
		"rows-nulls": packed(8, rpc.KindResult, []string{"i32", "f64", "i64", "text", "blob", "mixed"},
			[]rpc.Value{nil, nil, nil, nil, nil, nil},
			[]rpc.Value{int64(1), 0.5, int64(math.MaxInt64), "é", []byte{1, 2}, 2.5},
			[]rpc.Value{nil, nil, nil, nil, nil, int64(1)},
			[]rpc.Value{nil, nil, nil, nil, nil, "m"},
			[]rpc.Value{nil, nil, nil, nil, nil, nil},
			[]rpc.Value{nil, nil, nil, nil, nil, nil},
			[]rpc.Value{nil, nil, nil, nil, nil, nil},
			[]rpc.Value{nil, nil, nil, nil, nil, nil},
			[]rpc.Value{int64(-5), -1.0, int64(2), "end", []byte{3}, []byte{}}),
		"rows-invalid-utf8": packed(8, rpc.KindResult, []string{"t"},
			[]rpc.Value{"a\xffb"}, []rpc.Value{"\xf0\x9f\x98"}, []rpc.Value{"\xed\xa0\x80"}, []rpc.Value{"\xe2\x82ok"},
			[]rpc.Value{"\xc0\xaf"}, []rpc.Value{"\xf4\x90\x80\x80"}, []rpc.Value{"fine"}),
		"live": liveVector(
			rpc.LiveResult{Query: 19, Update: &rpc.Update{Reset: true, Columns: []string{"a", "b"}, Total: 2,
				Runs: []rpc.Run{{N: 2, Rows: [][]rpc.Value{{int64(1), "x"}, {int64(2), nil}}}}}},
			rpc.LiveResult{Query: 20, Update: &rpc.Update{Columns: []string{"a", "b"}, Total: 3,
				Runs: []rpc.Run{{Copy: true, From: 1, N: 1}, {N: 1, Rows: [][]rpc.Value{{int64(3), "y"}}},
					{Copy: true, From: 0, N: 1}}}, Err: failure},
			rpc.LiveResult{Query: 21, Err: failure}),
		"live-stats":      rpc.ReplyLiveStatements(48, []rpc.LiveStatement{liveStatementVector}),
		"live-vain":       rpc.LiveVainEvent(liveStatementVector),
		"live-explain":    rpc.ReplyLiveStatement(49, liveStatementVector),
		"status-event":    rpc.StatusEvent(status),
		"snapshot-failed": rpc.SnapshotFailedEvent(failure),
		"progress":        rpc.ProgressEvent(rpc.Progress{Phase: "pull", Done: 10, Total: 200}),
		"rejected":        rpc.RejectedEvent(rejectedVector),
		"transactions": rpc.ReplyTransactions(34,
			[]rpc.Transaction{rejectedVector, {ID: 8, Created: 1700000000000, Ops: []rpc.Op{
				{Kind: "delete", Table: "t", Key: []rpc.Value{"k"}}}}}),
		"flag": rpc.ReplyBool(35, true),
		"keys": rpc.ReplyKeys(37, []rpc.Key{{Table: "t", Key: []rpc.Value{"k", int64(2)}},
			{Table: "u", Key: []rpc.Value{[]byte{1}}}}),
		"text": rpc.ReplyString(38, `{"a":"ü"}`),
		"conflict": rpc.ConflictEvent(rpc.Conflict{Counter: 4, Kind: "missing",
			Key: rpc.Key{Table: "t", Key: []rpc.Value{int64(1), []byte{2}}}}),
		"conflict-constraint": rpc.ConflictEvent(rpc.Conflict{Kind: "constraint",
			Key:  rpc.Key{Table: "t", Key: []rpc.Value{"k"}},
			Code: "SQLITE_CONSTRAINT_NOTNULL", Constraint: "NOT NULL constraint failed: t.n"}),
		"fingerprint": rpc.ReplyFingerprint(72, rpc.Fingerprint{Seq: 13, Digits: "00000 12345"}),
		"members": rpc.ReplySpaceMembers(65,
			[]rpc.SpaceMember{{ID: "00ff", Name: "Laptop", Role: "admin", Self: true}, {ID: "01", Role: "write", Code: true}}),
		"pairing": rpc.ChunkPairing(63, rpc.Pairing{Name: "Phone", Digits: "012345"}),
		"kdf":     rpc.ChunkKDF(69, rpc.KDF{Time: 3, Memory: 65536, Salt: "00ff"}),
		"quarantined": rpc.ReplyQuarantinedRows(44,
			[]rpc.QuarantinedRow{{Key: rpc.Key{Table: "t", Key: []rpc.Value{"k"}}, Code: "SQLITE_CONSTRAINT_NOTNULL",
				Constraint: "NOT NULL constraint failed: t.n", Columns: []string{"b", "n"}, Cells: []rpc.Value{int64(5), nil}}}),
		"ask":     rpc.TokenEvent(77),
		"storage": rpc.StorageEvent("best-effort"),
		"recovered": rpc.RecoveredEvent(rpc.Recovered{File: "notes.db-aside-1", Reason: "malformed", Pending: 3, Rejected: 1,
			Rows: 500, Tables: []string{"drafts"}, Lost: true}),
		"checking": rpc.ChunkChecked(9, rpc.Checked{Done: 10, Total: 300}),
		"health": rpc.ReplyHealth(9,
			rpc.Health{Pages: 300, Trees: 7, Problems: []string{"page 4: bad"}, Checksums: true, PageSize: 4096, Bytes: 1 << 33,
				LogBytes: 5000, LastExit: "unclean"}),
		"exported": rpc.ReplyU64(9, 1<<33),
	}
}

var configVectors = map[string]rpc.OpenConfig{
	"plain": {Version: rpc.Version, Name: "notes", Storage: "persistent",
		Migrations: []string{"CREATE TABLE t(a)", "CREATE TABLE ü(a)"}, Recover: true, Seed: []rpc.Stmt{
			{SQL: "INSERT INTO t VALUES (1)"},
			{SQL: "INSERT INTO t VALUES (?)", Params: rpc.Params{Positional: []rpc.Value{"x"}}}}},
	"sync": {Version: rpc.Version, Name: "notes", Storage: "memory",
		Sync: &rpc.SyncConfig{URL: "https://example.test", Space: "family", Token: true, Sealed: true,
			Tables: []rpc.SyncTable{
				{Name: "notes"}, {Name: "posts", Merges: []rpc.ColumnMerge{{"likes", "counter"}}}}}},
}

var announcementVectors = map[string]rpc.Announcement{
	"head":   {Version: rpc.Version, Leader: "leader-1", Number: 41},
	"schema": {Version: rpc.Version, Leader: "l", Number: 1 << 40, Commit: &rpc.Commit{Sync: true, Schema: true}},
	"notified": {Version: rpc.Version, Leader: "l", Number: 2,
		Commit: &rpc.Commit{Tab: "tab-1", Notified: []rpc.Notification{
			{Channel: "chat", Payload: `{"a":"ü"}`}, {Channel: "chat", Payload: "null"}}}},
	"commit": {Version: rpc.Version, Leader: "leader-1", Number: 7,
		Commit: &rpc.Commit{Tab: "tab-1", Tables: []rpc.TableCommit{
			{Table: "notes", Inserted: [][]rpc.Value{{"a"}, {"é"}}, Deleted: [][]rpc.Value{{nil}}},
			{Table: "posts", More: 12, Updated: [][]rpc.Value{
				{int64(1), "x"}, {int64(math.MinInt64), 1.5}, {int64(1<<53 + 1), []byte{0, 255}}, {-0.5, []byte{}}}},
		}}},
}

func made() vectors {
	v := vectors{map[string]string{}, map[string]string{}, map[string]string{}, map[string]string{}}
	for name, a := range announcementVectors {
		v.Announcements[name] = hex.EncodeToString(rpc.EncodeAnnouncement(a))
	}
	for name, q := range requestVectors {
		v.Requests[name] = hex.EncodeToString(rpctest.EncodeRequest(q))
	}
	for name, b := range replyVectors() {
		v.Replies[name] = hex.EncodeToString(b)
	}
	for name, c := range configVectors {
		v.Configs[name] = hex.EncodeToString(rpctest.EncodeOpenConfig(c))
	}
	return v
}

func TestVectors_areWhatTheCodecMakes(t *testing.T) {
	got := made()
	if *update {
		text, err := json.MarshalIndent(got, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile("testdata/vectors.json", append(text, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var want vectors
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	for what, pair := range map[string][2]map[string]string{
		"request": {got.Requests, want.Requests}, "reply": {got.Replies, want.Replies}, "config": {got.Configs, want.Configs},
		"announcement": {got.Announcements, want.Announcements},
	} {
		if len(pair[0]) != len(pair[1]) {
			t.Errorf("%d %s vectors, the file has %d", len(pair[0]), what, len(pair[1]))
		}
		for name := range pair[1] {
			if pair[0][name] != pair[1][name] {
				t.Errorf("%s %s: got\n%s, want\n%s", what, name, pair[0][name], pair[1][name])
			}
		}
	}
}

func TestVectors_everyMethodAndEventHasOne(t *testing.T) {
	seen := map[rpc.Method]bool{}
	for _, q := range requestVectors {
		seen[q.Method] = true
	}
	for method, name := range rpctest.Methods {
		if !seen[method] {
			t.Errorf("%s has no vector", name)
		}
	}
	events := map[rpc.Event]bool{}
	for _, b := range replyVectors() {
		if m, err := rpctest.DecodeMessage(b); err == nil && m.Kind == rpc.KindEvent {
			events[m.Event] = true
		}
	}
	for event, name := range rpctest.Events {
		if !events[event] {
			t.Errorf("the event %s has no vector", name)
		}
	}
}

func TestVectors_requestsDecode(t *testing.T) {
	for name, want := range requestVectors {
		got, err := rpc.DecodeRequest(rpctest.EncodeRequest(want))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, want %+v", name, got, want)
		}
	}
}

func TestVectors_announcementsDecode(t *testing.T) {
	for name, want := range announcementVectors {
		got, err := rpctest.DecodeAnnouncement(rpc.EncodeAnnouncement(want))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, %v, want %+v", name, got, err, want)
		}
	}
}

func TestVectors_configsDecode(t *testing.T) {
	for name, want := range configVectors {
		got, err := rpc.DecodeOpenConfig(rpctest.EncodeOpenConfig(want))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, %v, want %+v", name, got, err, want)
		}
	}
}

// Every proper prefix of a request is refused, unless its end is free: no decoder
// reads past the end or makes up what is missing.
func TestDecodeRequest_truncated(t *testing.T) {
	for name, q := range requestVectors {
		whole := rpctest.EncodeRequest(q)
		for n := range whole {
			if q.Method == rpc.MethodImportPart && n >= 30 {
				continue
			}
			got, err := rpc.DecodeRequest(whole[:n:n])
			if errcode.Of(err) != errcode.Protocol {
				t.Errorf("%s cut to %d of %d bytes: got %+v, %v, want %s", name, n, len(whole), got, err, errcode.Protocol)
			}
		}
	}
}

func TestDecodeRequest_ignoresWhatANewerPageAppends(t *testing.T) {
	for name, q := range requestVectors {
		if q.Method == rpc.MethodImportPart {
			continue
		}
		got, err := rpc.DecodeRequest(append(rpctest.EncodeRequest(q), 1, 2, 3))
		if err != nil || !reflect.DeepEqual(got, q) {
			t.Errorf("%s: got %+v, %v", name, got, err)
		}
	}
}

func TestDecodeRequest_refuses(t *testing.T) {
	head := func(id, method byte, body string) string {
		return string([]byte{id, 0, 0, 0, method}) + strings.Repeat("\x00", 21) + body
	}
	for name, c := range map[string]struct {
		message string
		says    string
	}{
		"unknown method": {head(1, 0xfe, ""), "newer"},
		"no method":      {head(1, 0, ""), "newer"},
		"id 0":           {head(0, 20, ""), "id 0"},
		"huge count":     {head(1, 12, "\xff\xff\xff\xff"), "count"},
		"not UTF-8":      {head(1, 13, "\x01\x00\x00\x00\xff\x00"), "UTF-8"},
		"no columns":     {head(1, 14, "\x01\x00\x00\x00\xff\xff\xff\xff\x00\x00\x00\x00"), "columns"},
		"version 1":      {"\x01\x00\x00\x00\x01\x01\x00\x05\x00\x00\x00tab-1\x03\x00\x00\x00\x01", "early"},
	} {
		_, err := rpc.DecodeRequest([]byte(c.message))
		if errcode.Of(err) != errcode.Protocol || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestMessage_decodes(t *testing.T) {
	replies := replyVectors()
	open := func(name string) rpctest.Payload {
		m, err := rpctest.DecodeMessage(replies[name])
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return m.Payload
	}
	if err := open("error").Err(); errcode.Of(err) != "SQLITE_CONSTRAINT_UNIQUE" ||
		err.(*errcode.Error).SQL != "INSERT …" {
		t.Errorf("error: got %v", err)
	}
	if v, err := open("results").Results(); err != nil ||
		!reflect.DeepEqual(v, []rpc.Result{{Changes: 1, LastInsertRowID: 2}, {Changes: 3, LastInsertRowID: 4}}) {
		t.Errorf("results: got %v, %v", v, err)
	}
	if v, err := open("welcome").Welcome(); err != nil || v.Commit != 9 || !v.Sync || v.Status.State != "offline" {
		t.Errorf("welcome: got %+v, %v", v, err)
	}
	if v, err := open("status-event").Status(); err != nil || v.Pending != 3 ||
		errcode.Of(v.Err) != "SQLITE_CONSTRAINT_UNIQUE" {
		t.Errorf("status: got %+v, %v", v, err)
	}
	if got, err := open("rejected").Transaction(); err != nil || !reflect.DeepEqual(got, rejectedVector) {
		t.Errorf("rejected: got %+v, %v", got, err)
	}
	if got, err := open("transactions").Transactions(); err != nil || len(got) != 2 ||
		!reflect.DeepEqual(got[0], rejectedVector) || got[1].Ops[0].Kind != "delete" {
		t.Errorf("transactions: got %+v, %v", got, err)
	}
	if got, err := open("flag").Bool(); err != nil || !got {
		t.Errorf("flag: got %v, %v", got, err)
	}
	if got, err := open("keys").Keys(); err != nil || len(got) != 2 || got[0].Key[1] != int64(2) {
		t.Errorf("keys: got %+v, %v", got, err)
	}
	if got, err := open("quarantined").QuarantinedRows(); err != nil || len(got) != 1 ||
		got[0].Code != "SQLITE_CONSTRAINT_NOTNULL" || got[0].Columns[1] != "n" || got[0].Cells[1] != nil {
		t.Errorf("quarantined: got %+v, %v", got, err)
	}
	if got, err := open("conflict-constraint").Conflict(); err != nil || got.Kind != "constraint" ||
		got.Key.Table != "t" || got.Constraint == "" {
		t.Errorf("conflict: got %+v, %v", got, err)
	}
	if got, err := open("text").Str(); err != nil || got != `{"a":"ü"}` {
		t.Errorf("text: got %q, %v", got, err)
	}
	if got, err := open("live-stats").LiveStatements(); err != nil ||
		!reflect.DeepEqual(got, []rpc.LiveStatement{liveStatementVector}) {
		t.Errorf("live-stats: got %+v, %v", got, err)
	}
	v, err := open("live").Live()
	if err != nil || !v.Last || v.Commit != 9 || len(v.Parts) != 4 || v.Parts[1].Update.Total != 3 ||
		len(v.Parts[1].Update.Runs) != 3 || !reflect.DeepEqual(v.Parts[1].Rows, [][]rpc.Value{{int64(3), "y"}}) ||
		v.Parts[2].Query != 20 || errcode.Of(v.Parts[3].Err) != "SQLITE_CONSTRAINT_UNIQUE" {
		t.Errorf("live: got %+v, %v", v, err)
	}
}
