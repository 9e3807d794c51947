package leader

import (
	"strings"
	"testing"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/rpc"
)

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
