package server

import (
	"time"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/wire"
)

// A transaction that comes in several parts is an upload until the last one is
// there. Its parts are kept in the space's file, to the account of the subject
// that sends them.

// partBytes is what a part takes beside its bytes.
const partBytes = 128

var (
	errPartsHash = errcode.New(errcode.Protocol, "server: push", "the parts do not make the body that they name")
	errUploads   = errcode.New(errcode.RateLimited, "server: push", "too many unfinished uploads; try again later")
)

// stage keeps a part of the client's next transaction and returns the body once
// it is whole. A body larger than the limit counts as whole as soon as that is
// clear: it will be void, and the rest is not worth the room.
func (sp *space) stage(o *Options, c *caller, client wire.ClientID, p *wire.Part) (body []byte, whole bool, err error) {
	if p.Total == 1 {
		if wire.HashBody(p.Bytes) != p.BodyHash {
			return nil, false, errcode.New(errcode.Protocol, "server: push", "a body has another hash than its part says")
		}
		return p.Bytes, true, sp.unstage(client)
	}
	held, size, latest, other := uint32(0), len(p.Bytes), int64(0), false
	const heldSQL = `SELECT total, body_hash, length(bytes), at FROM part WHERE client = ? AND counter = ?`
	if err := sp.w.run(heldSQL, func(s *sqlite3.Stmt) error {
		other = other || string(s.ColumnRawBlob(1)) != string(p.BodyHash[:]) || uint32(s.ColumnInt64(0)) != p.Total
		held++
		size += s.ColumnInt(2)
		latest = max(latest, s.ColumnInt64(3))
		return nil
	}, client[:], p.Counter); err != nil {
		return nil, false, err
	}
	if other {
		if time.Since(time.Unix(latest, 0)) < abandoned {
			return nil, false, fork(p.Counter)
		}
		held, size = 0, len(p.Bytes)
		if err := sp.unstage(client); err != nil {
			return nil, false, err
		}
	}
	if p.Index != held { // held already, or a gap
		return nil, false, nil
	}
	if size > o.Limits.Body {
		return nil, true, sp.unstage(client)
	}
	if held == 0 { // what an earlier, shorter life of this client left
		if err := sp.unstage(client); err != nil {
			return nil, false, err
		}
	}
	if err := sp.keepPart(o, c, client, p, int64(size)+int64(held+1)*partBytes); err != nil {
		return nil, false, err
	}
	if p.Index+1 < p.Total {
		return nil, false, nil
	}
	body = make([]byte, 0, size)
	const bytesSQL = `SELECT bytes FROM part WHERE client = ? AND counter = ? ORDER BY idx`
	if err := sp.w.run(bytesSQL, func(s *sqlite3.Stmt) error {
		body = append(body, s.ColumnRawBlob(0)...)
		return nil
	}, client[:], p.Counter); err != nil {
		return nil, false, err
	}
	if wire.HashBody(body) != p.BodyHash {
		return nil, false, errPartsHash
	}
	return body, true, sp.unstage(client)
}

// keepPart keeps a part, with which the client's upload has size bytes.
func (sp *space) keepPart(o *Options, c *caller, client wire.ClientID, p *wire.Part, size int64) error {
	now := time.Now().Unix()
	if err := sp.makeRoom(o, c.by, client, size, now); err != nil {
		return err
	}
	if err := sp.w.run(`INSERT INTO part VALUES (?, ?, ?, ?, ?, ?, ?)`, nil,
		client[:], p.Counter, p.Index, p.Total, p.BodyHash[:], now, p.Bytes); err != nil {
		return err
	}
	return sp.w.run(`INSERT INTO upload VALUES (?, ?, ?, ?)
		ON CONFLICT DO UPDATE SET subject = excluded.subject, bytes = excluded.bytes, at = excluded.at`, nil,
		client[:], c.by, size, now)
}

// makeRoom refuses an upload that is one too many, or too large beside the others.
// Uploads that were abandoned are dropped for it, the oldest first.
func (sp *space) makeRoom(o *Options, by string, client wire.ClientID, size, now int64) error {
	if err := sp.dropForgotten(); err != nil {
		return err
	}
	type upload struct {
		client wire.ClientID
		own    bool
		bytes  int64
		at     int64
	}
	var others []upload
	const sql = `SELECT client, subject, bytes, at FROM upload WHERE client <> ? ORDER BY at`
	if err := sp.w.run(sql, func(s *sqlite3.Stmt) error {
		u := upload{own: s.ColumnText(1) == by, bytes: s.ColumnInt64(2), at: s.ColumnInt64(3)}
		copy(u.client[:], s.ColumnRawBlob(0))
		others = append(others, u)
		return nil
	}, client[:]); err != nil {
		return err
	}
	all, own := usage{1, size}, usage{1, size}
	for i := range others {
		all.add(1, others[i].bytes)
		if others[i].own {
			own.add(1, others[i].bytes)
		}
	}
	l := &o.Limits
	for i := range others {
		u := &others[i]
		full, mine := all.over(l.Uploads, l.Staged), own.over(l.SubjectUploads, l.SubjectStaged)
		if !full && !mine {
			return nil
		}
		if time.Duration(now-u.at)*time.Second < abandoned || !full && !u.own {
			continue
		}
		if err := sp.unstage(u.client); err != nil {
			return err
		}
		all.add(-1, -u.bytes)
		if u.own {
			own.add(-1, -u.bytes)
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

// dropForgotten drops uploads that have had no part for long.
func (sp *space) dropForgotten() error {
	before := time.Now().Add(-forgotten).Unix()
	const sql = `DELETE FROM part WHERE client IN (SELECT client FROM upload WHERE at < ?)`
	if err := sp.w.run(sql, nil, before); err != nil {
		return err
	}
	return sp.w.run(`DELETE FROM upload WHERE at < ?`, nil, before)
}

// unstage drops a client's upload.
func (sp *space) unstage(client wire.ClientID) error {
	if err := sp.w.run(`DELETE FROM upload WHERE client = ?`, nil, client[:]); err != nil || sp.w.c.Changes() == 0 {
		return err
	}
	return sp.w.run(`DELETE FROM part WHERE client = ?`, nil, client[:])
}
