package leader

import (
	"testing"
	"testing/synctest"
)

// TestLeader_probe asks a leader, between its tabs' calls, whether it is quiet.
func TestLeader_probe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := openLeader(t, nil)
		quiet := func(when string, want bool) {
			t.Helper()
			synctest.Wait()
			if got := l.Probe(); got != want {
				t.Errorf("%s: quiet is %v, want %v", when, got, want)
			}
		}
		quiet("without tabs", true)
		p, other := connect(t, l, "a"), connect(t, l, "b")
		quiet("with idle tabs", true)
		tx := p.begin()
		quiet("with an open transaction", false)
		waiting := other.send(exec("INSERT INTO notes VALUES('a','b',1)"))
		quiet("with a write that waits for it", false)
		p.ask(commit(tx)).ok()
		other.wait(waiting).ok()
		quiet("when both are answered", true)
	})
}
