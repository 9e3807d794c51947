package server

import (
	"context"
	"errors"
	"fmt"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/fold"
	"heddle.dev/heddle/sync/wire"
)

// ErrUndecided is what Options.Decide returns, perhaps wrapped, when it cannot
// say now: the transaction stays pending and its author tries again.
var ErrUndecided = errors.New("server: cannot decide now")

// push takes a request's parts and decides every transaction that is whole, in
// the order of its author's counters, all in one write transaction. It may be
// repeated: transactions that are decided are skipped. request bounds the wait for
// its turn, ctx the decisions.
func (sp *space) push(
	request, ctx context.Context, o *Options, c *caller, req *wire.PushRequest,
) (*wire.PushResponse, error) {
	if req.Client == (wire.ClientID{}) {
		return nil, errcode.New(errcode.Protocol, "server: push", "the client has no id")
	}
	res := &wire.PushResponse{}
	err := sp.write(request, ctx, func() error {
		decided, owned, err := sp.clientState(o, c, req.Client)
		if err != nil {
			return err
		}
		if err := checkPosition(sp.w, sp.st.epoch, sp.st.seq, req.Position); err != nil {
			return err
		}
		if !owned && (decided > 0 || len(req.Parts) > 0) {
			if err := sp.claim(o, c, req.Client); err != nil {
				return err
			}
		}
		before := decided
		for i := range req.Parts {
			p := &req.Parts[i]
			if p.Counter <= decided {
				if err := sp.checkDecided(req.Client, p); err != nil {
					return err
				}
				continue
			}
			if p.Counter > decided+1 {
				break // a gap: the answer says where to go on
			}
			if err := ctx.Err(); err != nil {
				return err
			}
			body, whole, err := sp.stage(o, c, req.Client, p)
			if err == nil && !whole {
				continue
			}
			if err == nil {
				err = sp.decide(ctx, o, c, req.Client, p, body)
			}
			if decided > before && (errors.Is(err, ErrUndecided) || errcode.Of(err) == errcode.RateLimited) {
				break // the ones before are decided; this one's turn comes again
			}
			if err != nil {
				return err
			}
			decided++
		}
		if decided > before {
			if err := sp.w.run(`INSERT INTO client VALUES (?, ?)
				ON CONFLICT DO UPDATE SET decided = excluded.decided`, nil, req.Client[:], decided); err != nil {
				return err
			}
			if err := sp.compact(o); err != nil {
				return err
			}
			if err := sp.save(o); err != nil {
				return err
			}
		}
		if err := sp.pruneOutcomes(req, before, decided); err != nil {
			return err
		}
		res.Epoch, res.Head, res.Decided = sp.st.epoch, sp.st.seq, decided
		return sp.w.run(`SELECT count(*) FROM part WHERE client = ? AND counter = ?`, func(s *sqlite3.Stmt) error {
			res.Staged = uint32(s.ColumnInt64(0))
			return nil
		}, req.Client[:], decided+1)
	})
	if errors.Is(err, errPartsHash) { // the same parts would be refused each time they are sent
		if err := sp.write(request, ctx, func() error { return sp.unstage(req.Client) }); err != nil {
			return nil, err
		}
	}
	if err != nil {
		return nil, err
	}
	return res, nil
}

// pruneOutcomes drops outcomes of transactions that the log no longer holds: those
// that the client has seen, and those beyond the newest of a client that only sends.
func (sp *space) pruneOutcomes(req *wire.PushRequest, before, decided uint64) error {
	if sp.st.horizon == 0 {
		return nil
	}
	if decided > max(before, maxOutcomes) {
		if err := sp.w.run(`DELETE FROM outcome WHERE client = ? AND counter <= ?`, nil,
			req.Client[:], decided-maxOutcomes); err != nil {
			return err
		}
	}
	if req.Position.Seq == 0 {
		return nil
	}
	return sp.w.run(`DELETE FROM outcome WHERE client = ? AND seq <= ?`, nil, req.Client[:], req.Position.Seq)
}

func fork(counter uint64) error {
	return errcode.New(errcode.ClientFork, "server: push",
		fmt.Sprintf("this client id has already numbered another transaction %d: the database was copied", counter))
}

// checkDecided refuses a second transaction of one number.
func (sp *space) checkDecided(client wire.ClientID, p *wire.Part) error {
	return sp.w.run(`SELECT body_hash FROM log WHERE client = ? AND counter = ?`, func(s *sqlite3.Stmt) error {
		if string(s.ColumnRawBlob(0)) != string(p.BodyHash[:]) {
			return fork(p.Counter)
		}
		return nil
	}, client[:], p.Counter)
}

// decide gives a whole transaction its place and outcome in the log, and folds
// it. A nil error means that it is decided, ok or void.
func (sp *space) decide(
	ctx context.Context, o *Options, c *caller, client wire.ClientID, p *wire.Part, body []byte,
) error {
	e := wire.Entry{Seq: sp.st.seq + 1, Client: client, Counter: p.Counter, BodyHash: p.BodyHash, Body: body}
	effects, schema, err := sp.judge(ctx, o, c, client, p, body)
	var refusal *void
	switch {
	case errors.As(err, &refusal):
		e.Outcome, e.Body = refusal.code, nil
	case err != nil:
		return err
	default:
		if schema != nil {
			sp.st.schema.Apply(schema)
			sp.st.schemaChanged = true
		}
		if err := sp.apply(effects); err != nil {
			return err
		}
	}
	e.Chain = e.ChainAfter(sp.st.chain)
	sp.st.seq, sp.st.chain = e.Seq, e.Chain
	sp.st.logged += int64(len(e.Body)) + entryBytes
	var kept any
	if e.Outcome == "" {
		kept = e.Body
	}
	return sp.w.run(`INSERT INTO log VALUES (?, ?, ?, ?, ?, ?, ?)`, nil,
		e.Seq, client[:], e.Counter, e.Outcome, e.BodyHash[:], e.Chain[:], kept)
}

// void is a decision against a transaction.
type void struct {
	code string
	err  error
}

func (v *void) Error() string { return v.err.Error() }
func (v *void) Unwrap() error { return v.err }

// judge returns what a body would do, or a *void. It changes nothing.
func (sp *space) judge(
	ctx context.Context, o *Options, c *caller, client wire.ClientID, p *wire.Part, data []byte,
) (*effects, []wire.TableSchema, error) {
	refuse := func(err error) (*effects, []wire.TableSchema, error) {
		return nil, nil, &void{errcode.Of(err), err}
	}
	tooBig := func(msg string) (*effects, []wire.TableSchema, error) {
		return refuse(errcode.New(errcode.TooBig, "server: decide", msg))
	}
	if data == nil && p.Total > 1 || len(data) > o.Limits.Body {
		return tooBig("the transaction is larger than the server takes")
	}
	body, err := wire.UnmarshalBody(data)
	if err != nil {
		return refuse(err)
	}
	if len(body.Ops) > o.Limits.Ops {
		return tooBig("the transaction touches more rows than the server takes")
	}
	if err := fold.Check(body, sp.st.schema); err != nil {
		return refuse(err)
	}
	schema := sp.st.schema
	if len(body.Schema) > 0 {
		schema = schema.Clone()
		schema.Apply(body.Schema)
		if err := schema.Fits(sp.st.schema, body.Schema); err != nil {
			return refuse(err)
		}
	}
	effects, err := sp.foldBody(ctx, body, schema, o.Limits.Again)
	if errcode.Of(err) == errcode.TooBig {
		return refuse(err)
	}
	if err != nil {
		return nil, nil, err
	}
	for _, f := range effects.list {
		if err := ctx.Err(); err != nil {
			return nil, nil, err
		}
		if f.after != nil {
			if f.cells = wire.EncodeRow(f.after.Cells); len(f.cells) > o.Limits.Row {
				return tooBig("a row would be larger than the server takes")
			}
		}
	}
	d := &Decision{
		Client: client, Counter: p.Counter, Subject: c.Subject, Claims: c.Claims, Body: body, Schema: schema,
	}
	return effects, body.Schema, sp.callDecide(ctx, o, d, effects)
}

// effects are the rows that a transaction touches, each once, in order of first
// touch.
type effects struct {
	list []*effect
}

type effect struct {
	table         string
	key           []wire.Value
	enc           []byte // the key, encoded
	before, after *fold.Row
	had           int    // bytes of before
	cells         []byte // after, encoded
}

// foldBody applies a body's operations. Rows that it touches again, each time
// whole, may have no more than again bytes in all.
func (sp *space) foldBody(ctx context.Context, body *wire.Body, schema *fold.Schema, again int64) (*effects, error) {
	type id struct{ table, key string }
	all := &effects{list: make([]*effect, 0, len(body.Ops))}
	byID := make(map[id]*effect, len(body.Ops))
	for _, op := range body.Ops {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		enc := wire.EncodeKey(op.Key)
		at := id{op.Shape.Table, string(enc)}
		f := byID[at]
		if f == nil {
			f = &effect{table: op.Shape.Table, key: op.Key, enc: enc}
			stored, err := sp.w.row(f.table, enc)
			if err != nil {
				return nil, err
			}
			if stored != nil {
				cells, err := wire.DecodeRow(stored)
				if err != nil {
					return nil, damagedRow(f.table, enc, err.Error())
				}
				f.before, f.had = &fold.Row{Cells: cells}, len(enc)+len(stored)
			}
			f.after = f.before
			byID[at] = f
			all.list = append(all.list, f)
		} else if again -= sizeOf(f.after); again < 0 {
			return nil, errcode.New(errcode.TooBig, "server: decide",
				"the transaction touches large rows again and again")
		}
		f.after = fold.Apply(op, f.after, schema)
	}
	return all, nil
}

// sizeOf is about the number of bytes of a row.
func sizeOf(row *fold.Row) (n int64) {
	if row == nil {
		return 0
	}
	for name, v := range row.Cells {
		n += int64(len(name)) + 8
		switch v := v.(type) {
		case string:
			n += int64(len(v))
		case []byte:
			n += int64(len(v))
		}
	}
	return n
}

// apply writes effects to the rows and the digest.
func (sp *space) apply(all *effects) error {
	for _, f := range all.list {
		var err error
		switch {
		case f.after != nil:
			err = sp.w.putRow(f.table, f.enc, f.cells)
		case f.before != nil:
			err = sp.w.run(`DELETE FROM row WHERE tbl = ? AND key = ?`, nil, f.table, f.enc)
		}
		if err != nil {
			return err
		}
		sp.st.live -= int64(f.had)
		if f.before != nil {
			sp.st.rows--
		}
		if f.after != nil {
			sp.st.rows++
			sp.st.live += int64(len(f.enc) + len(f.cells))
		}
		sp.st.digest.Remove(f.table, f.key, f.before, sp.st.schema)
		sp.st.digest.Add(f.table, f.key, f.after, sp.st.schema)
	}
	return nil
}

// save writes what the decisions of a commit have changed beside the log and the
// rows. The digest is that of its last entry: no reader ever sees the log end at
// another one.
func (sp *space) save(o *Options) error {
	for _, id := range sp.st.digest.Dirty() {
		var err error
		if b := sp.st.digest.Get(id); b == (fold.Bucket{}) {
			err = sp.w.run(`DELETE FROM bucket WHERE tbl = ? AND grp = ? AND n = ?`, nil, id.Table, id.Group, int(id.Bucket))
		} else {
			err = sp.w.run(`INSERT INTO bucket VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET sum = excluded.sum`, nil,
				id.Table, id.Group, int(id.Bucket), b.Marshal())
		}
		if err != nil {
			return err
		}
	}
	if sp.st.schemaChanged {
		if err := sp.w.run(`UPDATE space SET schema = ?`, nil, sp.st.schema.Marshal()); err != nil {
			return err
		}
		sp.st.schemaChanged = false
	}
	if err := sp.w.run(`UPDATE space SET rows = ?, live = ?, logged = ?`, nil,
		sp.st.rows, sp.st.live, sp.st.logged); err != nil {
		return err
	}
	if err := sp.w.run(`DELETE FROM digest WHERE seq <= ?`, nil, int64(sp.st.seq)-o.Limits.Digests); err != nil {
		return err
	}
	return sp.keepDigest()
}

// keepDigest stores the digest of the log's end.
func (sp *space) keepDigest() error {
	sum := sp.st.digest.Sum()
	return sp.w.run(`INSERT OR REPLACE INTO digest VALUES (?, ?, ?)`, nil, sp.st.seq, sum[:], sp.st.rows)
}
