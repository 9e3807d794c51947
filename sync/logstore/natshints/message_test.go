package natshints

import (
	"encoding/hex"
	"flag"
	"os"
	"reflect"
	"strings"
	"testing"

	"heddle.dev/heddle/sync/logstore"
	"heddle.dev/heddle/sync/wire"
)

var update = flag.Bool("update", false, "write testdata/messages.txt")

// messages are those of the vectors, in their order.
func messages() []logstore.Hint {
	base := wire.Position{Epoch: wire.Epoch{1, 2, 3}, Seq: 41, Chain: wire.Hash{4, 5, 6}}
	body := wire.Entry{Seq: 42, Client: wire.ClientID{7}, Counter: 8, Body: []byte("body")}
	body.BodyHash = wire.HashBody(body.Body)
	body.Chain = body.ChainAfter(base.Chain)
	void := wire.Entry{Seq: 43, Client: wire.ClientID{8}, Counter: 1, Outcome: "APP_NO"}
	void.Chain = void.ChainAfter(body.Chain)
	return []logstore.Hint{
		{Space: "s"},
		{Space: "user-42", Seq: 300},
		{Space: "s", Seq: 43, News: &logstore.News{Base: base, Entries: []wire.Entry{body, void}, Digest: wire.Hash{9}}},
	}
}

// What servers of several versions say to each other stays as it is.
func TestMessage_vectors(t *testing.T) {
	const file = "testdata/messages.txt"
	var lines []string
	for _, h := range messages() {
		lines = append(lines, hex.EncodeToString(marshal(&h)))
	}
	if *update {
		if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil || string(want) != strings.Join(lines, "\n")+"\n" {
		t.Fatalf("the messages are not those of %s: %v", file, err)
	}
	for i, line := range strings.Fields(string(want)) {
		data, err := hex.DecodeString(line)
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := unmarshal(data); !ok || !reflect.DeepEqual(got, messages()[i]) {
			t.Errorf("message %d: got %+v", i, got)
		}
		data = append(data, "of a later version"...)
		if got, ok := unmarshal(data); !ok || got.Space != messages()[i].Space || got.Seq != messages()[i].Seq {
			t.Errorf("message %d with more: got %+v", i, got)
		}
	}
}

func FuzzMessage(f *testing.F) {
	for _, h := range messages() {
		f.Add(marshal(&h))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		h, ok := unmarshal(data)
		if !ok {
			return
		}
		if h.News != nil && (len(h.News.Entries) == 0 || h.News.Head().Seq != h.Seq) {
			t.Errorf("got news %+v", h.News)
		}
		if again, ok := unmarshal(marshal(&h)); !ok || again.Space != h.Space || again.Seq != h.Seq {
			t.Errorf("got %+v, %v of %+v", again, ok, h)
		}
	})
}
