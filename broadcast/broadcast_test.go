package broadcast

import (
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"os"
	"reflect"
	"strings"
	"testing"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/store"
)

var update = flag.Bool("update", false, "write testdata/vectors.json anew")

// vectors are messages by name, which TypeScript reads too.
func vectors() map[string]Message {
	commit := store.Commit{Number: 7, Origin: store.Origin{Kind: store.Local, Tab: "tab-1"}, Tables: []store.TableCommit{
		{Table: "notes", HasInsertOrDelete: true, Columns: []string{"id", "körper"},
			Inserted: [][]store.Value{{"a"}, {"é"}}, Deleted: [][]store.Value{{nil}}},
		{Table: "posts", More: 12, Columns: []string{"likes"}, Updated: [][]store.Value{
			{int64(1), "x"}, {int64(math.MinInt64), 1.5}, {int64(1<<53 + 1), []byte{0, 255}}, {-0.5, []byte{}}}},
	}}
	return map[string]Message{
		"leader":     {Kind: KindLeader, Leader: "leader-1", Number: 41},
		"commit":     {Kind: KindCommit, Leader: "leader-1", Number: 7, Commit: commit},
		"sync":       {Kind: KindCommit, Leader: "l", Number: 1 << 40, Commit: store.Commit{Number: 1 << 40, Origin: store.Origin{Kind: store.Sync}, Tables: []store.TableCommit{{Table: "t", Columns: []string{"c"}, More: 3}}}},
		"schema":     {Kind: KindCommit, Leader: "l", Number: 1, Commit: store.Commit{Number: 1, Origin: store.Origin{Kind: store.Local}, Schema: true}},
		"later-kind": {Kind: 200, Leader: "l", Number: 9},
	}
}

func TestMessage_vectors(t *testing.T) {
	const path = "testdata/vectors.json"
	got := map[string]string{}
	for name, m := range vectors() {
		p := m.Append(nil)
		got[name] = hex.EncodeToString(p)
		back, err := Decode(append(p, 1, 2, 3)) // later versions grow at the end
		if err != nil || !reflect.DeepEqual(back, m) {
			t.Errorf("%s: got %+v, %v\nwant %+v", name, back, err, m)
		}
		for i := range p {
			if _, err := Decode(p[:i]); errcode.Of(err) != errcode.Protocol {
				t.Errorf("%s cut at %d: got %v", name, i, err)
			}
		}
	}
	if *update {
		text, _ := json.MarshalIndent(got, "", "  ")
		if err := os.WriteFile(path, append(text, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the encoding differs from %s; run with -update if that is meant", path)
	}
}

func TestMessage_staysSmall(t *testing.T) {
	var keys [][]store.Value
	for i := range store.MaxKeys {
		keys = append(keys, []store.Value{fmt.Sprint(i, strings.Repeat("k", 200))})
	}
	small := store.TableCommit{Table: "small", Updated: [][]store.Value{{int64(1)}}}
	m := Message{Kind: KindCommit, Leader: "l", Number: 1, Commit: store.Commit{Tables: []store.TableCommit{
		{Table: "big", Inserted: keys, More: 5}, small}}}
	p := m.Append(nil)
	if len(p) > MaxSize {
		t.Errorf("the message has %d bytes", len(p))
	}
	got, err := Decode(p)
	if err != nil {
		t.Fatal(err)
	}
	if b := got.Commit.Tables[0]; b.Inserted != nil || b.More != store.MaxKeys+5 {
		t.Errorf("big: got %d keys and %d more", len(b.Inserted), b.More)
	}
	if s := got.Commit.Tables[1]; !reflect.DeepEqual(s, small) {
		t.Errorf("small: got %+v", s)
	}
}

func FuzzDecode(f *testing.F) {
	for _, m := range vectors() {
		f.Add(m.Append(nil))
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		m, err := Decode(p)
		if err != nil {
			return
		}
		again := m.Append(nil)
		back, err := Decode(again)
		if err != nil {
			t.Fatalf("what decoded does not decode again: %v", err)
		}
		if len(again) <= MaxSize && string(back.Append(nil)) != string(again) {
			t.Errorf("the second encoding differs from the first")
		}
	})
}

func TestListener_gaps(t *testing.T) {
	mem := NewMemory()
	var log []string
	l := &Listener{
		Commit: func(c store.Commit) { log = append(log, fmt.Sprint("commit ", c.Number)) },
		Gap:    func() { log = append(log, "gap") },
	}
	tab := mem.Join()
	stop := tab.Receive(l.Handle)
	want := func(expect ...string) {
		t.Helper()
		if strings.Join(log, ", ") != strings.Join(expect, ", ") {
			t.Errorf("got %q, want %q", log, expect)
		}
		log = nil
	}
	commit := func(a *Announcer, n uint64) { a.Commit(store.Commit{Number: n}) }

	one := NewAnnouncer(mem.Join(), "one")
	l.Start("one", 3)
	commit(one, 4)
	commit(one, 5)
	want("commit 4", "commit 5")
	commit(one, 5) // twice
	one.Speak()
	want()
	commit(one, 8)
	want("gap", "commit 8")
	stop()
	commit(one, 9) // lost
	stop = tab.Receive(l.Handle)
	one.Speak()
	want("gap")
	commit(one, 10)
	want("commit 10")

	two := NewAnnouncer(mem.Join(), "two")
	two.Speak()
	want("gap")
	commit(one, 11) // the one before finds its end late
	one.Speak()
	want()
	commit(two, 1)
	want("commit 1")
	commit(NewAnnouncer(mem.Join(), "three"), 1)
	want("gap", "commit 1")

	mem.Join().Post([]byte{Version + 1, 2})
	want("gap")
	stop()
	commit(two, 2)
	want()
	if err := tab.Close(); err != nil {
		t.Fatal(err)
	}
	if err := tab.Post(nil); errcode.Of(err) != errcode.Closed {
		t.Errorf("post on a closed channel: %v", err)
	}
}
