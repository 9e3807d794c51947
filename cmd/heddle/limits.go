package main

import (
	"errors"
	"flag"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"heddle.dev/heddle/sync/server"
)

// defineLimits makes a flag of each limit of the sync server's, and so a setting of
// the file of --config. One that is not set stays as it is.
func defineLimits(flags *flag.FlagSet, l *server.Limits) {
	d := server.DefaultLimits()
	for _, one := range []struct {
		name, usage string
		value       flag.Value
	}{
		{"limit-body", "`bytes` of a transaction", size(&l.Body, d.Body)},
		{"limit-ops", "`operations` of a transaction", number(&l.Ops, d.Ops)},
		{"limit-row", "`bytes` of a row", size(&l.Row, d.Row)},
		{"limit-again", "`bytes` of rows that a transaction touches again", size(&l.Again, d.Again)},
		{"limit-staged", "`bytes` of unfinished uploads of a space", size(&l.Staged, d.Staged)},
		{"limit-uploads", "unfinished `uploads` of a space", number(&l.Uploads, d.Uploads)},
		{"limit-log", "`bytes` of a space's log before it is cut; or twice those of its rows, if that is more",
			size(&l.Log, d.Log)},
		{"limit-frame", "about how many `bytes` of rows go into a frame of a snapshot", size(&l.Frame, d.Frame)},
		{"limit-streams", "open `streams`", number(&l.Streams, d.Streams)},
		{"limit-spaces", "`spaces` whose schema and digest are kept in memory", number(&l.Spaces, d.Spaces)},
		{"limit-memory", "`bytes` of rows that those keep there as well", size(&l.Memory, d.Memory)},
		{"limit-request", "`time` to read a request, or to write a frame, beside what its bytes take at 32 KiB a second",
			duration(&l.Request, d.Request)},
		{"limit-refused", "`time` to read what a refused request still sends", duration(&l.Refused, d.Refused)},
		{"limit-decision", "`time` to decide what a push holds", duration(&l.Decision, d.Decision)},
		{"limit-store", "`time` for a call of the store, beside what the rows of a large push take",
			duration(&l.Store, d.Store)},
		{"limit-pushes", "`pushes` of a space that wait for their turn", number(&l.Pushes, d.Pushes)},
		{"limit-zips", "compressed `streams` of a space", number(&l.Zips, d.Zips)},
		{"limit-sealed-kept", "`entries` at the end of a sealed log that are never cut: fewer than 8192 are for tests alone",
			number(&l.SealedKept, d.SealedKept)},
		{"limit-sealed-entries", "`entries` of a sealed log since its last snapshot, until a device is asked for another",
			number(&l.SealedEntries, d.SealedEntries)},
		{"limit-sealed-bytes", "`bytes` of those, or half of that snapshot if that is more",
			size(&l.SealedBytes, d.SealedBytes)},
		{"limit-heads", "`time` between two heads of a device of a sealed space", duration(&l.Heads, d.Heads)},
		{"limit-subject-staged", "`bytes` of unfinished uploads of a subject in a space; or none",
			size(&l.SubjectStaged, d.SubjectStaged).orNone()},
		{"limit-subject-uploads", "unfinished `uploads` of a subject in a space; or none",
			number(&l.SubjectUploads, d.SubjectUploads).orNone()},
		{"limit-subject-streams", "open `streams` of a subject; or none",
			number(&l.SubjectStreams, d.SubjectStreams).orNone()},
		{"limit-subject-pushes", "`pushes` at once of a subject in a space; or none",
			number(&l.SubjectPushes, d.SubjectPushes).orNone()},
		{"limit-subject-zips", "compressed `streams` of a subject in a space; or none",
			number(&l.SubjectZips, d.SubjectZips).orNone()},
		{"limit-rate", "`requests` of a subject in a second, four times as many at once; or none",
			rate(&l.Rate, d.Rate).orNone()},
		{"quota-rows", "`rows` that a space may have; a token's own quota counts in place of these",
			number(&l.QuotaRows, d.QuotaRows).orNone()},
		{"quota-bytes", "`bytes` that the rows of a space may have, or the log of a sealed space",
			size(&l.QuotaBytes, d.QuotaBytes).orNone()},
		{"quota-devices", "`devices` that may write in a space; all count that ever have",
			number(&l.QuotaDevices, d.QuotaDevices).orNone()},
	} {
		flags.Var(one.value, one.name, one.usage)
	}
}

// limit is a limit as a flag: more than 0, or "none" where that may be.
type limit[T int | int64 | float64 | time.Duration] struct {
	to       *T
	standard T // where *to is 0
	none     bool
	parse    func(string) (T, error)
	format   func(T) string
}

func (l *limit[T]) orNone() *limit[T] { l.none = true; return l }

func (l *limit[T]) String() string {
	switch {
	case l.to == nil: // so the package flag asks
		return ""
	case *l.to < 0:
		return "none"
	case *l.to == 0 && l.standard < 0:
		return "none"
	case *l.to == 0:
		return l.format(l.standard)
	}
	return l.format(*l.to)
}

func (l *limit[T]) Set(s string) error {
	if s == "none" && l.none {
		*l.to = -1
		return nil
	}
	v, err := l.parse(s)
	if err != nil {
		return err
	}
	if v <= 0 {
		if l.none {
			return errors.New(`it has to be more than 0, or "none"`)
		}
		return errors.New("it has to be more than 0")
	}
	*l.to = v
	return nil
}

func number[T int | int64](to *T, standard T) *limit[T] {
	return &limit[T]{to: to, standard: standard, format: func(n T) string { return strconv.FormatInt(int64(n), 10) },
		parse: func(s string) (T, error) {
			n, err := strconv.ParseInt(s, 10, 64)
			if err != nil || int64(T(n)) != n {
				return 0, errors.New("it has to be a whole number")
			}
			return T(n), nil
		}}
}

func rate(to *float64, standard float64) *limit[float64] {
	return &limit[float64]{to: to, standard: standard,
		format: func(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) },
		parse: func(s string) (float64, error) {
			f, err := strconv.ParseFloat(s, 64)
			if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
				return 0, errors.New("it has to be a number")
			}
			return f, nil
		}}
}

func duration(to *time.Duration, standard time.Duration) *limit[time.Duration] {
	return &limit[time.Duration]{to: to, standard: standard, format: time.Duration.String,
		parse: func(s string) (time.Duration, error) {
			d, err := time.ParseDuration(s)
			if err != nil {
				return 0, errors.New("it has to be a time such as 30s or 2m")
			}
			return d, nil
		}}
}

func size[T int | int64](to *T, standard T) *limit[T] {
	return &limit[T]{to: to, standard: standard, format: func(n T) string { return formatSize(int64(n)) },
		parse: func(s string) (T, error) {
			n, err := parseSize(s)
			if err == nil && int64(T(n)) != n {
				err = errSize
			}
			return T(n), err
		}}
}

var errSize = errors.New("it has to be a number of bytes such as 1048576, 64KiB, 16MiB or 2GiB")

// units of sizes, the largest first.
var units = []struct {
	name string
	size int64
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}}

func parseSize(s string) (int64, error) {
	unit := int64(1)
	for _, u := range units {
		if digits, ok := strings.CutSuffix(s, u.name); ok {
			s, unit = strings.TrimSpace(digits), u.size
			break
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n > math.MaxInt64/unit || n < -math.MaxInt64/unit {
		return 0, errSize
	}
	return n * unit, nil
}

func formatSize(n int64) string {
	for _, u := range units[:3] {
		if n > 0 && n%u.size == 0 {
			return fmt.Sprintf("%d%s", n/u.size, u.name)
		}
	}
	return strconv.FormatInt(n, 10)
}
