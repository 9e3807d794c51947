package storetest

import (
	"bytes"
	"cmp"
	"iter"
	"maps"
	"slices"
	"strings"

	"heddle.dev/heddle/sync/logstore"
	"heddle.dev/heddle/sync/wire"
)

// Meta implements logstore.View, as do the others of that interface.
func (c *content) Meta() (logstore.Meta, error) { return c.meta, nil }
func (c *content) Schema() ([]byte, error)      { return c.schema, nil }

// list is a sequence without errors.
func list[T any](all []T) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for i := range all {
			if !yield(all[i], nil) {
				return
			}
		}
	}
}

func (c *content) Buckets() iter.Seq2[wire.Bucket, error] {
	var all []wire.Bucket
	for id, sum := range c.buckets {
		all = append(all, wire.Bucket{Table: id.table, Group: id.group, Number: id.number, Sum: sum})
	}
	slices.SortFunc(all, func(a, b wire.Bucket) int {
		return cmp.Or(cmp.Compare(a.Table, b.Table), cmp.Compare(a.Group, b.Group), cmp.Compare(a.Number, b.Number))
	})
	return list(all)
}

func (c *content) Rows(ids []logstore.RowID) ([][]byte, error) {
	all := make([][]byte, len(ids))
	for i, id := range ids {
		all[i] = c.rows[id]
	}
	return all, nil
}

func compareRows(a, b logstore.RowID) int {
	return cmp.Or(cmp.Compare(a.Table, b.Table), cmp.Compare(a.Key, b.Key))
}

func (c *content) Scan(after logstore.RowID, _ int) iter.Seq2[logstore.Row, error] {
	var all []logstore.Row
	for id, cells := range c.rows {
		if compareRows(id, after) > 0 {
			all = append(all, logstore.Row{RowID: id, Cells: cells})
		}
	}
	slices.SortFunc(all, func(a, b logstore.Row) int { return compareRows(a.RowID, b.RowID) })
	return list(all)
}

func (c *content) Entries(after uint64, bytes int, without wire.ClientID) ([]wire.Entry, error) {
	var all []wire.Entry
	size := 0
	for _, e := range c.log {
		if e.Seq <= after {
			continue
		}
		if e.Client == without {
			e.Body = nil
		}
		if len(all) == 1000 || size > 0 && size+len(e.Body) > bytes {
			break
		}
		size += len(e.Body) + 128
		all = append(all, e)
	}
	return all, nil
}

func (c *content) Sizes(after uint64, n int) (all []logstore.Size, err error) {
	for i := range c.log {
		if e := &c.log[i]; e.Seq > after && len(all) < n {
			all = append(all, logstore.Size{Seq: e.Seq, Bytes: int64(len(e.Body))})
		}
	}
	return all, nil
}

func (c *content) At(seq uint64) (s logstore.State, found bool, err error) {
	if s, found = c.states[seq]; seq == c.meta.Head.Seq {
		s, found = c.meta.State, true
	}
	s.Live = 0
	return s, found, nil
}

func (c *content) Chain(seq uint64) (chain wire.Hash, found bool, err error) {
	if seq == c.meta.Horizon {
		return c.meta.HorizonChain, true, nil
	}
	for i := range c.log {
		if c.log[i].Seq == seq {
			return c.log[i].Chain, true, nil
		}
	}
	return chain, false, nil
}

func (c *content) Find(client wire.ClientID, counter uint64) (hash wire.Hash, found bool, err error) {
	for i := range c.log {
		if e := &c.log[i]; e.Client == client && e.Counter == counter {
			return e.BodyHash, true, nil
		}
	}
	return hash, false, nil
}

func (c *content) Clients(ids []wire.ClientID) (all []logstore.Client, err error) {
	for _, id := range ids {
		known := c.clients[id]
		known.ID = id
		all = append(all, known)
	}
	return all, nil
}

func compareIDs(a, b wire.ClientID) int { return bytes.Compare(a[:], b[:]) }

func (c *content) AllClients() iter.Seq2[logstore.Client, error] {
	all := slices.Collect(maps.Values(c.clients))
	slices.SortFunc(all, func(a, b logstore.Client) int { return compareIDs(a.ID, b.ID) })
	return list(all)
}

func (c *content) Outcomes(client wire.ClientID, n int) iter.Seq2[wire.Outcome, error] {
	var all []wire.Outcome
	for id, o := range c.outcomes {
		if id.client == client {
			o.Client = wire.ClientID{}
			all = append(all, o)
		}
	}
	for _, e := range c.log {
		if e.Client == client {
			all = append(all, wire.Outcome{Counter: e.Counter, Seq: e.Seq, Code: e.Outcome, BodyHash: e.BodyHash})
		}
	}
	slices.SortFunc(all, func(a, b wire.Outcome) int { return cmp.Compare(b.Counter, a.Counter) })
	return list(all[:min(n, len(all))])
}

func (c *content) CutOutcomes() iter.Seq2[wire.Outcome, error] {
	all := slices.Collect(maps.Values(c.outcomes))
	slices.SortFunc(all, func(a, b wire.Outcome) int {
		return cmp.Or(compareIDs(a.Client, b.Client), cmp.Compare(a.Counter, b.Counter))
	})
	return list(all)
}

func (c *content) Uploads() ([]logstore.Upload, error) {
	all := slices.Collect(maps.Values(c.uploads))
	slices.SortFunc(all, func(a, b logstore.Upload) int {
		return cmp.Or(cmp.Compare(a.At, b.At), compareIDs(a.Client, b.Client))
	})
	return all, nil
}

func (c *content) Blobs(prefix string) (all []logstore.BlobInfo, err error) {
	for _, name := range slices.Sorted(maps.Keys(c.blobs)) {
		if b := c.blobs[name]; strings.HasPrefix(name, prefix) {
			all = append(all, logstore.BlobInfo{Name: name, Size: int64(len(b.Bytes)), At: b.At})
		}
	}
	return all, nil
}

func (c *content) Blob(name string) ([]byte, error) { return c.blobs[name].Bytes, nil }

func (c *content) Parts(client wire.ClientID) (all [][]byte, err error) {
	for _, i := range slices.Sorted(maps.Keys(c.parts[client])) {
		all = append(all, c.parts[client][i])
	}
	return all, nil
}

func (c *content) DeviceHeads() ([]logstore.DeviceHead, error) {
	all := slices.Collect(maps.Values(c.told))
	slices.SortFunc(all, func(a, b logstore.DeviceHead) int { return bytes.Compare(a.Device[:], b.Device[:]) })
	return all, nil
}
