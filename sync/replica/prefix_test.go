package replica

import (
	"context"
	"slices"
	"testing"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/wire"
)

// piecesOf divides a replica's prefix, as it is now, where pieces ended before. Each
// piece is read back as who starts from it would.
func (r *replica) piecesOf(before []Piece) (all []Piece, p *Pieces, reader *PrefixReader) {
	r.t.Helper()
	ctx := context.Background()
	reader, err := r.c.OpenPrefix(ctx)
	if err != nil {
		r.t.Fatal(err)
	}
	defer reader.Close()
	var places []Place
	known := map[wire.Hash]bool{}
	for _, one := range before {
		places, known[one.Sum] = append(places, Place{one.Table, one.Key}), true
	}
	p = reader.Pieces(places, func(sum wire.Hash) bool { return known[sum] })
	read, err := NewReadBack(reader.Schema.Marshal(), nil)
	if err != nil {
		r.t.Fatal(err)
	}
	for after := (Place{}); ; {
		piece, err := p.Next(ctx)
		if err != nil {
			r.t.Fatal(err)
		}
		if piece == nil {
			break
		}
		last := Place{piece.Table, piece.Key}
		tables, err := ReadPiece(piece.Content, after, last, piece.Rows)
		if err == nil {
			err = read.Add(tables)
		}
		if err != nil {
			r.t.Fatalf("a piece does not read back: %v", err)
		}
		all, after = append(all, *piece), last
	}
	if p.Digest != reader.Digest || read.Digest() != reader.Digest {
		r.t.Fatalf("the pieces at %d have the digest %x, and %x read back; kept is %x", reader.Position.Seq, p.Digest[:4],
			read.Digest(), reader.Digest[:4])
	}
	return all, p, reader
}

// checkPrefix holds what a snapshot would have against the fold of the prefix.
func (r *replica) checkPrefix(l *memoryLog) {
	r.t.Helper()
	if len(l.entries) == 0 {
		return
	}
	all, p, reader := r.piecesOf(nil)
	if want := l.digest(); reader.Digest != want || p.Rows != uint64(len(l.rows)) {
		r.t.Fatalf("a snapshot of %d entries has %d rows and digest %x, want %d and %x", len(l.entries), p.Rows,
			p.Digest[:4], len(l.rows), want[:4])
	}
	again, _, _ := r.piecesOf(all)
	if !slices.EqualFunc(again, all, func(a, b Piece) bool { return a.Sum == b.Sum }) {
		r.t.Fatalf("the same rows make other pieces: %d, and %d", len(all), len(again))
	}
}

// TestReadPiece_refuses: a chunk has the rows that its manifest says, and no others.
func TestReadPiece_refuses(t *testing.T) {
	key := func(s string) []byte { return wire.EncodeKey([]wire.Value{s}) }
	cells := wire.EncodeRow(map[string]wire.Value{"v": int64(1)})
	frame := func(tables ...wire.SnapshotTable) []byte {
		return (&wire.Frame{Snapshot: &wire.Snapshot{Tables: tables}}).Marshal()
	}
	table := func(name string, keys ...string) wire.SnapshotTable {
		t := wire.SnapshotTable{Table: name}
		for _, k := range keys {
			t.Rows = wire.AppendRow(t.Rows, key(k), cells)
		}
		return t
	}
	after, last := Place{"a", key("k")}, Place{"b", key("m")}
	if tables, err := ReadPiece(frame(table("a", "l"), table("b", "a", "m")), after, last, 3); err != nil ||
		len(tables) != 2 {
		t.Fatalf("got %v, %v", tables, err)
	}
	gone := table("b", "m")
	gone.Rows = wire.AppendRow(gone.Rows, key("a"), nil)
	for name, content := range map[string][]byte{
		"nothing":              {},
		"no snapshot":          (&wire.Frame{Heartbeat: &wire.Heartbeat{}}).Marshal(),
		"no rows":              frame(),
		"a row too few":        frame(table("a", "l"), table("b", "m")),
		"a row too many":       frame(table("a", "l"), table("b", "a", "b", "m")),
		"a row of before":      frame(table("a", "k"), table("b", "a", "m")),
		"a row of the next":    frame(table("a", "l"), table("b", "m", "n")),
		"another end":          frame(table("a", "l"), table("b", "a", "l")),
		"another table":        frame(table("a", "l"), table("b", "m"), table("c", "a")),
		"a row that is gone":   frame(table("a", "l"), gone),
		"rows that are cut":    frame(table("a", "l"), wire.SnapshotTable{Table: "b", Rows: []byte{5, 1}}),
		"a key that is no key": frame(wire.SnapshotTable{Table: "a", Rows: wire.AppendRow(nil, []byte{9}, cells)}),
	} {
		if _, err := ReadPiece(content, after, last, 3); errcode.Of(err) != errcode.Protocol {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
