package seal_test

import (
	"testing"

	"heddle.dev/heddle/sync/seal"
)

// What two logs have in common is known as far as hashes are kept, and no further.
func TestLog_Common(t *testing.T) {
	o := newFounder(t)
	add := func() {
		counter, _ := o.log.Client(o.client)
		e := o.entry(o.client, counter+1, &seal.Sealed{Kind: seal.KindData})
		o.log.Append(e, o.log.Judge(e, checks))
		o.log.Keep()
	}
	for range 3 {
		add()
	}
	at, other := o.log.Head(), o.log.Clone()
	add()
	ahead := o.log.Clone()
	if got := other.Common(ahead); got != at {
		t.Errorf("a log and its past: %v", got)
	}
	if got := ahead.Common(seal.NewLog(space, seal.Anchor{}, seal.Window)); got != (seal.Position{}) {
		t.Errorf("a log and an empty one: %v", got)
	}
	if got := ahead.Oldest(); got.Seq != 1 || !ahead.Has(got) {
		t.Errorf("the oldest is %v", got)
	}
	all := ahead.ChangesAfter(0)
	if len(all) != 1 || all[0] != ahead.Newest() || len(ahead.ChangesAfter(1)) != 0 || len(ahead.Gone()) != 0 {
		t.Errorf("the Changes are %v", all)
	}
}
