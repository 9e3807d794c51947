package server_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/logstore/sqlitestore"
	"heddle.dev/heddle/sync/server"
	"heddle.dev/heddle/sync/server/auth"
	"heddle.dev/heddle/sync/wire"
)

// members is a server with tokens, and requests of its users.
type members struct {
	*harness
	key *auth.Key
}

func startMembers(t *testing.T, change func(*server.Options)) *members {
	key := mustKey(t, secret)
	return &members{start(t, func(o *server.Options) {
		o.Dev, o.Tokens = false, key
		if change != nil {
			change(o)
		}
	}), key}
}

// as returns the header of a user's request. Each is a token of its own.
func (m *members) as(subject string, access auth.Access) []string {
	m.t.Helper()
	g := auth.Grant{Subject: subject, ID: fmt.Sprint(time.Now().UnixNano()), Spaces: auth.Spaces(access, "s"),
		Expires: time.Now().Add(time.Hour)}
	token, err := m.key.Mint(g)
	if err != nil {
		m.t.Fatal(err)
	}
	return []string{"Authorization", "Bearer " + token}
}

func (m *members) push(subject string, client wire.ClientID, parts ...wire.Part) *http.Response {
	m.t.Helper()
	return m.post("s", "push", (&wire.PushRequest{Client: client, Parts: parts}).Marshal(),
		m.as(subject, auth.ReadWrite)...)
}

func (m *members) pull(subject string, req wire.PullRequest) *http.Response {
	m.t.Helper()
	return m.post("s", "pull?wait=0", req.Marshal(), m.as(subject, auth.Read)...)
}

// status demands a status, and of a refusal that it is about whose the id is.
func (m *members) status(what string, res *http.Response, want int) {
	m.t.Helper()
	if want == 403 {
		m.refused(res, 403, errcode.Forbidden)
		return
	}
	if res.Body.Close(); res.StatusCode != want {
		m.t.Errorf("%s: got %d, want %d", what, res.StatusCode, want)
	}
}

// A client id belongs to the subject that first pushed under it, with a whole
// transaction or a part of one.
func TestClientID_belongsToItsSubject(t *testing.T) {
	m := startMembers(t, nil)
	whole, half, read := wire.ClientID{1}, wire.ClientID{2}, wire.ClientID{3}
	m.status("a transaction", m.push("ann", whole, wire.SplitBody(1, body("x", "1"))...), 200)
	m.status("a part", m.push("ann", half, wire.SplitBody(1, body("y", strings.Repeat("y", 2<<20)))[0]), 200)
	m.status("a pull claims nothing", m.pull("ann", wire.PullRequest{Client: read}), 200)
	m.status("nor does an empty push", m.push("ann", read), 200)
	for range 2 {
		for name, id := range map[string]wire.ClientID{"whole": whole, "half": half} {
			next := wire.SplitBody(2, body("x", "2"))
			m.status(name+": another's push", m.push("bob", id, next...), 403)
			m.status(name+": another's push of nothing", m.push("bob", id), 403)
			m.status(name+": a push of nobody", m.push("", id, next...), 403)
			m.status(name+": another's pull", m.pull("bob", wire.PullRequest{Client: id}), 403)
			m.status(name+": for its bodies", m.pull("bob", wire.PullRequest{Client: id, OwnBodies: true}), 403)
			m.status(name+": for its outcomes", m.pull("bob", wire.PullRequest{Client: id, Snapshots: true, Anew: true}), 403)
			m.status(name+": its own pull", m.pull("ann", wire.PullRequest{Client: id}), 200)
			m.status(name+": its own push", m.push("ann", id), 200)
		}
		m.down()
		if _, err := sqlitestore.Repair(m.dir, "s"); err != nil {
			t.Fatal(err)
		}
		m.up()
	}
	m.status("a pull under no id", m.pull("bob", wire.PullRequest{}), 200)
	m.status("another's id that nobody has", m.push("bob", read, wire.SplitBody(1, body("z", "1"))...), 200)
	if d := ok(m.harness, m.do("GET", "/v1/spaces/s/digest", nil, m.as("ann", auth.Read)...),
		wire.UnmarshalDigestResponse); d.Seq != 2 {
		t.Errorf("the log has %d entries, want 2", d.Seq)
	}
}

// The id of the seed has no owner: any subject sends it, and the first one counts.
func TestClientID_ofTheSeed(t *testing.T) {
	m := startMembers(t, nil)
	seed := wire.SplitBody(1, body("x", "1"))
	m.status("the first", m.push("ann", wire.SeedClient, seed...), 200)
	m.status("the same again", m.push("bob", wire.SeedClient, seed...), 200)
	m.refused(m.push("bob", wire.SeedClient, wire.SplitBody(1, body("x", "2"))...), 409, errcode.ClientFork)
	m.status("a pull under it", m.pull("bob", wire.PullRequest{Client: wire.SeedClient}), 200)
}

// Ids of data that is older than ownership, or from development mode, belong to
// the subject that pushes under them next.
func TestClientID_takenOver(t *testing.T) {
	m := startMembers(t, nil)
	m.down()
	m.o.Dev = true
	m.up()
	a := newAuthor(m.harness, "s", 1)
	a.push(a.write(body("x", "1"))...)
	m.down()
	m.o.Dev = false
	m.up()
	m.status("a pull", m.pull("bob", wire.PullRequest{Client: a.id}), 200)
	m.status("the next push", m.push("ann", a.id), 200)
	m.status("another's", m.push("bob", a.id), 403)
	m.down()
	m.o.Dev = true // no token is needed, and nothing is lost
	m.up()
	a.push(a.write(body("x", "2"))...)
}

// A token says whether it reads or writes.
func TestAccess_readOnly(t *testing.T) {
	m := startMembers(t, nil)
	id := wire.ClientID{1}
	m.status("a push", m.push("ann", id, wire.SplitBody(1, body("x", "1"))...), 200)
	reader := m.as("bob", auth.Read)
	writes := []string{"push", "snapshot", "missing", "chunks"}
	for _, route := range routes {
		res := m.do(route.method, "/v1/spaces/s/"+route.action, route.body, reader...)
		switch {
		case slices.Contains(writes, route.action):
			m.refused(res, 403, errcode.Forbidden)
		case strings.HasPrefix(route.action, "pull"): // under another's id
			m.refused(res, 403, errcode.Forbidden)
		case route.granted == 403:
			m.refused(res, 403, errcode.Unproved)
		default:
			m.status(route.action, res, route.granted)
		}
	}
	m.status("a pull", m.pull("bob", wire.PullRequest{Client: wire.ClientID{9}}), 200)
	mixed, err := m.key.Mint(auth.Grant{Subject: "cid",
		Spaces: map[string]auth.Access{"*": auth.ReadWrite, "s": auth.Read}, Expires: time.Now().Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	auth := []string{"Authorization", "Bearer " + mixed}
	m.status("another space", m.post("other", "push", routes[0].body, auth...), 200)
	m.refused(m.post("s", "push", routes[0].body, auth...), 403, errcode.Forbidden)
}

// Decide gets the subject and its claims, and each row before and after.
func TestDecide_isTold(t *testing.T) {
	var seen []server.Decision
	m := startMembers(t, func(o *server.Options) {
		o.Decide = func(_ context.Context, d *server.Decision) error {
			seen = append(seen, *d)
			for _, row := range d.Rows {
				if row.Before != nil && row.After == nil && d.Claims["role"] != "owner" {
					return errcode.New("APP_NO", "app", "rows are deleted by owners")
				}
			}
			return nil
		}
	})
	post := func(g auth.Grant, client byte, counter uint64, b []byte) {
		t.Helper()
		g.Spaces, g.Expires = auth.Spaces(auth.ReadWrite, "s"), time.Now().Add(time.Hour)
		token, err := m.key.Mint(g)
		if err != nil {
			t.Fatal(err)
		}
		req := &wire.PushRequest{Client: wire.ClientID{client}, Parts: wire.SplitBody(counter, b)}
		m.status("push", m.post("s", "push", req.Marshal(), "Authorization", "Bearer "+token), 200)
	}
	post(auth.Grant{Subject: "ann"}, 1, 1, body("x", "old", "y", 5))
	post(auth.Grant{Subject: "ann"}, 1, 2, body("x", "new", "y", 2, "x", "newer"))
	post(auth.Grant{Subject: "ann"}, 1, 3, body("x", nil))
	post(auth.Grant{Subject: "bob", Claims: map[string]any{"role": "owner"}}, 2, 1, body("x", nil))
	if len(seen) != 4 {
		t.Fatalf("asked %d times", len(seen))
	}
	second := seen[1]
	if second.Space != "s" || second.Subject != "ann" || second.Counter != 2 || second.Client != (wire.ClientID{1}) ||
		len(second.Rows) != 2 || len(second.Body.Ops) != 3 {
		t.Fatalf("told %+v", second)
	}
	x, y := second.Rows[0], second.Rows[1]
	if x.Table != "notes" || x.Key[0] != "x" || x.Before.Cells["body"] != "old" || x.After.Cells["body"] != "newer" {
		t.Errorf("x: told %+v, %+v", x.Before, x.After)
	}
	if y.Before != nil || y.After != nil { // an addition to a row that is not there
		t.Errorf("y: told %+v, %+v", y.Before, y.After)
	}
	if n := second.Schema.Default("notes", "n"); n != int64(0) {
		t.Errorf("the default of n is %v", n)
	}
	if last := seen[3]; last.Claims["role"] != "owner" || last.Rows[0].Before == nil {
		t.Errorf("told %+v: the deletion before was to be refused", last)
	}
}

// Unfinished uploads are bounded for each subject and in all, at each part, and
// those that were left give way.
func TestUploads_areBounded(t *testing.T) {
	big := wire.SplitBody(1, body("x", strings.Repeat("x", 4<<20)))
	t.Run("bytes of a subject", func(t *testing.T) {
		m := startMembers(t, func(o *server.Options) { o.Limits.SubjectStaged = 5 << 19 })
		m.status("first", m.push("ann", wire.ClientID{1}, big[0]), 200)
		m.status("second", m.push("ann", wire.ClientID{2}, big[0]), 200)
		m.refused(m.push("ann", wire.ClientID{2}, big[1]), 429, errcode.RateLimited)
		m.refused(m.push("ann", wire.ClientID{3}, big[0]), 429, errcode.RateLimited)
		m.status("another's", m.push("bob", wire.ClientID{4}, big[0], big[1]), 200)
		m.staged(time.Hour)
		m.status("what was left gives way", m.push("ann", wire.ClientID{3}, big[0], big[1]), 200)
		res := ok(m.harness, m.push("bob", wire.ClientID{4}), wire.UnmarshalPushResponse)
		if res.Staged != 2 {
			t.Errorf("another's upload went: %+v", res)
		}
	})
	t.Run("uploads of a subject", func(t *testing.T) {
		m := startMembers(t, func(o *server.Options) { o.Limits.SubjectUploads = 2 })
		m.status("first", m.push("ann", wire.ClientID{1}, big[0]), 200)
		m.status("second", m.push("ann", wire.ClientID{2}, big[0]), 200)
		m.refused(m.push("ann", wire.ClientID{3}, big[0]), 429, errcode.RateLimited)
		m.status("an end", m.push("ann", wire.ClientID{2}, big[1:]...), 200)
		m.status("room again", m.push("ann", wire.ClientID{3}, big[0]), 200)
	})
	t.Run("bytes of a space", func(t *testing.T) {
		m := startMembers(t, func(o *server.Options) { o.Limits.Staged = 5 << 19 })
		m.status("ann", m.push("ann", wire.ClientID{1}, big[0]), 200)
		m.status("bob", m.push("bob", wire.ClientID{2}, big[0]), 200)
		m.refused(m.push("bob", wire.ClientID{2}, big[1]), 429, errcode.RateLimited)
		m.staged(time.Hour)
		m.status("the oldest gives way", m.push("bob", wire.ClientID{2}, big[1]), 200)
	})
	t.Run("uploads of a space", func(t *testing.T) {
		m := startMembers(t, func(o *server.Options) { o.Limits.Uploads = 1 })
		m.status("ann", m.push("ann", wire.ClientID{1}, big[0]), 200)
		m.refused(m.push("bob", wire.ClientID{2}, big[0]), 429, errcode.RateLimited)
	})
}

// Pushes at once are bounded for each subject: the rest wait outside.
func TestPushes_areBounded(t *testing.T) {
	begun, goOn := make(chan bool, 1), make(chan bool)
	m := startMembers(t, func(o *server.Options) {
		o.Limits.SubjectPushes = 1
		o.Decide = func(context.Context, *server.Decision) error {
			begun <- true
			<-goOn
			return nil
		}
	})
	ended := make(chan *http.Response)
	go func() { ended <- m.push("ann", wire.ClientID{1}, wire.SplitBody(1, body("x", "1"))...) }()
	<-begun
	m.refused(m.push("ann", wire.ClientID{2}), 429, errcode.RateLimited)
	other := make(chan *http.Response)
	go func() { other <- m.push("bob", wire.ClientID{3}) }()
	close(goOn)
	m.status("the first", <-ended, 200)
	m.status("another's", <-other, 200)
	m.status("the next", m.push("ann", wire.ClientID{2}), 200)
}
