package wire

import (
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write testdata/vectors.json anew")

// vector is one message in bytes and in words, for any implementation. hash is
// the body's hash, or the entry's chain hash after prev; fork is the id that the
// client of a push takes where another copy has numbered its first part.
type vector struct {
	Name    string `json:"name"`
	Kind    string `json:"kind"`
	Hex     string `json:"hex"`
	Message any    `json:"message"`
	Prev    string `json:"prev,omitempty"`
	Hash    string `json:"hash,omitempty"`
	Fork    string `json:"fork,omitempty"`
}

type obj = map[string]any

func h(b []byte) string { return hex.EncodeToString(b) }

func words(v any) any {
	switch v := v.(type) {
	case nil:
		return nil
	case int64:
		return obj{"integer": strconv.FormatInt(v, 10)}
	case float64:
		return obj{"real": strconv.FormatFloat(v, 'g', -1, 64)}
	case string:
		return obj{"text": v}
	case []byte:
		return obj{"blob": h(v)}
	case []Value:
		all := []any{}
		for _, x := range v {
			all = append(all, words(x))
		}
		return all
	case map[string]Value:
		o := obj{}
		for name, x := range v {
			o[name] = words(x)
		}
		return o
	case *Body:
		var schema, shapes, ops []any
		index := map[*Shape]int{}
		for _, t := range v.Schema {
			var columns []any
			for _, c := range t.Columns {
				columns = append(columns, obj{"name": c.Name, "group": c.Group, "default": words(c.Default)})
			}
			schema = append(schema, obj{"table": t.Table, "key": t.Key, "columns": columns})
		}
		for i, s := range v.Shapes {
			index[s] = i
			joins := []int{}
			for _, j := range s.Joins {
				joins = append(joins, int(j))
			}
			shapes = append(shapes, obj{"kind": s.Kind, "table": s.Table, "columns": s.Columns, "joins": joins})
		}
		for _, o := range v.Ops {
			ops = append(ops, obj{"shape": index[o.Shape], "key": words(o.Key), "cells": words(o.Cells)})
		}
		return obj{"schema": schema, "shapes": shapes, "ops": ops}
	case *Entry:
		return obj{"seq": v.Seq, "client": h(v.Client[:]), "counter": v.Counter, "outcome": v.Outcome,
			"bodyHash": h(v.BodyHash[:]), "body": h(v.Body), "chain": h(v.Chain[:])}
	case Position:
		return obj{"epoch": h(v.Epoch[:]), "seq": v.Seq, "chain": h(v.Chain[:])}
	case *PushRequest:
		var parts []any
		for _, p := range v.Parts {
			parts = append(parts, obj{"counter": p.Counter, "index": p.Index, "total": p.Total, "bodyHash": h(p.BodyHash[:]),
				"bytes": h(p.Bytes)})
		}
		return obj{"position": words(v.Position), "client": h(v.Client[:]), "parts": parts}
	case *PushResponse:
		return obj{"epoch": h(v.Epoch[:]), "head": v.Head, "decided": v.Decided, "staged": v.Staged}
	case *PullRequest:
		o := obj{"position": words(v.Position), "client": h(v.Client[:]), "ownBodies": v.OwnBodies}
		if v.Snapshots {
			o["snapshots"] = true
		}
		if v.Anew {
			o["anew"] = true
		}
		if len(v.Only) > 0 {
			o["only"] = words(v.Only)
		}
		if len(v.Clients) > 0 {
			var ids []any
			for _, id := range v.Clients {
				ids = append(ids, h(id[:]))
			}
			o["clients"] = ids
		}
		if r := v.Resume; r != nil {
			o["resume"] = obj{"epoch": h(r.Epoch[:]), "seq": r.Seq, "chain": h(r.Chain[:]), "table": r.Table, "key": h(r.Key),
				"rows": r.Rows, "done": r.Done}
		}
		return o
	case *DigestResponse:
		o := obj{"epoch": h(v.Epoch[:]), "seq": v.Seq, "chain": h(v.Chain[:]), "digest": h(v.Digest[:]), "rows": v.Rows}
		if len(v.Buckets) > 0 {
			o["buckets"] = words(v.Buckets)
		}
		return o
	case []Bucket:
		var all []any
		for _, b := range v {
			all = append(all, obj{"table": b.Table, "group": b.Group, "number": b.Number, "sum": h(b.Sum)})
		}
		return all
	case *Error:
		return obj{"code": v.Code, "message": v.Message}
	case *Missing:
		var all []any
		for i := range v.Chunks {
			all = append(all, h(v.Chunks[i][:]))
		}
		return obj{"chunks": all}
	case *Snapshot:
		o := obj{"resumed": v.Resumed, "again": v.Again, "last": v.Last, "seq": v.Seq, "chain": h(v.Chain[:]),
			"total": v.Total, "schema": h(v.Schema)}
		var tables []any
		for _, t := range v.Tables {
			tables = append(tables, obj{"table": t.Table, "rows": h(t.Rows)})
		}
		o["tables"] = tables
		if v.Only {
			o["only"] = true
		}
		if e := v.End; e != nil {
			o["end"] = obj{"digest": h(e.Digest[:])}
		}
		var clients, own []any
		for _, c := range v.Clients {
			clients = append(clients, obj{"client": h(c.Client[:]), "counter": c.Counter})
		}
		for _, r := range v.Own {
			own = append(own, obj{"counter": r.Counter, "seq": r.Seq, "code": r.Code, "bodyHash": h(r.BodyHash[:])})
		}
		if clients != nil || own != nil {
			o["clients"], o["own"] = clients, own
		}
		return o
	case *Frame:
		switch {
		case v.Hello != nil:
			return obj{"hello": obj{"epoch": h(v.Hello.Epoch[:]), "head": v.Hello.Head}}
		case v.CaughtUp != nil:
			return obj{"caughtUp": obj{"seq": v.CaughtUp.Seq, "digest": h(v.CaughtUp.Digest[:])}}
		case v.Heartbeat != nil:
			return obj{"heartbeat": obj{"head": v.Heartbeat.Head}}
		case v.Error != nil:
			return obj{"error": words(v.Error)}
		case v.Snapshot != nil:
			return obj{"snapshot": words(v.Snapshot)}
		case v.Heads != nil:
			var heads []any
			for _, told := range v.Heads {
				heads = append(heads, h(told))
			}
			return obj{"heads": heads}
		case v.Wanted != nil:
			return obj{"wanted": obj{"prove": h(v.Wanted.Prove)}}
		}
		var entries []any
		for i := range v.Entries {
			entries = append(entries, words(&v.Entries[i]))
		}
		return obj{"entries": entries}
	}
	panic(fmt.Sprintf("no words for %T", v))
}

// codec reads a vector's bytes and writes what it read again.
func codec(kind string, data []byte) (message any, again []byte, err error) {
	switch kind {
	case "key":
		v, err := DecodeKey(data)
		return v, EncodeKey(v), err
	case "row":
		v, err := DecodeRow(data)
		return v, EncodeRow(v), err
	case "body":
		v, err := UnmarshalBody(data)
		return marshalled(v, err)
	case "entry":
		e := &Entry{}
		return marshalled(e, unmarshal(data, "wire: decode entry", e))
	case "push":
		return marshalled(UnmarshalPushRequest(data))
	case "pushResponse":
		return marshalled(UnmarshalPushResponse(data))
	case "pull":
		return marshalled(UnmarshalPullRequest(data))
	case "digestResponse":
		return marshalled(UnmarshalDigestResponse(data))
	case "error":
		return marshalled(UnmarshalError(data))
	case "missing":
		return marshalled(UnmarshalMissing(data))
	case "frame":
		return marshalled(UnmarshalFrame(data))
	}
	panic("no codec for " + kind)
}

func marshalled[T interface{ Marshal() []byte }](m T, err error) (any, []byte, error) {
	if err != nil {
		return nil, nil, err
	}
	return m, m.Marshal(), nil
}

func TestVectors(t *testing.T) {
	const file = "testdata/vectors.json"
	if *update {
		out, err := json.MarshalIndent(samples(), "", " ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, append(out, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var vectors []vector
	if err := json.Unmarshal(data, &vectors); err != nil {
		t.Fatal(err)
	}
	if len(vectors) < 20 {
		t.Fatalf("got %d vectors, want at least 20", len(vectors))
	}
	for _, v := range vectors {
		t.Run(v.Name, func(t *testing.T) {
			data, err := hex.DecodeString(v.Hex)
			if err != nil {
				t.Fatal(err)
			}
			message, again, err := codec(v.Kind, data)
			if err != nil {
				t.Fatal(err)
			}
			if h(again) != v.Hex {
				t.Errorf("encoded again: got %x, want %s", again, v.Hex)
			}
			got, _ := json.Marshal(words(message))
			var gotWords any
			if err := json.Unmarshal(got, &gotWords); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(gotWords, v.Message) {
				t.Errorf("decoded: got %s, want %v", got, v.Message)
			}
			switch m := message.(type) {
			case *Body:
				if got := HashBody(data); h(got[:]) != v.Hash {
					t.Errorf("hash: got %x, want %s", got, v.Hash)
				}
			case *PushRequest:
				if len(m.Parts) == 0 {
					break
				}
				if got := m.Client.Fork(m.Parts[0].Counter, m.Parts[0].BodyHash); h(got[:]) != v.Fork {
					t.Errorf("fork: got %x, want %s", got, v.Fork)
				}
			case *Entry:
				var prev Hash
				hex.Decode(prev[:], []byte(v.Prev))
				if got := m.ChainAfter(prev); h(got[:]) != v.Hash || got != m.Chain {
					t.Errorf("chain: got %x, want %s", got, v.Hash)
				}
			}
		})
	}
}

// samples are the messages that the vectors were made of.
func samples() []vector {
	var all []vector
	add := func(kind, name string, message any, data []byte) *vector {
		all = append(all, vector{Name: kind + "/" + name, Kind: kind, Hex: h(data), Message: words(message)})
		return &all[len(all)-1]
	}
	for name, key := range map[string][]Value{
		"integers": {int64(0), int64(-1), int64(1), int64(63), int64(-64), int64(64), int64(1) << 53, int64(math.MinInt64),
			int64(math.MaxInt64)},
		"texts": {"", "a", "nul\x00inside", "grüße, 世界 🌍"},
		"blobs": {[]byte{}, []byte{0, 1, 0xff}},
		"reals": {0.0, 1.5, -2.25, 1e308, 5e-324},
		"mixed": {"notes", int64(7), []byte("x")},
	} {
		add("key", name, key, EncodeKey(key))
	}
	row := map[string]Value{"body": "milk", "done": int64(1), "price": 0.5, "note": nil, "raw": []byte{9}}
	add("row", "cells", row, EncodeRow(row))
	add("row", "empty", map[string]Value{}, EncodeRow(nil))
	body := sampleBody()
	for name, b := range map[string]*Body{"all": body, "empty": {}, "plain": plainBody()} {
		data := b.Marshal()
		hash := HashBody(data)
		add("body", name, b, data).Hash = h(hash[:])
	}
	client := ClientID{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}
	epoch := Epoch{0xe0, 0xe1, 0xe2}
	first := Entry{Seq: 1, Client: client, Counter: 1, Body: body.Marshal()}
	first.BodyHash = HashBody(first.Body)
	first.Chain = first.ChainAfter(Hash{})
	void := Entry{Seq: 2, Client: client, Counter: 2, Outcome: "HEDDLE_BAD_BODY", BodyHash: HashBody([]byte("?"))}
	void.Chain = void.ChainAfter(first.Chain)
	var prev Hash
	for name, e := range map[string]*Entry{"ok": &first, "void": &void} {
		if prev = (Hash{}); name == "void" {
			prev = first.Chain
		}
		v := add("entry", name, e, e.Marshal())
		v.Prev, v.Hash = h(prev[:]), h(e.Chain[:])
	}
	at := Position{Epoch: epoch, Seq: 2, Chain: void.Chain}
	push := &PushRequest{Position: at, Client: client, Parts: SplitBody(3, plainBody().Marshal())}
	next := client.Fork(push.Parts[0].Counter, push.Parts[0].BodyHash)
	add("push", "parts", push, push.Marshal()).Fork = h(next[:])
	add("push", "none", &PushRequest{Client: client}, (&PushRequest{Client: client}).Marshal())
	pr := &PushResponse{Epoch: epoch, Head: 300, Decided: 7, Staged: 1}
	add("pushResponse", "all", pr, pr.Marshal())
	add("pull", "start", &PullRequest{Client: client}, (&PullRequest{Client: client}).Marshal())
	add("pull", "resume", &PullRequest{Position: at, Client: client},
		(&PullRequest{Position: at, Client: client}).Marshal())
	add("pull", "ownBodies", &PullRequest{Client: client, OwnBodies: true},
		(&PullRequest{Client: client, OwnBodies: true}).Marshal())
	add("pull", "snapshots", &PullRequest{Client: client, Snapshots: true},
		(&PullRequest{Client: client, Snapshots: true}).Marshal())
	anew := &PullRequest{Position: at, Client: client, Snapshots: true, Anew: true}
	add("pull", "anew", anew, anew.Marshal())
	only := &PullRequest{Position: at, Client: client, Snapshots: true, Anew: true,
		Only: []Bucket{{Table: "notes", Number: 7}, {Table: "posts", Number: 255}}}
	add("pull", "only", only, only.Marshal())
	named := &PullRequest{Client: client, Snapshots: true, Clients: []ClientID{{1}, next}}
	add("pull", "clients", named, named.Marshal())
	located := &DigestResponse{Epoch: epoch, Seq: 9, Digest: Hash{7}, Rows: 2,
		Buckets: []Bucket{{"notes", 1, 7, make([]byte, 40)}}}
	add("digestResponse", "buckets", located, located.Marshal())
	goesOn := &PullRequest{Client: client, Snapshots: true,
		Resume: &Resume{Epoch: epoch, Seq: 2, Chain: void.Chain, Table: "notes", Key: EncodeKey([]Value{"n1"}), Rows: 1,
			Done: true}}
	add("pull", "resumeSnapshot", goesOn, goesOn.Marshal())
	rows := AppendRow(AppendRow(nil, EncodeKey([]Value{"n1"}), EncodeRow(row)), EncodeKey([]Value{"n2"}), nil)
	dr := &DigestResponse{Epoch: epoch, Seq: 9, Chain: void.Chain, Digest: Hash{7}, Rows: 150000}
	add("digestResponse", "all", dr, dr.Marshal())
	refusal := &Error{Code: "HEDDLE_FORBIDDEN", Message: "the token does not grant this space"}
	add("error", "forbidden", refusal, refusal.Marshal())
	missing := &Missing{Chunks: []Hash{{7}, {}}}
	add("missing", "two", missing, missing.Marshal())
	for name, f := range map[string]*Frame{
		"wantedSnapshot": {Wanted: &Wanted{}},
		"wantedProof":    {Wanted: &Wanted{Prove: client[:]}},
		"hello":          {Hello: &Hello{Epoch: epoch, Head: 2}},
		"entries":        {Entries: []Entry{first, void}},
		"caughtUp":       {CaughtUp: &CaughtUp{Seq: 2, Digest: Hash{5}}},
		"heartbeat":      {Heartbeat: &Heartbeat{Head: 2}},
		"error":          {Error: refusal},
		"heads":          {Heads: [][]byte{{1, 2, 3}, {4}}},
		"snapshotFirst": {Snapshot: &Snapshot{Seq: 2, Chain: void.Chain, Total: 3,
			Schema: (&Body{Schema: body.Schema}).Marshal(), Tables: []SnapshotTable{{"notes", rows}, {"posts", rows}}}},
		"snapshotOnly": {Snapshot: &Snapshot{Seq: 2, Only: true, Tables: []SnapshotTable{{"notes", rows}}}},
		"snapshotEnd": {Snapshot: &Snapshot{Resumed: true, Again: true, Last: true, Seq: 300, Chain: Hash{9},
			Tables:  []SnapshotTable{{"notes", rows}},
			Clients: []Decided{{client, 7}},
			Own:     []Outcome{{2, 2, "HEDDLE_BAD_BODY", Hash{}, ClientID{}}, {7, 300, "", Hash{3}, client}},
			End:     &SnapshotEnd{Digest: Hash{5}}}},
		"snapshotOwn": {Snapshot: &Snapshot{Again: true, Last: true, Seq: 300, Chain: Hash{9},
			Clients: []Decided{{client, 7}}, Own: []Outcome{{7, 300, "", Hash{3}, ClientID{}}}}},
	} {
		add("frame", name, f, f.Marshal())
	}
	slices.SortFunc(all, func(a, b vector) int { return strings.Compare(a.Name, b.Name) })
	return all
}

func plainBody() *Body {
	up := &Shape{Kind: Update, Table: "notes", Columns: []string{"done"}, Joins: []Join{JoinLast}}
	return &Body{Shapes: []*Shape{up}, Ops: []Op{{Shape: up, Key: []Value{"n1"}, Cells: []Value{int64(1)}}}}
}

func sampleBody() *Body {
	in := &Shape{Kind: Insert, Table: "notes", Columns: []string{"body", "done"}, Joins: []Join{JoinLast, JoinLast}}
	up := &Shape{Kind: Update, Table: "posts", Columns: []string{"likes", "best", "least", "tags", "old", "title"},
		Joins: []Join{JoinAdd, JoinMax, JoinMin, JoinSetAdd, JoinSetRemove, JoinLast}}
	del := &Shape{Kind: Delete, Table: "notes"}
	return &Body{
		Schema: []TableSchema{
			{Table: "notes", Key: []string{"id"},
				Columns: []ColumnSchema{{Name: "body", Group: 1}, {Name: "done", Group: 1, Default: int64(0)}}},
			{Table: "posts", Key: []string{"space", "id"},
				Columns: []ColumnSchema{{Name: "likes", Group: 2, Default: int64(0)}, {Name: "title", Group: 3, Default: "—"}}},
		},
		Shapes: []*Shape{in, up, del},
		Ops: []Op{
			{Shape: in, Key: []Value{"n1"}, Cells: []Value{"milk", int64(0)}},
			{Shape: in, Key: []Value{"n2"}, Cells: []Value{nil, int64(1)}},
			{Shape: up, Key: []Value{"s", int64(4)}, Cells: []Value{int64(1), 2.5, int64(-3), `["a"]`, `["b"]`, []byte{1}}},
			{Shape: del, Key: []Value{"n1"}},
		},
	}
}
