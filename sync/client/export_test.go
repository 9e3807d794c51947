package client

import (
	"encoding/json"
	"strings"
	"testing"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/wire"
)

func TestOutcomes_export(t *testing.T) {
	refused := &wire.Shape{Kind: wire.Insert, Table: "p", Columns: []string{"title", "likes", "r", "top", "low", "tags"},
		Joins: []wire.Join{wire.JoinLast, wire.JoinAdd, wire.JoinLast, wire.JoinMax, wire.JoinMin, wire.JoinSetAdd}}
	waits := &wire.Shape{Kind: wire.Insert, Table: "p", Columns: []string{"title"}, Joins: []wire.Join{wire.JoinLast}}
	data := exported("space", wire.ClientID{1},
		[]Pending{{ID: 2, Created: 1, Ops: []Op{{Shape: waits, Key: []wire.Value{"waits"}, Cells: []wire.Value{"x"}}}}},
		[]Rejected{{ID: 1, Seq: 1, Counter: 1, Code: errcode.Rejected, Created: 1,
			Ops: []Op{{Shape: refused, Key: []wire.Value{"refused"},
				Cells: []wire.Value{nil, int64(9007199254740993), 2.0, []byte{0, 255}, "\xff", `["a"]`}}}}})
	var doc struct {
		Format, Space, Client string
		Pending, Rejected     []struct {
			ID, Counter int64
			Code        string
			Operations  []struct {
				Kind, Table string
				Key         []any
				Cells       map[string]any
				Joins       map[string]string
			}
		}
	}
	if err := json.Unmarshal(data, &doc); err != nil {
		t.Fatal(err)
	}
	if doc.Space != "space" || len(doc.Client) != 32 || len(doc.Pending) != 1 || len(doc.Rejected) != 1 ||
		doc.Rejected[0].Code != errcode.Rejected {
		t.Fatalf("got %s", data)
	}
	op := doc.Rejected[0].Operations[0]
	if op.Kind != "insert" || op.Table != "p" || op.Key[0] != "refused" || op.Joins["likes"] != "add" ||
		op.Joins["tags"] != "set+" || op.Joins["title"] != "" {
		t.Errorf("got %+v", op)
	}
	for _, want := range []string{`"int":"9007199254740993"`, `"real":"2"`, `"blob":"AP8="`, `"text":"/w=="`,
		`"title":"x"`} {
		if !strings.Contains(string(data), want) {
			t.Errorf("no %s in %s", want, data)
		}
	}
}
