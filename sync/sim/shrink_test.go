package sim

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// reductions are what makes a run smaller: for a field of the profile the values
// to try, the smallest first.
var reductions = []struct {
	field  string
	values func(*profile) []string
}{
	{"duration", func(p *profile) []string { return fractions(p.duration) }},
	{"devices", func(p *profile) []string { return below(1, p.devices) }},
	{"copies", func(p *profile) []string { return below(0, p.copies) }},
	{"steps", func(p *profile) []string {
		if p.steps == 0 {
			return []string{"1", "2", "4", "8", "16", "32"}
		}
		return []string{strconv.Itoa((p.steps + 1) / 2), strconv.Itoa(p.steps - 1)}
	}},
	{"faults", func(p *profile) []string { return below(0, min(p.faults, 1)) }},
	{"refused", func(p *profile) []string { return below(0, min(p.refused, 1)) }},
	{"undecided", func(p *profile) []string { return below(0, min(p.undecided, 1)) }},
	{"serverFaults", func(p *profile) []string {
		if p.serverFaults > p.duration {
			return nil
		}
		return []string{"1000h"}
	}},
	{"restore", func(p *profile) []string { return unset(p.restore) }},
	{"big", func(p *profile) []string { return unset(p.big) }},
	{"dialects", func(p *profile) []string { return unset(p.dialects) }},
	{"log", func(p *profile) []string { return below(0, int(min(p.log, 1))) }},
	{"frame", func(p *profile) []string { return below(0, min(p.frame, 1)) }},
	{"without", func(p *profile) []string { // one after the other, beside what is left out already
		names := slices.Clone(netFaults)
		if p.faults == 0 {
			names = nil
		}
		for i := range steps {
			names = append(names, steps[i].name)
		}
		if p.serverFaults < p.duration {
			names = append(names, slices.Compact(slices.Clone(serverFaults))...)
		}
		return slices.DeleteFunc(names, p.off)
	}},
}

func below(least, n int) (values []string) {
	for v := least; v < n; v++ {
		values = append(values, strconv.Itoa(v))
	}
	return values
}

func unset(is bool) []string {
	if is {
		return []string{"false"}
	}
	return nil
}

func fractions(d time.Duration) (values []string) {
	for _, n := range []time.Duration{16, 8, 4, 2} {
		if v := (d / n).Round(time.Second); v > 0 && v < d {
			values = append(values, v.String())
		}
	}
	return values
}

// shrunk is what shrink has found.
type shrunk struct {
	seed        uint64
	how         manner // runs it
	first, last result
}

// shrink looks for a smaller run of a seed that fails: it tries one reduction after
// the other, keeps those with which the run still fails and its trace is no longer,
// and ends when there is none left, or after so many runs. A run that gets stuck
// does not count as one that breaks a promise.
func shrink(t *testing.T, seed uint64, how manner, runs int, report func(string)) (*shrunk, error) {
	how.verbose = true
	f := &shrunk{seed: seed, how: how, first: simulate(t, seed, how)}
	if !f.first.stuck && len(f.first.violations) == 0 {
		return nil, fmt.Errorf("seed %d does not fail", seed)
	}
	f.last = f.first
	for again := true; again; {
		again = false
		for _, r := range reductions {
			p := drawProfile((&sim{seed: seed}).rng("profile"))
			if err := p.set(f.how.settings); err != nil {
				return nil, err
			}
			for _, value := range r.values(&p) {
				if runs--; runs < 0 {
					return f, nil
				}
				whole := value
				if r.field == "without" {
					whole = strings.TrimPrefix(p.without+","+value, ",")
				}
				if !f.try(t, r.field, whole) {
					continue
				}
				again = true
				report(fmt.Sprintf("%d lines: %s %s", len(f.last.trace), r.field, value))
				if p.without = whole; r.field != "without" {
					break
				}
			}
		}
	}
	return f, nil
}

// try makes a reduction and reports whether it is kept.
func (f *shrunk) try(t *testing.T, field, value string) bool {
	less := f.how
	less.settings = replaceSetting(f.how.settings, field, value)
	res := simulate(t, f.seed, less)
	broke, breaks := len(f.first.violations) > 0, len(res.violations) > 0
	if breaks != broke || !breaks && !res.stuck || len(res.trace) > len(f.last.trace) {
		return false
	}
	f.how, f.last = less, res
	return true
}

// replaceSetting gives a field a value in settings.
func replaceSetting(settings, field, value string) string {
	all := slices.DeleteFunc(strings.Split(settings, ";"), func(s string) bool {
		return s == "" || strings.HasPrefix(s, field+"=")
	})
	return strings.Join(append(all, field+"="+value), ";")
}

// String says what fails, and how to see its trace.
func (f *shrunk) String() string {
	what := "it gets stuck"
	if len(f.last.violations) > 0 {
		what = f.last.violations[0]
	}
	flags := fmt.Sprintf("-sim.trace %d -sim.set '%s'", f.seed, f.how.settings)
	if f.how.mutant != "" {
		flags += fmt.Sprintf(" -sim.mutant '%s'", f.how.mutant)
	}
	return fmt.Sprintf("the trace has %d lines in place of %d: %s\ngo test ./sync/sim -run '^TestSimulation$' %s",
		len(f.last.trace), len(f.first.trace), what, flags)
}

// TestShrink makes the run of a mutant smaller. What it finds can be run again.
func TestShrink(t *testing.T) {
	t.Parallel()
	f, err := shrink(t, 1003, manner{mutant: "the cursor stays behind the rows"}, 30, func(line string) { t.Log(line) })
	if err != nil {
		t.Fatal(err)
	}
	t.Log(f)
	if len(f.last.trace) > len(f.first.trace)/2 || !strings.Contains(f.how.settings, "devices=1") {
		t.Errorf("got %d lines of %d with %q", len(f.last.trace), len(f.first.trace), f.how.settings)
	}
	if res := simulate(t, f.seed, f.how); res.hash != f.last.hash || len(res.violations) == 0 {
		t.Errorf("once more: got %q and another trace", res.violations)
	}
}

func TestShrink_aSeedThatDoesNotFail(t *testing.T) {
	t.Parallel()
	if f, err := shrink(t, 1, manner{settings: "duration=1s"}, 1, func(string) {}); err == nil {
		t.Errorf("got %v", f)
	}
}
