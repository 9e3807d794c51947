package growth

import "testing"

type verdict struct {
	testing.TB
	failed bool
}

func (v *verdict) Errorf(string, ...any) { v.failed = true }

func TestLinear(t *testing.T) {
	sum := 0
	work := func(n int) {
		for i := range n {
			sum = sum*31 + i
		}
	}
	for name, c := range map[string]struct {
		f      func(n int) func()
		n      int
		failed bool
	}{
		"linear":    {func(n int) func() { return func() { work(n * 1000) } }, 1000, false},
		"quadratic": {func(n int) func() { return func() { work(n * n) } }, 1500, true},
	} {
		v := &verdict{TB: t}
		Linear(v, c.n, c.f)
		if v.failed != c.failed {
			t.Errorf("%s: failed: %v", name, v.failed)
		}
	}
}
