package liar

import (
	"slices"

	"heddle.dev/heddle/sync/seal"
	"heddle.dev/heddle/sync/wire"
)

// Attack is a lie, and what a device says of it that has not seen the log before: the kind of the stop, and the entry.
//
// It is told of a space with this log: entry 1 founds it, 2 and 3 are the first device's,
// 4 adds the second, 5 and 6 are its, and 7 is the first one's again.
type Attack struct {
	Name string
	Kind seal.Stop
	Seq  uint64
	Lie  Lie
}

// Attacks are those on a log that a device begins to read.
var Attacks = []Attack{
	{"a byte on the way", seal.StopChain, 2, func(log []wire.Entry) []wire.Entry {
		log[1].Body[40] ^= 1
		return log
	}},
	{"another box", seal.StopForged, 2, func(log []wire.Entry) []wire.Entry {
		alter(&log[1], func(s *seal.Sealed) { s.Box[0] ^= 1 })
		return Chained(log)
	}},
	{"another's Change", seal.StopForged, 4, func(log []wire.Entry) []wire.Entry {
		alter(&log[3], func(s *seal.Sealed) { s.Box[len(s.Box)-1] ^= 1 })
		return Chained(log)
	}},
	{"the signature of another batch", seal.StopForged, 2, func(log []wire.Entry) []wire.Entry {
		other, err := seal.UnmarshalSealed(log[4].Body)
		if err != nil {
			panic(err)
		}
		alter(&log[1], func(s *seal.Sealed) { s.Signature, s.Path, s.Sides = other.Signature, other.Path, other.Sides })
		return Chained(log)
	}},
	{"a transaction left out", seal.StopLink, 2, func(log []wire.Entry) []wire.Entry {
		return Chained(slices.Delete(log, 1, 2))
	}},
	{"a transaction twice", seal.StopLink, 4, func(log []wire.Entry) []wire.Entry {
		return Chained(slices.Insert(log, 3, log[2]))
	}},
	{"two of one author in another order", seal.StopLink, 2, func(log []wire.Entry) []wire.Entry {
		log[1], log[2] = log[2], log[1]
		return Chained(log)
	}},
	{"two of different authors in another order", seal.StopFork, 3, func(log []wire.Entry) []wire.Entry {
		log[2], log[3] = log[3], log[2]
		return Chained(log)
	}},
	{"another author's", seal.StopForged, 2, func(log []wire.Entry) []wire.Entry {
		log[1].Client[0] ^= 1
		return Chained(log)
	}},
	{"another counter", seal.StopForged, 2, func(log []wire.Entry) []wire.Entry {
		log[1].Counter++
		return Chained(log)
	}},
	{"another founder", seal.StopAnchor, 1, func(log []wire.Entry) []wire.Entry { return Chained(log[1:]) }},
}

// UpTo is the lie that the log ends at an entry: a rollback.
func UpTo(seq int) Lie { return func(log []wire.Entry) []wire.Entry { return log[:seq] } }

// Void is the lie that the server had refused an entry.
func Void(seq uint64) Lie {
	return func(log []wire.Entry) []wire.Entry {
		log[seq-1].Outcome = "QUOTA"
		return Chained(log)
	}
}

// HideRemovals is the lie that nobody was removed.
func HideRemovals(log []wire.Entry) []wire.Entry {
	return Chained(slices.DeleteFunc(log, func(e wire.Entry) bool {
		s, err := seal.UnmarshalSealed(e.Body)
		if err != nil || s.Kind != seal.KindMembers {
			return false
		}
		c, err := seal.UnmarshalChange(s.Box)
		return err == nil && len(c.Remove) > 0
	}))
}

// Chained numbers entries and chains them, as a server may that has no key.
func Chained(log []wire.Entry) []wire.Entry {
	var chain wire.Hash
	for i := range log {
		e := &log[i]
		e.Seq, e.BodyHash = uint64(i+1), wire.HashBody(e.Body)
		e.Chain = e.ChainAfter(chain)
		chain = e.Chain
	}
	return log
}

func alter(e *wire.Entry, change func(*seal.Sealed)) {
	s, err := seal.UnmarshalSealed(e.Body)
	if err != nil {
		panic(err) // the log is another one than an Attack is told of
	}
	change(s)
	e.Body = s.Marshal()
}
