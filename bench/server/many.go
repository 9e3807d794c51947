package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"heddle.dev/heddle/sync/logstore/pgstore/pgtest"
)

// copied are the tables of a space, with their columns.
var copied = map[string]string{
	"descriptors": "schema",
	"log":         "seq, client, counter, outcome, body_hash, chain, digest, rows, body",
	"client":      "id, decided, owner",
	"row":         "tbl, prefix, tail, rest, sum, cells",
	"bucket":      "tbl, grp, n, sum",
}

// manySpaces measures what spaces take in one PostgreSQL, and a push to one of them that
// the server does not have in memory: at a thousand, and at n. They are copies of one
// with a row, made in the database.
func manySpaces(n int) (err error) {
	ctx := context.Background()
	cluster, err := pgtest.Start("max_connections=200")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cluster.Remove()) }()
	url, err := cluster.Database(ctx)
	if err != nil {
		return err
	}
	shared := side{binary: *file, url: func() (string, error) { return url, nil }}
	h, stop, err := shared.start()
	if err != nil {
		return err
	}
	first := newAuthor(h, "space-0")
	err = first.push(first.part())
	stop()
	if err != nil {
		return err
	}
	for made, n := range []int{1000, n} {
		made *= 1000
		began := time.Now()
		if err := copySpaces(ctx, url, made+1, n); err != nil {
			return err
		}
		size, err := pgtest.Value(ctx, url, `SELECT sum(pg_total_relation_size(oid))::bigint FROM pg_class
			WHERE relnamespace = 'heddle'::regnamespace AND relkind = 'r'`)
		if err != nil {
			return err
		}
		fmt.Printf("%d spaces, of a row each: %.2f KiB each, made in %.0f s\n", n, float64(size)/1024/float64(n),
			time.Since(began).Seconds())
		if err := pushCold(shared, n); err != nil {
			return err
		}
	}
	return nil
}

// copySpaces makes spaces with these numbers of the one that is there.
func copySpaces(ctx context.Context, url string, from, to int) error {
	last, err := pgtest.Value(ctx, url, `SELECT max(id) FROM heddle.space`)
	if err != nil {
		return err
	}
	statements := []string{fmt.Sprintf(`INSERT INTO heddle.space(name, epoch, seq, chain, digest, rows, live, logged)
		SELECT convert_to('space-' || i, 'UTF8'), epoch, seq, chain, digest, rows, live, logged
		FROM heddle.space, generate_series(%d, %d) i WHERE name = 'space-0' RETURNING 1`, from, to)}
	for table, columns := range copied {
		statements = append(statements, fmt.Sprintf(`INSERT INTO heddle.%s(space, %s) SELECT s.id, x.%s
			FROM heddle.%[1]s x, heddle.space s, heddle.space s0
			WHERE s0.name = 'space-0' AND x.space = s0.id AND s.id > %[4]d RETURNING 1`,
			table, columns, strings.ReplaceAll(columns, ", ", ", x."), last))
	}
	for _, sql := range statements {
		if _, err := pgtest.Value(ctx, url, `WITH made AS (`+sql+`) SELECT count(*) FROM made`); err != nil {
			return err
		}
	}
	return nil
}

// pushCold has new devices push twice to a space of n each: at first the server reads
// the space.
func pushCold(shared side, n int) error {
	const devices, each = 4, 250
	h, stop, err := shared.start()
	if err != nil {
		return err
	}
	defer stop()
	var mu sync.Mutex
	took := [2][]time.Duration{}
	failed := make(chan error, devices)
	var group sync.WaitGroup
	for d := range devices {
		group.Go(func() {
			random := rand.New(rand.NewPCG(uint64(d), uint64(n)))
			for range each {
				a := newAuthor(h, fmt.Sprintf("space-%d", 1+random.IntN(n)))
				for i := range took {
					part, began := a.part(), time.Now()
					if err := a.push(part); err != nil {
						failed <- err
						return
					}
					mu.Lock()
					took[i] = append(took[i], time.Since(began))
					mu.Unlock()
				}
			}
		})
	}
	group.Wait()
	select {
	case err := <-failed:
		return err
	default:
	}
	for i, what := range []string{"a push to a space that is not in memory", "the next one"} {
		slices.Sort(took[i])
		fmt.Printf("  %-44s p50 %v, p99 %v\n", what, took[i][len(took[i])/2].Round(10*time.Microsecond),
			took[i][len(took[i])*99/100].Round(10*time.Microsecond))
	}
	return nil
}
