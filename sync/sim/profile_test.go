package sim

import (
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// profile says what a seed's run is like.
type profile struct {
	devices      int
	duration     time.Duration // until the faults end
	pace         time.Duration // mean time between two steps of a device
	steps        int           // of a device, at most; 0: as many as there is time for
	slow         time.Duration // most delays are below this
	faults       int           // in a hundred requests
	refused      int           // in a hundred transactions
	undecided    int
	serverFaults time.Duration // mean time between two
	big          bool          // some transactions are sent in parts
	log          int64         // bytes of the log that the server keeps
	frame        int           // bytes of rows in a frame of a snapshot, 0: as many as there are
	copies       int           // devices that begin as a copy of another
	restore      bool          // the server is put back to what it was
	servers      int           // over one store
	storeFaults  int           // in a hundred commits
	dialects     bool          // devices declare the tables each in its own way
	sealed       bool          // the server cannot read what it orders
	without      string        // faults and steps that are left out, separated by commas
}

// drawProfile makes the profile of a seed.
func drawProfile(r *rand.Rand) profile {
	p := profile{
		devices:      2 + r.IntN(3),
		duration:     time.Duration(40+r.IntN(160)) * time.Second,
		pace:         time.Duration(2+r.IntN(6)) * time.Second,
		slow:         []time.Duration{5 * time.Millisecond, 80 * time.Millisecond, time.Second, 8 * time.Second}[r.IntN(4)],
		faults:       []int{0, 5, 20, 50}[r.IntN(4)],
		refused:      []int{0, 5, 25}[r.IntN(3)],
		undecided:    []int{0, 5}[r.IntN(2)],
		serverFaults: []time.Duration{20 * time.Second, 2 * time.Minute, time.Hour}[r.IntN(3)],
	}
	if r.IntN(6) == 0 {
		p.restore, p.serverFaults = true, 20*time.Second
	}
	if r.IntN(8) == 0 {
		p.copies = 1 + r.IntN(2)
	}
	p.big = r.IntN(25) == 0
	if !p.big && r.IntN(3) == 0 {
		p.log = 500 + int64(r.IntN(10_000))
	}
	if r.IntN(3) > 0 {
		p.frame = 1 + r.IntN(400)
	}
	if p.restore || p.log > 0 {
		// Where the server has lost or cut what two copies under one id have
		// written, it cannot tell whose is whose: docs/DURABILITY.md.
		p.copies = 0
	}
	if r.IntN(20) == 0 && !p.big { // now and then a long one, of many; of large ones that takes gigabytes
		p.devices += 4
		p.duration *= 4
	}
	p.dialects = r.IntN(3) > 0
	p.servers = []int{1, 1, 2, 3}[r.IntN(4)]
	p.storeFaults = []int{0, 5, 20}[r.IntN(3)]
	return p
}

// set changes a profile by settings of its fields: "devices=2;duration=10s".
func (p *profile) set(settings string) error {
	f := flag.NewFlagSet("", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.IntVar(&p.devices, "devices", p.devices, "")
	f.DurationVar(&p.duration, "duration", p.duration, "")
	f.DurationVar(&p.pace, "pace", p.pace, "")
	f.IntVar(&p.steps, "steps", p.steps, "")
	f.DurationVar(&p.slow, "slow", p.slow, "")
	f.IntVar(&p.faults, "faults", p.faults, "")
	f.IntVar(&p.refused, "refused", p.refused, "")
	f.IntVar(&p.undecided, "undecided", p.undecided, "")
	f.DurationVar(&p.serverFaults, "serverFaults", p.serverFaults, "")
	f.BoolVar(&p.big, "big", p.big, "")
	f.Int64Var(&p.log, "log", p.log, "")
	f.IntVar(&p.frame, "frame", p.frame, "")
	f.IntVar(&p.copies, "copies", p.copies, "")
	f.BoolVar(&p.restore, "restore", p.restore, "")
	f.IntVar(&p.servers, "servers", p.servers, "")
	f.IntVar(&p.storeFaults, "storeFaults", p.storeFaults, "")
	f.BoolVar(&p.dialects, "dialects", p.dialects, "")
	f.BoolVar(&p.sealed, "sealed", p.sealed, "")
	f.StringVar(&p.without, "without", p.without, "")
	for _, setting := range strings.FieldsFunc(settings, func(r rune) bool { return r == ';' }) {
		name, value, _ := strings.Cut(setting, "=")
		if err := f.Set(name, value); err != nil {
			return fmt.Errorf("%q: %w", setting, err)
		}
	}
	return nil
}

// off reports whether a fault or a step is left out.
func (p *profile) off(what string) bool { return slices.Contains(strings.Split(p.without, ","), what) }
