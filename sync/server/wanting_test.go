package server

import (
	"testing"
	"time"

	"heddle.dev/heddle/sync/seal"
)

// Whom a server asks for what: for a proof another device than the maker, and for another snapshot where that does
// not come.
func TestWanting_ask(t *testing.T) {
	start := time.Unix(1_700_000_000, 0)
	maker, writer, reader, slot := &feed{}, &feed{}, &feed{}, &feed{}
	for i, f := range []*feed{maker, writer, reader, slot} {
		f.device = seal.Member{ID: seal.ID{byte(i + 1)}, Role: seal.RoleWrite}
	}
	reader.device.Role, slot.device.Slot = seal.RoleRead, seal.SlotCode
	proof := seal.ID{9}
	type step struct {
		after time.Duration
		by    *feed
		want  string
	}
	for name, test := range map[string]struct {
		w     wanting
		steps []step
	}{
		"nothing": {wanting{}, []step{{0, writer, ""}}},
		"a snapshot": {wanting{snapshot: true}, []step{{0, slot, ""}, {0, reader, ""}, {0, writer, "snapshot"},
			{wantedFor - 1, maker, ""}, {wantedFor, maker, "snapshot"}}},
		"a proof": {wanting{proof: proof, maker: maker.device.ID, snapshot: true}, []step{{0, maker, ""}, {0, slot, ""},
			{0, reader, "proof"}, {wantedFor - 1, writer, ""}, {wantedFor, writer, "proof"}, {2 * wantedFor, maker, ""}}},
		"a proof of the only device": {wanting{proof: proof, maker: maker.device.ID, alone: true},
			[]step{{0, maker, "proof"}}},
		"a proof, or another": {wanting{proof: proof, maker: maker.device.ID, beside: true}, []step{{0, writer, "proof"},
			{wantedFor, maker, ""}, {wantedFor, reader, "proof"}, {2 * wantedFor, writer, "snapshot"},
			{3*wantedFor - 1, writer, ""}}},
	} {
		for i, s := range test.steps {
			got := ""
			if ask := test.w.ask(s.by, start.Add(s.after)); ask != nil {
				if got = "snapshot"; len(ask.Prove) > 0 {
					got = "proof"
				}
			}
			if got != s.want {
				t.Errorf("%s, %d: asked for %q, want %q", name, i, got, s.want)
			}
		}
	}
}
