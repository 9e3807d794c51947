package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"heddle.dev/heddle/sync/logstore/natshints/natstest"
	"heddle.dev/heddle/sync/logstore/pgstore/pgtest"
	"heddle.dev/heddle/sync/wire"
)

// compareStores runs each load over both stores, in turns.
func compareStores(loads []load) (err error) {
	cluster, err := pgtest.Start("max_connections=200")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cluster.Remove()) }()
	database := func() (string, error) { return cluster.Database(context.Background()) }
	fmt.Println("postgres and the server are on one machine; the processor of postgres is not counted")
	files := side{name: "sqlite", binary: *file, files: *files}
	if err := compare(loads, files, side{name: "postgres", binary: *file, url: database}); err != nil {
		return err
	}
	own, stop, err := files.start()
	if err != nil {
		return err
	}
	err = deliver("a push and a stream at one server, sqlite", own, own)
	stop()
	if err != nil {
		return err
	}
	url, err := database()
	if err != nil {
		return err
	}
	shared := side{binary: *file, url: func() (string, error) { return url, nil }}
	if err := deliverBetween("postgres", shared); err != nil {
		return err
	}
	broker, err := natstest.Start("", "")
	if err != nil {
		return err
	}
	defer broker.Down()
	shared.hints = broker.URL()
	return deliverBetween("postgres and NATS", shared)
}

// deliverBetween measures it at one server, and between two servers over one database.
func deliverBetween(what string, shared side) error {
	one, stopOne, err := shared.start()
	if err != nil {
		return err
	}
	defer stopOne()
	other, stopOther, err := shared.start()
	if err != nil {
		return err
	}
	defer stopOther()
	if err := deliver("a push and a stream at one server, "+what, one, one); err != nil {
		return err
	}
	return deliver("a push at one server, a stream at another, "+what, one, other)
}

// deliver measures how long a transaction takes from before its push at one server to
// a stream at another: 16 spaces, in each of which one device writes and one follows.
func deliver(what string, from, to *host) error {
	const pairs, every = 16, 100 * time.Millisecond
	var mu sync.Mutex
	sent := map[string]time.Time{}
	var took []time.Duration
	name := func(id wire.ClientID, counter uint64) string { return fmt.Sprint(id, counter) }
	var group sync.WaitGroup
	failed := make(chan error, pairs)
	began := time.Now()
	for i := range pairs {
		a := newAuthor(from, "")
		a.space = fmt.Sprintf("pair%x", a.id[:4])
		if err := a.push(a.part()); err != nil { // makes the space
			return err
		}
		var id wire.ClientID
		binary.BigEndian.PutUint64(id[8:], uint64(i+1))
		conn, err := follow(to, a.space, id, func(entries []wire.Entry) {
			now := time.Now()
			mu.Lock()
			defer mu.Unlock()
			for i := range entries {
				if at, ok := sent[name(entries[i].Client, entries[i].Counter)]; ok {
					took = append(took, now.Sub(at))
				}
			}
		})
		if err != nil {
			return err
		}
		defer conn.Close()
		group.Go(func() {
			time.Sleep(every * time.Duration(i) / pairs) // not all at one moment
			for time.Since(began) < *duration {
				part := a.part()
				mu.Lock()
				sent[name(a.id, a.counter)] = time.Now()
				mu.Unlock()
				if err := a.push(part); err != nil {
					failed <- err
					return
				}
				time.Sleep(every)
			}
		})
	}
	group.Wait()
	select {
	case err := <-failed:
		return err
	case <-time.After(3 * time.Second): // what is late
	}
	mu.Lock()
	defer mu.Unlock()
	if len(took) == 0 {
		return errors.New("no entry came through")
	}
	slices.Sort(took)
	at := func(p float64) time.Duration { return took[int(p*float64(len(took)-1))].Round(10 * time.Microsecond) }
	fmt.Printf("  %-54s p50 %v, p95 %v, p99 %v, of %d sent %d\n", what, at(.5), at(.95), at(.99), len(sent), len(took))
	return nil
}
