package replica

import (
	"context"
	"slices"
	"testing"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/wire"
)

func refuseAll() string { return errcode.Rejected }

// A transaction that is tried again is a new one, with the same operations on
// the rows as they are by then, and shows at once.
func TestOutcomes_retry(t *testing.T) {
	ctx := context.Background()
	l := newMemoryLog(t)
	a, b := newPolicyReplica(t), newPolicyReplica(t)
	a.must(`INSERT INTO p(id, likes, tags) VALUES('k', 10, '["a"]'), ('gone', 1, '[]')`)
	a.push(l, 9, accept)
	a.pull(l, 9)
	b.pull(l, 9)

	a.must(`UPDATE p SET likes = likes + 5, title = 'A', tags = '["b"]'`)
	pending, err := a.c.Pending(ctx)
	if err != nil || len(pending) != 1 || pending[0].ID != 2 || pending[0].Created == 0 || len(pending[0].Ops) != 3 {
		t.Fatalf("got %+v, %v", pending, err)
	}
	a.push(l, 9, refuseAll)
	a.pull(l, 9)
	b.must(`UPDATE p SET likes = 1, title = 'B'; DELETE FROM p WHERE id = 'gone'`)
	b.must(`DELETE FROM p WHERE id = 'gone'`)
	b.push(l, 9, accept)
	a.pull(l, 9)
	rejected, err := a.c.Rejected(ctx)
	if err != nil || len(rejected) != 1 || rejected[0].Code != errcode.Rejected {
		t.Fatalf("got %+v, %v", rejected, err)
	}
	if found, err := a.c.Retry(ctx, rejected[0].ID); err != nil || !found {
		t.Fatal(found, err)
	}
	want := []string{`string:k string:A int64:6 <nil>:<nil> <nil>:<nil> <nil>:<nil> string:["b"]`}
	if got := a.dump("p", "id", policyColumns); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	for _, call := range []func(context.Context, int64) (bool, error){a.c.Retry, a.c.Discard} {
		if found, err := call(ctx, rejected[0].ID); err != nil || found {
			t.Errorf("a transaction that was tried again is still there: %v", err)
		}
	}
	if n := a.pending(); n != 1 {
		t.Errorf("%d pending after the retry", n)
	}
	a.must(`UPDATE p SET likes = likes + 1`) // on top of it
	a.close()
	a.open()
	b.must(`UPDATE p SET likes = likes + 100`)
	b.push(l, 9, accept)
	a.pull(l, 9)
	a.push(l, 9, accept)
	for _, r := range []*replica{a, b} {
		r.pull(l, 99)
		want := []string{`string:k string:A int64:107 <nil>:<nil> <nil>:<nil> <nil>:<nil> string:["b"]`}
		if got := r.dump("p", "id", policyColumns); !slices.Equal(got, want) {
			t.Errorf("in the end: got %v, want %v", got, want)
		}
		if _, digest, err := r.c.Digest(ctx); err != nil || digest != l.digest() {
			t.Errorf("the digest is not the log's (err %v)", err)
		}
	}
	// The update of the row that is gone is a conflict of the retry.
	if c, ok := a.events[len(a.events)-1].(Conflict); !ok || c.Reason != ConflictMissing || len(c.Keys) != 1 ||
		c.Keys[0].Key[0] != "gone" {
		t.Errorf("got %+v", a.events)
	}
}

// What the log has not heard of, since the transaction that told it was
// refused, the retry tells again.
func TestOutcomes_retryDescribes(t *testing.T) {
	l, a := newMemoryLog(t), newPolicyReplica(t)
	a.must(`INSERT INTO p(id, likes) VALUES('k', 1)`)
	a.push(l, 9, refuseAll)
	a.pull(l, 9)
	rejected, err := a.c.Rejected(t.Context())
	if err != nil || len(rejected) != 1 {
		t.Fatal(rejected, err)
	}
	if found, err := a.c.Retry(t.Context(), rejected[0].ID); err != nil || !found {
		t.Fatal(found, err)
	}
	a.push(l, 9, accept) // the log checks each body
	a.pull(l, 9)
	if got := len(l.rows); got != 1 {
		t.Errorf("the log has %d rows", got)
	}
}

func TestNames(t *testing.T) {
	for k, want := range map[wire.Kind]string{wire.Insert: "insert", wire.Update: "update", wire.Delete: "delete", 9: ""} {
		if k.String() != want {
			t.Errorf("kind %d is called %q", k, k)
		}
	}
	for j, want := range map[wire.Join]string{wire.JoinLast: "last", wire.JoinSetRemove: "set-", 9: ""} {
		if j.String() != want {
			t.Errorf("join %d is called %q", j, j)
		}
	}
}
