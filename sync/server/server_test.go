package server_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/fold"
	"heddle.dev/heddle/sync/logstore/sqlitestore"
	"heddle.dev/heddle/sync/server"
	"heddle.dev/heddle/sync/wire"
)

func TestServer_twoAuthorsConverge(t *testing.T) {
	h := start(t, nil)
	a, b := newAuthor(h, "family", 1), newAuthor(h, "family", 2)
	res := a.push(a.write(body("x", "milk"))...)
	if res.Decided != 1 || res.Head != 1 || res.Staged != 0 || res.Epoch == (wire.Epoch{}) {
		t.Errorf("got %+v", res)
	}
	b.push(b.write(body("x", 5, "y", "bread"))...)
	a.push(append(a.write(body("x", 2)), a.write(body("y", nil))...)...)
	a.catchUp()
	b.catchUp()
	want := h.digest("family", "")
	if a.at != b.at || a.digest.Sum() != b.digest.Sum() || want.Seq != 4 || want.Rows != 1 ||
		want.Digest != a.digest.Sum() || want.Chain != a.at.Chain || want.Epoch != a.at.Epoch {
		t.Errorf("a %+v %x, b %+v %x, server %+v", a.at, a.digest.Sum(), b.at, b.digest.Sum(), want)
	}
	if got := a.rows["notes\x00"+string(wire.EncodeKey([]wire.Value{"x"}))].Cells["n"]; got != int64(7) {
		t.Errorf("the counter: got %v, want 7", got)
	}
	c := newAuthor(h, "family", 3) // a late client gets everything
	c.catchUp()
	if c.digest.Sum() != a.digest.Sum() || len(c.log) != 4 {
		t.Errorf("a late client has %d entries and digest %x", len(c.log), c.digest.Sum())
	}
	h.refused(h.do("GET", "/v1/spaces/family/digest?seq=3", nil), 404, errcode.NotFound) // decided together with 4
	if got := h.digest("family", "?seq=2"); got.Seq != 2 || got.Digest == want.Digest || got.Rows != 2 {
		t.Errorf("the digest at 2: got %+v", got)
	}
	if got := h.digest("family", "?seq=0"); got.Digest != (&fold.Digest{}).Sum() {
		t.Errorf("the digest at 0: got %x", got.Digest)
	}
	h.refused(h.do("GET", "/v1/spaces/family/digest?seq=5", nil), 404, errcode.NotFound)
	h.refused(h.do("GET", "/v1/spaces/family/digest?seq=x", nil), 400, errcode.BadParam)
	h.refused(h.do("GET", "/v1/spaces/nobody/digest", nil), 404, errcode.NotFound)
}

func TestServer_restartKeepsEverything(t *testing.T) {
	h := start(t, nil)
	a := newAuthor(h, "s", 1)
	a.push(a.write(body("x", "1", "y", "2"))...)
	a.catchUp()
	before := h.digest("s", "")
	h.restart()
	if got := h.digest("s", ""); !reflect.DeepEqual(got, before) {
		t.Errorf("got %+v, want %+v", got, before)
	}
	a.push(a.write(body("y", nil, "x", 3))...)
	a.catchUp()
	if got := h.digest("s", ""); got.Digest != a.digest.Sum() || got.Seq != 2 {
		t.Errorf("got %+v, want %x", got, a.digest.Sum())
	}
}

func TestPosition_divergence(t *testing.T) {
	h := start(t, nil)
	a := newAuthor(h, "s", 1)
	a.push(append(a.write(body("x", "1")), a.write(body("x", 1))...)...)
	a.catchUp()
	good := a.at
	tests := map[string]struct {
		at     wire.Position
		status int
		code   string
	}{
		"another epoch":        {wire.Position{Epoch: wire.Epoch{9}, Seq: 2, Chain: good.Chain}, 409, errcode.Diverged},
		"another past":         {wire.Position{Epoch: good.Epoch, Seq: 2, Chain: wire.Hash{1}}, 409, errcode.Diverged},
		"another start":        {wire.Position{Epoch: good.Epoch, Seq: 0, Chain: wire.Hash{1}}, 409, errcode.Diverged},
		"the future":           {wire.Position{Epoch: good.Epoch, Seq: 3, Chain: good.Chain}, 409, errcode.Diverged},
		"a seq without epoch":  {wire.Position{Seq: 2}, 400, errcode.Protocol},
		"an older position":    {wire.Position{Epoch: good.Epoch, Seq: 1, Chain: a.log[0].Chain}, 200, ""},
		"the start":            {wire.Position{Epoch: good.Epoch}, 200, ""},
		"before the first one": {wire.Position{}, 200, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			h.t = t
			for _, res := range []*http.Response{
				h.post("s", "pull?wait=0", (&wire.PullRequest{Position: test.at, Client: a.id}).Marshal()),
				h.post("s", "push", (&wire.PushRequest{Position: test.at, Client: a.id}).Marshal()),
			} {
				if test.status != 200 {
					h.refused(res, test.status, test.code)
				} else if res.Body.Close(); res.StatusCode != 200 {
					t.Errorf("got %d, want 200", res.StatusCode)
				}
			}
		})
	}
}

func TestPull_ownBodiesOnRequest(t *testing.T) {
	h := start(t, nil)
	a := newAuthor(h, "s", 1)
	a.push(a.write(body("x", "1"))...)
	res := h.post("s", "pull?wait=0", (&wire.PullRequest{Client: a.id, OwnBodies: true}).Marshal())
	defer res.Body.Close()
	frames := wire.NewFrameReader(res.Body)
	frames.Next()
	f, err := frames.Next()
	if err != nil || len(f.Entries) != 1 || !bytes.Equal(f.Entries[0].Body, a.sent[1]) {
		t.Errorf("got %+v, %v", f, err)
	}
}

func TestPull_compressesABacklog(t *testing.T) {
	h := start(t, nil)
	a, b := newAuthor(h, "s", 1), newAuthor(h, "s", 2)
	a.push(a.write(body("x", strings.Repeat("text ", 5000)))...)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	_, res := b.pull(ctx, "", "Accept-Encoding", "gzip") // asked for by hand: not undone by the client
	defer res.Body.Close()
	if got := res.Header.Get("Content-Encoding"); got != "gzip" {
		t.Fatalf("got Content-Encoding %q", got)
	}
	z, err := gzip.NewReader(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	frames := wire.NewFrameReader(z)
	for b.at.Seq < 1 {
		f, err := frames.Next()
		if err != nil {
			t.Fatal(err)
		}
		b.take(f)
	}
	a.push(a.write(body("x", 1))...) // each frame is flushed through the compressor
	for b.at.Seq < 2 {
		f, err := frames.Next()
		if err != nil {
			t.Fatal(err)
		}
		b.take(f)
	}
}

func TestServer_oneDirectoryOneServer(t *testing.T) {
	h := start(t, nil)
	if s, err := sqlitestore.Open(sqlitestore.Options{Dir: h.dir}); errcode.Of(err) != errcode.Blocked {
		t.Errorf("a second server: got %v, %v, want code %s", s, err, errcode.Blocked)
	}
	h.restart()
	for _, o := range []server.Options{{Store: h.store}, {Dev: true}} {
		if s, err := server.New(o); errcode.Of(err) != errcode.BadParam {
			t.Errorf("%+v: got %v, %v, want code %s", o, s, err, errcode.BadParam)
		}
	}
}
