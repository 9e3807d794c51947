package server

import (
	"slices"
	"time"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/logstore"
	"heddle.dev/heddle/sync/wire"
)

// A transaction that comes in several parts is an upload until the last one is
// there. Its parts are kept in the store, to the account of the subject that sends
// them.

// partBytes is what a part takes beside its bytes.
const partBytes = 128

var (
	errPartsHash = errcode.New(errcode.Protocol, "server: push", "the parts do not make the body that they name")
	errUploads   = errcode.New(errcode.RateLimited, "server: push", "too many unfinished uploads; try again later")
)

// uploads are those of a space as they stand in a turn.
type uploads struct {
	list  []*upload       // the longest untouched first
	ended []wire.ClientID // those that the store still has
}

type upload struct {
	logstore.Upload
	stored bool            // the store has it
	parts  []logstore.Part // that it has not
}

func newUploads(held []logstore.Upload) (u uploads) {
	for i := range held {
		u.list = append(u.list, &upload{Upload: held[i], stored: true})
	}
	return u
}

// all returns them.
func (u *uploads) all() (list []logstore.Upload) {
	for _, one := range u.list {
		list = append(list, one.Upload)
	}
	return list
}

// bytes returns how much they count.
func (u *uploads) bytes() (n int64) {
	for _, one := range u.list {
		n += one.Bytes
	}
	return n
}

func (u *uploads) of(id wire.ClientID) *upload {
	for _, one := range u.list {
		if one.Client == id {
			return one
		}
	}
	return nil
}

// end drops a client's upload.
func (u *uploads) end(id wire.ClientID) {
	at := slices.IndexFunc(u.list, func(one *upload) bool { return one.Client == id })
	if at < 0 {
		return
	}
	if u.list[at].stored {
		u.ended = append(u.ended, id)
	}
	u.list = slices.Delete(u.list, at, at+1)
}

// write adds what has changed to a write set.
func (u *uploads) write(w *logstore.WriteSet) {
	w.Drop = u.ended
	for _, one := range u.list {
		if len(one.parts) > 0 {
			w.Uploads = append(w.Uploads, one.Upload)
			w.Parts = append(w.Parts, one.parts...)
		}
	}
}

// join puts the parts together, held ones and those of the request, of each
// transaction whose last part is in it.
func (t *turn) join(v past, p *push, decided uint64) error {
	for i := range p.req.Parts {
		last := &p.req.Parts[i]
		if last.Total == 1 || last.Index+1 < last.Total || last.Counter <= decided {
			continue
		}
		parts := make([][]byte, last.Total)
		if u := t.uploads.of(p.req.Client); u != nil && u.Counter == last.Counter && u.Hash == last.BodyHash &&
			u.Total == last.Total {
			held, err := v.Parts(p.req.Client)
			if err != nil {
				return err
			}
			copy(parts, held)
		}
		for k := range p.req.Parts[:i+1] {
			part := &p.req.Parts[k]
			if part.Counter == last.Counter && part.BodyHash == last.BodyHash && part.Total == last.Total &&
				parts[part.Index] == nil {
				parts[part.Index] = part.Bytes
			}
		}
		missing := slices.ContainsFunc(parts, func(b []byte) bool { return b == nil })
		if missing || sizeOfParts(parts) > t.o.Limits.Body {
			continue
		}
		if p.joined == nil {
			p.joined = map[uint64]*transaction{}
		}
		p.joined[last.Counter] = newTransaction(last, slices.Concat(parts...))
	}
	return nil
}

func sizeOfParts(parts [][]byte) (n int) {
	for _, b := range parts {
		n += len(b)
	}
	return n
}

// stage keeps a part of the client's next transaction and returns that once it is
// whole, nil before. A body larger than the limit counts as whole as soon as that
// is clear: it will be void, and the rest is not worth the room.
func (t *turn) stage(p *push, index int) (*transaction, error) {
	part, id := &p.req.Parts[index], p.req.Client
	if part.Total == 1 {
		tx := p.whole[index]
		if !tx.intact {
			return nil, errcode.New(errcode.Protocol, "server: push", "a body has another hash than its part says")
		}
		t.end(p)
		return tx, nil
	}
	u := t.uploads.of(id)
	if u != nil && u.Counter == part.Counter && (u.Hash != part.BodyHash || u.Total != part.Total) {
		if time.Since(time.Unix(u.At, 0)) < abandoned {
			return nil, fork(part.Counter)
		}
		t.end(p)
		u = nil
	}
	if u != nil && u.Counter != part.Counter {
		u = nil // what an earlier, shorter life of this client left
	}
	held, size := uint32(0), int64(0)
	if u != nil {
		held, size = u.Held, u.Bytes-int64(u.Held)*partBytes
	}
	if part.Index != held { // held already, or a gap
		return nil, nil
	}
	if size += int64(len(part.Bytes)); size > int64(t.o.Limits.Body) {
		t.end(p)
		return &transaction{counter: part.Counter, hash: part.BodyHash}, nil
	}
	if held == 0 {
		t.end(p)
	}
	p.touched = true
	if err := t.keepPart(p.caller, id, part, size+int64(held+1)*partBytes); err != nil {
		return nil, err
	}
	if part.Index+1 < part.Total {
		return nil, nil
	}
	tx := p.joined[part.Counter]
	if tx == nil || !tx.intact {
		return nil, errPartsHash
	}
	t.end(p)
	return tx, nil
}

// end drops the upload of a push's client.
func (t *turn) end(p *push) {
	p.touched = p.touched || t.uploads.of(p.req.Client) != nil
	t.uploads.end(p.req.Client)
}

// keepPart keeps a part, with which the client's upload counts size bytes.
func (t *turn) keepPart(c *caller, id wire.ClientID, p *wire.Part, size int64) error {
	now := time.Now().Unix()
	if err := t.makeRoom(c.by, id, size, now); err != nil {
		return err
	}
	u := t.uploads.of(id)
	if u == nil {
		u = &upload{Upload: logstore.Upload{Client: id, Counter: p.Counter, Total: p.Total, Hash: p.BodyHash}}
		t.uploads.list = append(t.uploads.list, u)
	}
	u.Account, u.Held, u.Bytes, u.At = c.by, p.Index+1, size, now
	u.parts = append(u.parts, logstore.Part{Client: id, Index: p.Index, Bytes: p.Bytes})
	return nil
}

// makeRoom refuses an upload that is one too many, or too large beside the others.
// Uploads that were abandoned are dropped for it, the oldest first.
func (t *turn) makeRoom(by string, id wire.ClientID, size, now int64) error {
	all, own := usage{1, size}, usage{1, size}
	var others []*upload
	for _, u := range slices.Clone(t.uploads.list) {
		switch {
		case u.Client == id:
			continue
		case time.Duration(now-u.At)*time.Second > forgotten:
			t.uploads.end(u.Client)
			continue
		}
		others = append(others, u)
		all.add(1, u.Bytes)
		if u.Account == by {
			own.add(1, u.Bytes)
		}
	}
	l := &t.o.Limits
	for _, u := range others {
		full, mine := all.over(l.Uploads, l.Staged), own.over(l.SubjectUploads, l.SubjectStaged)
		if !full && !mine {
			return nil
		}
		if time.Duration(now-u.At)*time.Second < abandoned || !full && u.Account != by {
			continue
		}
		t.uploads.end(u.Client)
		all.add(-1, -u.Bytes)
		if u.Account == by {
			own.add(-1, -u.Bytes)
		}
	}
	if all.over(l.Uploads, l.Staged) || own.over(l.SubjectUploads, l.SubjectStaged) {
		return errUploads
	}
	return nil
}

// usage is a number of uploads and of their bytes.
type usage struct{ n, bytes int64 }

func (u *usage) add(n, bytes int64) { u.n, u.bytes = u.n+n, u.bytes+bytes }

// over reports whether there is more than n and bytes; a negative limit is none.
func (u *usage) over(n int, bytes int64) bool {
	return n >= 0 && u.n > int64(n) || bytes >= 0 && u.bytes > bytes
}
