package leader

import (
	"fmt"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"heddle.dev/heddle/internal/await"
	"heddle.dev/heddle/internal/rpc"
	"heddle.dev/heddle/internal/rpc/rpctest"
)

// announced is a channel that hands out what a leader announces.
type announced chan rpc.Announcement

func (ch announced) Post(p []byte) error {
	a, err := rpctest.DecodeAnnouncement(p)
	ch <- a
	return err
}

func (ch announced) leader(_ *rpc.OpenConfig, env *Env) { env.Channel = ch }

// commit waits for the next commit that is announced.
func (ch announced) commit(t *testing.T) *rpc.Commit {
	t.Helper()
	for {
		if a := await.Event(t, ch, "an announcement"); a.Commit != nil {
			return a.Commit
		}
	}
}

func TestLeader_announcesCommitsWithTheirTab(t *testing.T) {
	ch := make(announced, 64)
	l := openLeader(t, ch.leader)
	a := connect(t, l, "tab-a")
	a.send(rpc.Request{Method: rpc.MethodListen, Listens: true})
	a.ask(exec("INSERT INTO notes VALUES('k','b',1)")).ok()
	connect(t, l, "tab-b").ask(exec("INSERT INTO notes VALUES('l','b',1)")).ok()
	for _, want := range []rpc.Commit{
		{Tab: "tab-a", Tables: []rpc.TableCommit{{Table: "notes", Inserted: [][]rpc.Value{{"k"}}}}},
		{Tab: "tab-b", Tables: []rpc.TableCommit{{Table: "notes", Inserted: [][]rpc.Value{{"l"}}}}},
	} {
		if got := ch.commit(t); !reflect.DeepEqual(got, &want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
}

func TestLeader_announcesNotifications(t *testing.T) {
	ch := make(announced, 64)
	l := openLeader(t, ch.leader)
	a := connect(t, l, "tab-a")
	a.send(rpc.Request{Method: rpc.MethodListen, Listens: true})
	notify := func(method rpc.Method, tx uint32, payload string) rpc.Request {
		return rpc.Request{Method: method, Target: tx, Channel: "chat", Payload: payload}
	}
	tx := a.begin()
	a.ask(inTx(rpc.MethodTxExec, tx, "INSERT INTO notes VALUES('k','b',1)")).ok()
	a.ask(notify(rpc.MethodTxNotify, tx, "1")).ok()
	a.ask(rpc.Request{Method: rpc.MethodTxRollback, Target: tx}).ok()
	tx = a.begin()
	a.ask(notify(rpc.MethodTxNotify, tx, "2")).ok()
	a.ask(inTx(rpc.MethodTxExec, tx, "INSERT INTO notes VALUES('k','b',1)")).ok()
	a.ask(rpc.Request{Method: rpc.MethodTxCommit, Target: tx}).ok()
	first := ch.commit(t)
	a.ask(notify(rpc.MethodNotify, 0, "3")).ok()
	second := ch.commit(t)
	if got := first.Notified; len(first.Tables) != 1 ||
		!reflect.DeepEqual(got, []rpc.Notification{{Channel: "chat", Payload: "2"}}) {
		t.Errorf("got %+v", first)
	}
	if want := (rpc.Commit{Tab: "tab-a",
		Notified: []rpc.Notification{{Channel: "chat", Payload: "3"}}}); !reflect.DeepEqual(second, &want) {
		t.Errorf("got %+v, want %+v", second, want)
	}
	// Sent again to the next leader, it is answered from what was kept.
	again := notify(rpc.MethodNotify, 0, "3")
	again.Write.Counter = a.counter
	a.wait(a.sendAs(again)).ok()
	if len(ch) > 0 {
		t.Errorf("the notification was announced twice: %+v", <-ch)
	}
}

// A post to a BroadcastChannel takes the leader longer than anything else of a commit:
// there is none while no tab listens. One that begins to listen is told the number above
// which it hears all, by a reply.
func TestLeader_announcesWhileATabListens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ch := make(announced, 64)
		l := openLeader(t, ch.leader)
		a, b := connect(t, l, "a"), connect(t, l, "b")
		n := 0
		commit := func() {
			n++
			a.ask(exec(fmt.Sprintf("INSERT INTO notes VALUES('k%d','b',1)", n))).ok()
		}
		listen := func(p *tab, more bool, above uint64) {
			t.Helper()
			got, err := p.ask(rpc.Request{Method: rpc.MethodListen, Listens: more}).ok().last.Payload.U64()
			if err != nil || got != above {
				t.Errorf("a tab hears all commits above %d, %v; want %d", got, err, above)
			}
		}
		took := func(step, want string) {
			t.Helper()
			synctest.Wait()
			var got []string
			for len(ch) > 0 {
				one := <-ch
				kind := "head"
				if one.Commit != nil {
					kind = "commit"
				}
				got = append(got, fmt.Sprint(kind, " ", one.Number))
			}
			if fmt.Sprint(got) != want {
				t.Errorf("%s: got %v, want %s", step, got, want)
			}
		}
		took("it leads", "[head 0]")
		commit()
		took("nobody listens", "[]")
		listen(a, true, 1)
		commit()
		took("one listens", "[commit 2]")
		listen(b, true, 2)
		listen(b, true, 2)
		listen(a, false, 2)
		listen(a, false, 2) // once too often
		commit()
		took("another one does", "[commit 3]")
		b.s.Close()
		commit()
		took("it is gone", "[]")
		b.send(rpc.Request{Method: rpc.MethodListen, Listens: true})
		commit()
		took("it is gone, and what it said came late", "[]")
		listen(a, true, 5)
		commit()
		took("one begins again", "[commit 6]")
	})
}

// The last announcement of several may be lost, and leaves no gap: so the leader
// repeats the number, more and more rarely, for as long as a tab listens.
func TestLeader_repeatsTheLastNumber(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ch := make(announced, 64)
		l := openLeader(t, ch.leader)
		a := connect(t, l, "a")
		a.send(rpc.Request{Method: rpc.MethodListen, Listens: true})
		a.ask(exec("INSERT INTO notes VALUES('k','b',1)")).ok()
		heads := func(after time.Duration) (at []time.Duration) {
			for began := time.Now(); ; {
				select {
				case one := <-ch:
					if one.Commit == nil && one.Number == 1 {
						at = append(at, time.Since(began))
					}
				case <-time.After(time.Until(began.Add(after))):
					return at
				}
			}
		}
		at := heads(10 * time.Minute)
		rarely := 63750 * time.Millisecond // after that once a minute
		if len(at) != 16 || at[0] != 250*time.Millisecond || at[7] != rarely || at[15] != rarely+8*time.Minute {
			t.Errorf("the leader announced where it is after %v", at)
		}
		a.send(rpc.Request{Method: rpc.MethodListen})
		if at := heads(time.Hour); len(at) > 1 {
			t.Errorf("nobody listens, and the leader announced where it is after %v", at)
		}
	})
}
