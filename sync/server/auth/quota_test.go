package auth

import (
	"strings"
	"testing"
	"time"

	"heddle.dev/heddle/internal/errcode"
)

func TestQuota(t *testing.T) {
	key, err := ParseKey([]byte(strings.Repeat("k", 40)))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []Quota{{}, {Rows: 1000}, {Rows: -1, Bytes: 1 << 40, Devices: 5, Streams: 3, Rate: 2.5},
		{Rate: -1, Streams: -1}} {
		token, err := key.Mint(Grant{Subject: "ann", Quota: want, Expires: time.Now().Add(time.Hour)})
		if err != nil {
			t.Fatal(err)
		}
		if g, err := key.Verify(t.Context(), token); err != nil || g.Quota != want {
			t.Errorf("got %+v, %v, want %+v", g.Quota, err, want)
		}
	}
	for _, wrong := range []any{7, nil, []any{}, map[string]any{"row": 1}, map[string]any{"rows": 0},
		map[string]any{"rows": -1}, map[string]any{"rows": 1.5}, map[string]any{"rows": "7"}, map[string]any{"bytes": 1e300},
		map[string]any{"rate": true}} {
		token, err := key.Mint(Grant{Claims: map[string]any{"quota": wrong}, Expires: time.Now().Add(time.Hour)})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := key.Verify(t.Context(), token); errcode.Of(err) != errcode.Unauthorized ||
			!strings.Contains(err.Error(), "quota") {
			t.Errorf("%v: got %v", wrong, err)
		}
	}
}
