package server_test

import (
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/logstore/storetest"
	"heddle.dev/heddle/sync/server"
	"heddle.dev/heddle/sync/server/auth"
	"heddle.dev/heddle/sync/wire"
)

// granted makes requests of a harness have a token with a quota.
type granted struct {
	http.RoundTripper
	token string
}

func (g *granted) RoundTrip(r *http.Request) (*http.Response, error) {
	r.Header.Set("Authorization", "Bearer "+g.token)
	return g.RoundTripper.RoundTrip(r)
}

// under starts a server with limits, for a subject whose tokens have a quota.
func under(t *testing.T, l server.Limits, q auth.Quota) *harness {
	t.Helper()
	key := mustKey(t, secret)
	h := over(t, storetest.NewModel(), func(o *server.Options) { o.Dev, o.Tokens, o.Limits = false, key, l })
	token, err := key.Mint(auth.Grant{Subject: "ann", Spaces: auth.Spaces(auth.ReadWrite, "*"), Quota: q,
		Expires: time.Now().Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	h.client = &http.Client{Transport: &granted{h.client.Transport, token}}
	return h
}

// outcomes pushes transactions one by one and returns what they were decided.
func outcomes(a *author, bodies ...[]byte) (codes []string) {
	a.h.t.Helper()
	for _, b := range bodies {
		a.push(a.write(b)...)
	}
	a.catchUp()
	for i := range a.log {
		codes = append(codes, a.log[i].Outcome)
	}
	return codes
}

// A space that is full takes nothing that makes it grow, and all that does not. What a
// token says counts in place of what the server has.
func TestQuota_growth(t *testing.T) {
	grow := [][]byte{body("a", "1"), body("b", "2"), body("c", "3"), body("a", "other"), body("d", "4"), body("b", nil),
		body("e", "5"), body("c", nil, "f", "6")}
	large := [][]byte{body("a", fmt.Sprintf("%0300d", 1)), body("b", fmt.Sprintf("%0300d", 1)), body("a", "short"),
		body("b", fmt.Sprintf("%0300d", 1))}
	full := errcode.Quota
	for name, test := range map[string]struct {
		limits server.Limits
		quota  auth.Quota
		bodies [][]byte
		want   []string
	}{
		"rows by flag":  {server.Limits{QuotaRows: 3}, auth.Quota{}, grow, []string{"", "", "", "", full, "", "", ""}},
		"rows by token": {server.Limits{}, auth.Quota{Rows: 2}, grow, []string{"", "", full, "", full, "", "", full}},
		"the token's counts": {server.Limits{QuotaRows: 1}, auth.Quota{Rows: 3}, grow,
			[]string{"", "", "", "", full, "", "", ""}},
		"none by token": {server.Limits{QuotaRows: 1}, auth.Quota{Rows: -1}, grow, make([]string, 8)},
		"bytes by flag": {server.Limits{QuotaBytes: 500}, auth.Quota{}, large, []string{"", full, "", ""}},
		"bytes by token": {server.Limits{QuotaBytes: 10}, auth.Quota{Bytes: 500}, large,
			[]string{"", full, "", ""}},
		"no quota": {server.Limits{}, auth.Quota{}, grow, make([]string, 8)},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAuthor(under(t, test.limits, test.quota), "s", 1)
			if got := outcomes(a, test.bodies...); fmt.Sprint(got) != fmt.Sprint(test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// Devices that have written in a space go on, and no other begins; all may read.
func TestQuota_devices(t *testing.T) {
	for name, h := range map[string]*harness{
		"by flag":  under(t, server.Limits{QuotaDevices: 2}, auth.Quota{}),
		"by token": under(t, server.Limits{}, auth.Quota{Devices: 2}),
	} {
		t.Run(name, func(t *testing.T) {
			h.t = t
			one, two, three := newAuthor(h, "s", 1), newAuthor(h, "s", 2), newAuthor(h, "s", 3)
			seed := newAuthor(h, "s", 0)
			seed.id = wire.SeedClient
			seed.push(seed.write(body("seed", "x"))...)
			for range 3 {
				one.push(one.write(body("x", "1"))...)
				two.push(two.write(body("x", "2"))...)
				h.refused(three.try(wire.SplitBody(1, body("x", "3"))...), 403, errcode.Quota)
			}
			three.catchUp()
			three.space, three.at = "another", wire.Position{}
			three.push(wire.SplitBody(1, body("x", "3"))...)
			if d := h.digest("s", ""); d.Seq != 7 {
				t.Errorf("%d entries, want 7", d.Seq)
			}
		})
	}
}

// Two new devices of one turn are counted both.
func TestQuota_devicesAtOnce(t *testing.T) { synctest.Test(t, testDevicesAtOnce) }

func testDevicesAtOnce(t *testing.T) {
	h := under(t, server.Limits{QuotaDevices: 3}, auth.Quota{})
	taken := make(chan bool, 12)
	for i := range cap(taken) {
		go func() {
			res := newAuthor(h, "s", byte(i+1)).try(wire.SplitBody(1, body("x", "1"))...)
			res.Body.Close()
			taken <- res.StatusCode == 200
		}()
	}
	n := 0
	for range cap(taken) {
		if <-taken {
			n++
		}
	}
	if n != 3 {
		t.Errorf("%d devices write, want 3", n)
	}
}

// The requests and streams of a subject are as many as its token says.
func TestQuota_ofTheSubject(t *testing.T) { synctest.Test(t, testQuotaOfTheSubject) }

func testQuotaOfTheSubject(t *testing.T) {
	h := under(t, server.Limits{Rate: 1000, SubjectStreams: 50}, auth.Quota{Rate: 0.5, Streams: 1})
	a := newAuthor(h, "s", 1)
	frames, res := a.pull(t.Context(), "")
	defer res.Body.Close()
	next(t, frames, nil, func(f *wire.Frame) bool { return f.CaughtUp != nil })
	h.refused(h.post("s", "pull", (&wire.PullRequest{}).Marshal()), 429, errcode.RateLimited) // a second stream
	busy := h.do("GET", "/v1/spaces/s/digest", nil)                                           // and a third request
	if after := busy.Header.Get("Retry-After"); after != "2" {
		t.Errorf("Retry-After: %q", after)
	}
	h.refused(busy, 429, errcode.RateLimited)
	time.Sleep(2 * time.Second)
	h.digest("s", "")
}

// A sealed space has its log as what is counted; who its members are may change all
// the same.
func TestQuota_sealed(t *testing.T) {
	h := under(t, server.Limits{}, auth.Quota{Bytes: 1 << 20})
	s := found(h)
	ok(h, s.push(s.client, s.next, s.data(nil)), wire.UnmarshalPushResponse)
	full := under(t, server.Limits{}, auth.Quota{Bytes: 1})
	s = found(full) // its first entry is about members
	full.refused(s.push(s.client, s.next, s.data(nil)), 403, errcode.Quota)
	if all := s.pull(); len(all) != 1 {
		t.Errorf("%d entries", len(all))
	}
}
