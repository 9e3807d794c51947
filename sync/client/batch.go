package client

import (
	"context"
	"errors"
	"time"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/internal/store"
	"heddle.dev/heddle/sync/fold"
	"heddle.dev/heddle/sync/wire"
)

// chunk is how many operations are applied in one stretch inside SQLite:
// between two of them reads of others get their turn.
const chunk = 1000

// yield lets others run, also where there is one thread and an event loop.
func yield() { time.Sleep(time.Nanosecond) }

// apply folds entries that follow the prefix, in one transaction with the
// cursor. Entries that the prefix has already are passed over.
func (c *Client) apply(ctx context.Context, client wire.ClientID, epoch wire.Epoch, entries []wire.Entry) (rows uint64, err error) {
	c.mu.Lock()
	have := c.pos.Seq
	c.mu.Unlock()
	if len(entries) == 0 || entries[len(entries)-1].Seq <= have {
		return 0, nil
	}
	var a *applier
	forked := false
	err = c.db.Apply(ctx, func(tx *store.Tx) error {
		a = &applier{tx: tx, rows: c.rowsOn(tx), foreign: c.foreign}
		if err := tx.Inside(func(*sqlite3.Conn) error { return a.begin(c) }); err != nil {
			return err
		}
		if a.bootstrap != nil {
			return errBootstrapping // what the tables hold is no prefix
		}
		if a.pos.Epoch != epoch && (a.pos.Epoch != wire.Epoch{} || a.pos.Seq != 0) {
			return errEpoch
		}
		a.pos.Epoch = epoch
		if a.client != client {
			return errFork // the stream was asked for under an id that is no more
		}
		for i := range entries {
			if entries[i].Seq <= a.pos.Seq {
				continue
			}
			err := a.entry(&entries[i])
			if errors.Is(err, errFork) && a.pos.Seq+1 == entries[i].Seq {
				// What came before is applied; from here on, with a new id.
				forked = true
				if err := tx.Inside(func(*sqlite3.Conn) error { return a.fork(c) }); err != nil {
					return err
				}
				break
			}
			if err != nil {
				return err
			}
		}
		if err := a.dangling(); err != nil {
			return err
		}
		return tx.Inside(func(*sqlite3.Conn) error { return a.finish(c) })
	})
	if err != nil {
		return 0, err
	}
	c.validate(a.invalidation)
	c.share(a.state)
	for _, e := range a.events {
		c.events.put(e)
	}
	c.events.deliver()
	if forked {
		return a.count, errFork
	}
	return a.count, nil
}

// begin takes the state into the applier. Until the end it works on a copy; the
// digest alone is changed in place, and loaded again if the transaction fails.
func (a *applier) begin(c *Client) error {
	s, err := c.current(&a.rows)
	if err != nil {
		return err
	}
	if err := c.recount(&a.rows, s); err != nil {
		return err
	}
	a.invalidation = c.invalidate()
	copied := *s
	a.state = &copied
	a.merged = mergedSchema(s.schema, a.tables)
	a.saved = s.schema
	id, _, err := a.oldest()
	a.pending = id != 0
	return err
}

// finish writes what is left and hands the state back.
func (a *applier) finish(c *Client) error {
	if a.saved != a.schema {
		if err := setMeta(a.conn, metaSchema, a.schema.Marshal()); err != nil {
			return err
		}
	}
	if err := a.savePosition(a.conn); err != nil {
		return err
	}
	if err := a.saveDigest(a.conn); err != nil {
		return err
	}
	a.report()
	c.state, c.overflow = a.state, a.overflow
	return nil
}

// mergedSchema is a schema with what this app's version declares beyond it.
func mergedSchema(s *fold.Schema, tables map[string]*table) *fold.Schema {
	m := s.Clone()
	for _, t := range tables {
		m.Apply([]wire.TableSchema{t.schema})
	}
	return m
}
