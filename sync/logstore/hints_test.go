package logstore_test

import (
	"slices"
	"testing"

	"heddle.dev/heddle/sync/logstore"
	"heddle.dev/heddle/sync/wire"
)

func TestNews_proven(t *testing.T) {
	n := logstore.News{Base: wire.Position{Epoch: wire.Epoch{1}, Seq: 41, Chain: wire.Hash{2}}}
	for i, outcome := range []string{"", "APP_NO", ""} {
		e := wire.Entry{Seq: 42 + uint64(i), Client: wire.ClientID{3}, Counter: 1 + uint64(i), Outcome: outcome}
		if outcome == "" {
			e.Body = []byte{byte(i)}
			e.BodyHash = wire.HashBody(e.Body)
		}
		before := n.Base.Chain
		if i > 0 {
			before = n.Entries[i-1].Chain
		}
		e.Chain = e.ChainAfter(before)
		n.Entries = append(n.Entries, e)
	}
	if !n.Proven() {
		t.Fatal("it is proven")
	}
	if want := (wire.Position{Epoch: n.Base.Epoch, Seq: 44, Chain: n.Entries[2].Chain}); n.Head() != want {
		t.Errorf("got %+v", n.Head())
	}
	for name, spoil := range map[string]func(*logstore.News){
		"a body":             func(n *logstore.News) { n.Entries[0].Body = []byte("other") },
		"a body left out":    func(n *logstore.News) { n.Entries[0].Body = nil },
		"a body put in":      func(n *logstore.News) { n.Entries[1].Body = []byte("other") },
		"a body's hash":      func(n *logstore.News) { n.Entries[0].BodyHash[0]++ },
		"an outcome":         func(n *logstore.News) { n.Entries[1].Outcome = "APP_YES" },
		"an author":          func(n *logstore.News) { n.Entries[2].Client[0]++ },
		"a chain hash":       func(n *logstore.News) { n.Entries[1].Chain[0]++ },
		"the last one's":     func(n *logstore.News) { n.Entries[2].Chain[0]++ },
		"a seq":              func(n *logstore.News) { n.Entries[1].Seq++ },
		"the past":           func(n *logstore.News) { n.Base.Chain[0]++ },
		"where it goes on":   func(n *logstore.News) { n.Base.Seq++ },
		"a missing entry":    func(n *logstore.News) { n.Entries = n.Entries[1:] },
		"nothing that comes": func(n *logstore.News) { n.Entries = nil },
	} {
		spoilt := n
		spoilt.Entries = slices.Clone(n.Entries)
		spoil(&spoilt)
		if spoilt.Proven() {
			t.Errorf("%s: it is proven", name)
		}
	}
}
