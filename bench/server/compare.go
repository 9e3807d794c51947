package main

import (
	"fmt"
	"slices"
)

// compare runs each load on both servers, in turns.
func compare(loads []load, before, after side) error {
	for _, l := range loads {
		var rates, cpus [3][]float64 // before, after, and how they are to each other
		for i := range *pairs {
			var r [2]result
			for k := range r {
				at := (i + k) % 2 // each begins as often as the other
				var err error
				if r[at], err = l.push([]side{before, after}[at]); err != nil {
					return err
				}
			}
			for at := range r {
				rates[at], cpus[at] = append(rates[at], r[at].rate), append(cpus[at], r[at].cpu)
			}
			rates[2], cpus[2] = append(rates[2], r[1].rate/r[0].rate), append(cpus[2], r[1].cpu/r[0].cpu)
		}
		fmt.Printf("  %-46s %8.0f %s, %8.0f %s: %.2f times (%.2f to %.2f); "+
			"%.3f and %.3f ms of processor each: %.2f times (%.2f to %.2f)\n",
			l.what, median(rates[0]), before.name, median(rates[1]), after.name,
			median(rates[2]), slices.Min(rates[2]), slices.Max(rates[2]),
			median(cpus[0]), median(cpus[1]), median(cpus[2]), slices.Min(cpus[2]), slices.Max(cpus[2]))
	}
	return nil
}

func median(all []float64) float64 {
	slices.Sort(all)
	return all[len(all)/2]
}
