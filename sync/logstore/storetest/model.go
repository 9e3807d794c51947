package storetest

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"sync"

	"heddle.dev/heddle/sync/logstore"
	"heddle.dev/heddle/sync/wire"
)

// Model is a store in memory, as simple as can be: what every other store is
// compared with.
type Model struct {
	mu       sync.Mutex
	spaces   map[string]*content
	watchers map[*func(logstore.Hint)]bool
}

var _ logstore.Store = (*Model)(nil)

// NewModel makes an empty store.
func NewModel() *Model {
	return &Model{spaces: map[string]*content{}, watchers: map[*func(logstore.Hint)]bool{}}
}

// content is all of a space. It is not changed once a View has it.
type content struct {
	gone     bool
	meta     logstore.Meta
	schema   []byte
	log      []wire.Entry
	states   map[uint64]logstore.State // where a commit ended
	rows     map[logstore.RowID][]byte
	buckets  map[bucketID][]byte
	clients  map[wire.ClientID]logstore.Client
	outcomes map[outcomeID]wire.Outcome
	uploads  map[wire.ClientID]logstore.Upload
	parts    map[wire.ClientID]map[uint32][]byte
	told     map[[16]byte]logstore.DeviceHead
	blobs    map[string]logstore.Blob
}

type bucketID struct {
	table         string
	group, number uint32
}

type outcomeID struct {
	client  wire.ClientID
	counter uint64
}

func newContent() *content {
	return &content{states: map[uint64]logstore.State{}, rows: map[logstore.RowID][]byte{},
		buckets: map[bucketID][]byte{}, clients: map[wire.ClientID]logstore.Client{},
		outcomes: map[outcomeID]wire.Outcome{}, uploads: map[wire.ClientID]logstore.Upload{},
		parts: map[wire.ClientID]map[uint32][]byte{}, told: map[[16]byte]logstore.DeviceHead{},
		blobs: map[string]logstore.Blob{}}
}

func (c *content) clone() *content {
	d := *c
	d.log = slices.Clone(c.log)
	d.states, d.rows, d.buckets = maps.Clone(c.states), maps.Clone(c.rows), maps.Clone(c.buckets)
	d.clients, d.outcomes, d.uploads = maps.Clone(c.clients), maps.Clone(c.outcomes), maps.Clone(c.uploads)
	d.told = maps.Clone(c.told)
	d.blobs = maps.Clone(c.blobs)
	d.parts = map[wire.ClientID]map[uint32][]byte{}
	for id, parts := range c.parts {
		d.parts[id] = maps.Clone(parts)
	}
	return &d
}

// find returns a space that is there. The caller holds m.mu.
func (m *Model) find(space string) (*content, error) {
	switch c := m.spaces[space]; {
	case c == nil:
		return nil, logstore.ErrNotFound
	case c.gone:
		return nil, logstore.ErrGone
	default:
		return c, nil
	}
}

// change replaces a space by a changed copy.
func (m *Model) change(space string, f func(*content) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	c, err := m.find(space)
	if err != nil {
		return err
	}
	next := c.clone()
	if err := f(next); err != nil {
		return err
	}
	m.spaces[space] = next
	for w := range m.watchers {
		(*w)(logstore.Hint{Space: space})
	}
	return nil
}

// Create implements logstore.Store, as do the others of that interface.
func (m *Model) Create(_ context.Context, space string, epoch wire.Epoch) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, err := m.find(space); err != logstore.ErrNotFound {
		return err
	}
	c := newContent()
	c.meta.Head.Epoch = epoch
	m.spaces[space] = c
	return nil
}

func (m *Model) Import(_ context.Context, space string, from logstore.View) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch _, err := m.find(space); err {
	case logstore.ErrNotFound:
	case nil:
		return logstore.ErrExists
	default:
		return err
	}
	c := newContent()
	if err := c.take(from); err != nil {
		return err
	}
	m.spaces[space] = c
	return nil
}

func (c *content) take(from logstore.View) (err error) {
	if c.meta, err = from.Meta(); err != nil {
		return err
	}
	c.meta.Kicks, c.meta.Told = 0, 0
	if c.schema, err = from.Schema(); err != nil {
		return err
	}
	for r, err := range from.Scan(logstore.RowID{}, 1<<20) {
		if err != nil {
			return err
		}
		c.rows[r.RowID] = r.Cells
	}
	for b, err := range from.Buckets() {
		if err != nil {
			return err
		}
		c.buckets[bucketID{b.Table, b.Group, b.Number}] = b.Sum
	}
	for at := uint64(0); at < c.meta.Head.Seq; at = c.log[len(c.log)-1].Seq {
		entries, err := from.Entries(at, 1<<20, wire.ClientID{})
		if err != nil {
			return err
		}
		if len(entries) == 0 {
			break // they were cut
		}
		c.log = append(c.log, entries...)
	}
	for known, err := range from.AllClients() {
		if err != nil {
			return err
		}
		c.clients[known.ID] = known
	}
	for o, err := range from.CutOutcomes() {
		if err != nil {
			return err
		}
		c.outcomes[outcomeID{o.Client, o.Counter}] = o
	}
	uploads, err := from.Uploads()
	for _, u := range uploads {
		c.uploads[u.Client], c.parts[u.Client] = u, map[uint32][]byte{}
		parts, err := from.Parts(u.Client)
		if err != nil {
			return err
		}
		for i, p := range parts {
			c.parts[u.Client][uint32(i)] = p
		}
	}
	if err != nil {
		return err
	}
	told, err := from.DeviceHeads()
	if err != nil {
		return err
	}
	for _, h := range told {
		c.told[h.Device] = h
	}
	infos, err := from.Blobs("")
	for _, i := range infos {
		b := logstore.Blob{Name: i.Name, At: i.At}
		if b.Bytes, err = from.Blob(i.Name); err != nil {
			return err
		}
		c.blobs[i.Name] = b
	}
	return err
}

func (m *Model) Read(ctx context.Context, space string, f func(logstore.View) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	c, err := m.find(space)
	m.mu.Unlock()
	if err != nil {
		return err
	}
	return f(c)
}

func (m *Model) Commit(ctx context.Context, space string, w *logstore.WriteSet) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	err := m.change(space, func(c *content) error {
		if c.meta.Head != w.Base {
			return logstore.ErrMoved
		}
		for i := range w.Was {
			if !w.Was[i].Is(c.blobs[w.Was[i].Name].Bytes) {
				return logstore.ErrMoved
			}
		}
		for i := range w.Rows {
			if r := &w.Rows[i]; r.New && c.rows[r.RowID] != nil {
				return logstore.ErrNotNew
			}
		}
		c.write(w)
		return nil
	})
	if err == logstore.ErrNotFound || err == logstore.ErrGone {
		return logstore.ErrMoved
	}
	return err
}

func (c *content) write(w *logstore.WriteSet) {
	c.meta.State = w.State
	for _, e := range w.Entries {
		e.Body = slices.Clone(e.Body)
		c.log = append(c.log, e)
		c.meta.Logged += int64(len(e.Body)) + logstore.EntryBytes
	}
	if len(w.Entries) > 0 {
		c.states[w.Head.Seq] = w.State
	}
	if w.Schema != nil {
		c.schema = slices.Clone(w.Schema)
	}
	for _, r := range w.Rows {
		if c.rows[r.RowID] = slices.Clone(r.Cells); r.Cells == nil {
			delete(c.rows, r.RowID)
		}
	}
	for _, b := range w.Buckets {
		id := bucketID{b.Table, b.Group, b.Number}
		if c.buckets[id] = slices.Clone(b.Sum); b.Sum == nil {
			delete(c.buckets, id)
		}
	}
	for _, known := range w.Clients {
		if before := c.clients[known.ID]; before.Owned {
			known.Owner, known.Owned = before.Owner, true
		}
		c.clients[known.ID] = known
	}
	for _, id := range w.Drop {
		delete(c.uploads, id)
		delete(c.parts, id)
	}
	for _, u := range w.Uploads {
		c.uploads[u.Client] = u
	}
	for _, p := range w.Parts {
		if c.parts[p.Client] == nil {
			c.parts[p.Client] = map[uint32][]byte{}
		}
		c.parts[p.Client][p.Index] = slices.Clone(p.Bytes)
	}
	for _, s := range w.Seen {
		maps.DeleteFunc(c.outcomes, func(id outcomeID, o wire.Outcome) bool {
			return id.client == s.Client && (o.Seq <= s.Seq || o.Counter <= s.Counter)
		})
	}
	for _, h := range w.Told {
		if c.meta.Told++; h.N > c.told[h.Device].N {
			h.Bytes = slices.Clone(h.Bytes)
			c.told[h.Device] = h
		}
	}
	for _, b := range w.Blobs {
		b.Bytes = slices.Clone(b.Bytes)
		if c.blobs[b.Name] = b; b.Bytes == nil {
			delete(c.blobs, b.Name)
		}
	}
	c.cut(w.Cut, w.Keep)
}

func (c *content) cut(seq uint64, keep []byte) {
	if seq <= c.meta.Horizon {
		return
	}
	var kept []wire.Entry
	for len(c.log) > 0 && c.log[0].Seq <= seq {
		e := &c.log[0]
		c.log = c.log[1:]
		if e.Seq > c.meta.Horizon {
			c.meta.Horizon, c.meta.HorizonChain = e.Seq, e.Chain
		}
		if len(keep) > 0 && bytes.HasPrefix(e.Body, keep) {
			kept = append(kept, *e)
			continue
		}
		c.meta.Logged -= int64(len(e.Body)) + logstore.EntryBytes
		c.outcomes[outcomeID{e.Client, e.Counter}] = wire.Outcome{Client: e.Client, Counter: e.Counter, Seq: e.Seq,
			Code: e.Outcome, BodyHash: e.BodyHash}
		delete(c.states, e.Seq)
	}
	c.log = append(kept, c.log...)
}

func (m *Model) Heads(_ context.Context, spaces []string) ([]logstore.Head, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	heads := make([]logstore.Head, len(spaces))
	for i, name := range spaces {
		if c := m.spaces[name]; c != nil {
			heads[i] = logstore.Head{Position: c.meta.Head, Kicks: c.meta.Kicks, Told: c.meta.Told, Gone: c.gone}
		}
	}
	return heads, nil
}

func (m *Model) Watch(ctx context.Context, f func(logstore.Hint)) error {
	m.mu.Lock()
	m.watchers[&f] = true
	m.mu.Unlock()
	<-ctx.Done()
	m.mu.Lock()
	delete(m.watchers, &f)
	m.mu.Unlock()
	return ctx.Err()
}

func (m *Model) Spaces(_ context.Context, after string, n int) ([]logstore.Info, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []logstore.Info
	for _, name := range slices.Sorted(maps.Keys(m.spaces)) {
		if c := m.spaces[name]; name > after && len(all) < n {
			all = append(all, logstore.Info{Space: name, Gone: c.gone, Head: c.meta.Head, Rows: c.meta.RowCount,
				Live: c.meta.Live, Logged: c.meta.Logged, Horizon: c.meta.Horizon})
		}
	}
	return all, nil
}

func (m *Model) Cut(_ context.Context, space string, seq uint64) error {
	return m.change(space, func(c *content) error {
		c.cut(min(seq, c.meta.Head.Seq), nil)
		return nil
	})
}

func (m *Model) Delete(_ context.Context, space string) error {
	return m.change(space, func(c *content) error {
		*c = *newContent()
		c.gone = true
		return nil
	})
}

func (m *Model) Kick(_ context.Context, space string) error {
	return m.change(space, func(c *content) error {
		c.meta.Kicks++
		return nil
	})
}

func (m *Model) Close() error { return nil }
