package replica

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"strings"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/fold"
	"heddle.dev/heddle/sync/wire"
)

// The rows of a snapshot are divided into pieces by ranges of keys. Where a piece of an
// earlier snapshot ended, one ends again: what lies between such places and has not
// changed makes the same piece, whatever has changed elsewhere.

const (
	pieceSize  = 1 << 20   // about the bytes of rows that a new piece has
	pieceSplit = 3 << 19   // a piece that has grown beyond this is divided
	pieceJoin  = 256 << 10 // one that has become smaller is joined with the next, if it has changed
)

// Piece is a part of a snapshot: rows of a range of keys.
type Piece struct {
	Table   string // where it ends: the last row's
	Key     []byte
	Rows    uint64
	Content []byte    // wire.SnapshotTables, in a frame
	Sum     wire.Hash // of the content
}

// Place is where a piece ends.
type Place struct {
	Table string
	Key   []byte
}

// Compare orders a place and that of a key.
func (p Place) Compare(table string, key []byte) (int, error) {
	switch {
	case p.Table < table:
		return -1, nil
	case p.Table > table:
		return 1, nil
	}
	return wire.CompareKeys(p.Key, key)
}

// Pieces divides the rows of a PrefixReader.
type Pieces struct {
	Digest wire.Hash // of all rows, once they are all there
	Rows   uint64

	from   *PrefixReader
	places []Place                // where pieces ended before, in order
	known  func(s wire.Hash) bool // whether there is a chunk of a piece
	batch  []PrefixRow            // that were read
	rows   []PrefixRow            // of the next piece
	size   int
	ended  bool
	digest fold.Digest
	counts *fold.Rows
	table  string
	key    []wire.Scanned
	cells  []wire.Cell
}

// Pieces divides p's rows. known says of a piece's sum whether there is a chunk of it.
func (p *PrefixReader) Pieces(places []Place, known func(wire.Hash) bool) *Pieces {
	return &Pieces{from: p, places: places, known: known}
}

// Next returns the next piece, nil at the end.
func (d *Pieces) Next(ctx context.Context) (*Piece, error) {
	for {
		row, err := d.peek(ctx)
		if err != nil {
			return nil, err
		}
		if row == nil {
			if len(d.rows) > 0 {
				return d.take(len(d.rows)), nil
			}
			d.Digest = d.digest.Sum()
			return nil, nil
		}
		passed, err := d.passes(row)
		if err != nil {
			return nil, err
		}
		if passed && len(d.rows) > 0 {
			if piece := d.build(len(d.rows)); d.size >= pieceJoin || d.known(piece.Sum) {
				d.drop(len(d.rows))
				return piece, nil
			}
		}
		size := len(row.Key) + len(row.Cells)
		switch full := d.size + size; {
		case len(d.rows) > 0 && (full > pieceSplit || full > pieceSize && len(d.places) == 0):
			return d.take(d.fill()), nil
		}
		if err := d.count(row); err != nil {
			return nil, err
		}
		d.rows, d.size, d.batch = append(d.rows, *row), d.size+size, d.batch[1:]
	}
}

// peek returns the next row, nil at the end.
func (d *Pieces) peek(ctx context.Context) (*PrefixRow, error) {
	if len(d.batch) == 0 && !d.ended {
		var err error
		if d.batch, err = d.from.Next(ctx); err != nil {
			return nil, err
		}
		d.ended = len(d.batch) == 0
	}
	if d.ended {
		return nil, nil
	}
	return &d.batch[0], nil
}

// passes reports whether a row lies behind a place where a piece ended before.
func (d *Pieces) passes(row *PrefixRow) (passed bool, err error) {
	for len(d.places) > 0 {
		order, err := d.places[0].Compare(row.Table, row.Key)
		if err != nil || order >= 0 {
			return passed, err
		}
		d.places, passed = d.places[1:], true
	}
	return passed, nil
}

// fill returns how many of the rows make a piece of about pieceSize.
func (d *Pieces) fill() int {
	size := 0
	for n := range d.rows {
		if size += len(d.rows[n].Key) + len(d.rows[n].Cells); size > pieceSize && n > 0 {
			return n
		}
	}
	return len(d.rows)
}

func (d *Pieces) take(n int) *Piece {
	piece := d.build(n)
	d.drop(n)
	return piece
}

func (d *Pieces) drop(n int) {
	for _, r := range d.rows[:n] {
		d.size -= len(r.Key) + len(r.Cells)
	}
	d.rows = append(d.rows[:0:0], d.rows[n:]...)
}

// build makes a piece of the first n rows. In a table they come in the order of their
// encodings, as who fills tables of them needs it.
func (d *Pieces) build(n int) *Piece {
	last := &d.rows[n-1]
	piece := &Piece{Table: last.Table, Key: last.Key, Rows: uint64(n)}
	sorted := slices.Clone(d.rows[:n])
	slices.SortStableFunc(sorted, func(a, b PrefixRow) int {
		switch {
		case a.Table < b.Table:
			return -1
		case a.Table > b.Table:
			return 1
		}
		return bytes.Compare(a.Key, b.Key)
	})
	f := &wire.Snapshot{}
	for i := range sorted {
		r := &sorted[i]
		if k := len(f.Tables); k == 0 || f.Tables[k-1].Table != r.Table {
			f.Tables = append(f.Tables, wire.SnapshotTable{Table: r.Table})
		}
		t := &f.Tables[len(f.Tables)-1]
		t.Rows = wire.AppendRow(t.Rows, r.Key, r.Cells)
	}
	piece.Content = (&wire.Frame{Snapshot: f}).Marshal()
	piece.Sum = wire.HashBody(piece.Content)
	return piece
}

// count adds a row to the digest of what was read.
func (d *Pieces) count(row *PrefixRow) (err error) {
	if d.counts == nil || d.table != row.Table {
		d.counts, d.table = d.digest.Rows(row.Table, d.from.Schema), row.Table
	}
	d.Rows++
	if d.key, err = wire.ScanKey(d.key[:0], row.Key); err != nil {
		return err
	}
	if d.cells, err = wire.ScanRow(d.cells[:0], row.Cells); err != nil {
		return err
	}
	d.counts.Add(d.key, d.cells)
	return nil
}

// ReadBack counts the rows of a snapshot that is read and not applied, and what becomes of them as the entries are
// applied that follow it. Of the rows it keeps those that these entries touch.
type ReadBack struct {
	schema *fold.Schema
	digest fold.Digest
	key    []wire.Scanned
	cells  []wire.Cell
	tail   []Opened
	rows   map[string]map[string]*fold.Row // by table and encoded key; nil: there is none
}

// NewReadBack begins to count, by a snapshot's schema. tail are the entries that follow.
func NewReadBack(schema []byte, tail []Opened) (*ReadBack, error) {
	s, err := fold.UnmarshalSchema(schema)
	if err != nil {
		return nil, err
	}
	r := &ReadBack{schema: s, rows: map[string]map[string]*fold.Row{}}
	for _, o := range tail {
		if o.Fate == FatePassed || o.Outcome != "" {
			continue
		}
		body, err := wire.UnmarshalBody(o.Body)
		if err != nil {
			continue // it has no effect
		}
		r.tail = append(r.tail, o)
		for i := range body.Ops {
			table := body.Ops[i].Shape.Table
			if r.rows[table] == nil {
				r.rows[table] = map[string]*fold.Row{}
			}
			r.rows[table][string(wire.EncodeKey(body.Ops[i].Key))] = nil
		}
	}
	return r, nil
}

// Add counts the rows of a chunk.
func (r *ReadBack) Add(tables []wire.SnapshotTable) error {
	for _, t := range tables {
		counts, touched := r.digest.Rows(t.Table, r.schema), r.rows[t.Table]
		for rest := t.Rows; len(rest) > 0; {
			key, cells, more, err := wire.CutRow(rest)
			if err == nil {
				r.key, err = wire.ScanKey(r.key[:0], key)
			}
			if err == nil {
				r.cells, err = wire.ScanRow(r.cells[:0], cells)
			}
			if _, is := touched[string(key)]; is && err == nil {
				row := &fold.Row{}
				row.Cells, err = wire.DecodeRow(cells)
				touched[string(key)] = row
			}
			if err != nil {
				return err
			}
			counts.Add(r.key, r.cells)
			rest = more
		}
	}
	return nil
}

// Digest is that of all rows that were counted.
func (r *ReadBack) Digest() wire.Hash { return r.digest.Sum() }

// Follow applies the entries that follow, once all rows are there, and returns the digest then.
func (r *ReadBack) Follow() wire.Hash {
	for i := range r.tail {
		o := &r.tail[i]
		if o.decode(r.schema) != nil {
			continue
		}
		if len(r.schema.Missing(o.body.Schema)) > 0 {
			r.schema = r.schema.Clone()
			r.schema.Apply(o.body.Schema)
		}
		for _, op := range o.body.Ops {
			rows, key := r.rows[op.Shape.Table], string(wire.EncodeKey(op.Key))
			before := rows[key]
			rows[key] = fold.Apply(op, before, r.schema)
			r.digest.Remove(op.Shape.Table, op.Key, before, r.schema)
			r.digest.Add(op.Shape.Table, op.Key, rows[key], r.schema)
		}
	}
	r.tail = nil
	return r.digest.Sum()
}

// ReadPiece returns the tables of a piece's content, in which there are so many rows, all
// of them between two places. Errors are HEDDLE_PROTOCOL: a member has made it otherwise.
func ReadPiece(content []byte, after, last Place, rows uint64) ([]wire.SnapshotTable, error) {
	const op = "sync: read chunk"
	bad := func(msg string) ([]wire.SnapshotTable, error) { return nil, errcode.New(errcode.Protocol, op, msg) }
	f, err := wire.UnmarshalFrame(content)
	if err != nil {
		return nil, err
	}
	if f.Snapshot == nil || len(f.Snapshot.Tables) == 0 {
		return bad("there are no rows")
	}
	low, err := wire.ScanKey(nil, after.Key)
	high, err2 := wire.ScanKey(nil, last.Key)
	if err != nil || err2 != nil {
		return bad("the end of a range does not decode")
	}
	n, ended := uint64(0), false
	var key []wire.Scanned
	for _, t := range f.Snapshot.Tables {
		from, to := strings.Compare(after.Table, t.Table), strings.Compare(last.Table, t.Table)
		for rest := t.Rows; len(rest) > 0; n++ {
			var encoded, cells []byte
			if encoded, cells, rest, err = wire.CutRow(rest); err != nil {
				return nil, err
			}
			if key, err = wire.ScanKey(key[:0], encoded); err != nil {
				return bad("a key does not decode")
			}
			end := cmp.Or(to, wire.CompareScanned(high, key))
			if cmp.Or(from, wire.CompareScanned(low, key)) >= 0 || end < 0 || len(cells) == 0 {
				return bad("a row is not of the chunk's range")
			}
			ended = ended || end == 0
		}
	}
	if n != rows || !ended {
		return bad("a chunk has other rows than its manifest says")
	}
	return f.Snapshot.Tables, nil
}
