package broadcast

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"heddle.dev/heddle/internal/rpc"
	"heddle.dev/heddle/internal/rpc/rpctest"
	"heddle.dev/heddle/internal/store"
)

type posted [][]byte

func (p *posted) Post(message []byte) error {
	*p = append(*p, message)
	return nil
}

func (p *posted) take(t *testing.T) rpc.Announcement {
	t.Helper()
	message := (*p)[0]
	*p = (*p)[1:]
	if len(message) > MaxSize {
		t.Errorf("the message has %d bytes", len(message))
	}
	a, err := rpctest.DecodeAnnouncement(message)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestAnnouncer(t *testing.T) {
	var ch posted
	a := NewAnnouncer(&ch, "one")
	a.Head()
	a.Commit(store.Commit{Number: 7, Origin: store.Origin{Kind: store.Local, Tab: "tab-1"}, Tables: []store.TableCommit{
		{Table: "notes", HasInsertOrDelete: true, Inserted: [][]store.Value{{"a"}, {"é"}}, Deleted: [][]store.Value{{nil}},
			More: 2}}})
	a.Commit(store.Commit{Number: 8, Origin: store.Origin{Kind: store.Sync}, Schema: true})
	a.Head()
	head := rpc.Announcement{Version: rpc.Version, Leader: "one"}
	first, second, last := head, head, head
	first.Number, second.Number, last.Number = 7, 8, 8
	first.Commit = &rpc.Commit{Tab: "tab-1", Tables: []rpc.TableCommit{
		{Table: "notes", Inserted: [][]store.Value{{"a"}, {"é"}}, Deleted: [][]store.Value{{nil}}, More: 2}}}
	second.Commit = &rpc.Commit{Sync: true, Schema: true}
	for i, want := range []rpc.Announcement{head, first, second, last} {
		if got := ch.take(t); !reflect.DeepEqual(got, want) {
			t.Errorf("%d: got %+v, want %+v", i, got, want)
		}
	}
}

func TestAnnouncer_leavesOutKeys(t *testing.T) {
	var keys [][]store.Value
	for i := range store.MaxKeys {
		keys = append(keys, []store.Value{fmt.Sprint(i, strings.Repeat("k", 200))})
	}
	var ch posted
	NewAnnouncer(&ch, "l").Commit(store.Commit{Number: 1, Tables: []store.TableCommit{
		{Table: "big", Inserted: keys, More: 5}, {Table: "small", Updated: [][]store.Value{{int64(1)}}}}})
	got := ch.take(t).Commit.Tables
	want := []rpc.TableCommit{{Table: "big", More: store.MaxKeys + 5},
		{Table: "small", Updated: [][]store.Value{{int64(1)}}}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", got)
	}
}
