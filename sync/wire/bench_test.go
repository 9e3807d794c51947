package wire

import (
	"fmt"
	"testing"
)

func largeBody() *Body {
	in := &Shape{Kind: Insert, Table: "places", Columns: []string{"name", "lat", "lng", "country"}, Joins: make([]Join, 4)}
	b := &Body{Shapes: []*Shape{in}}
	for i := range 10_000 {
		b.Ops = append(b.Ops, Op{Shape: in, Key: []Value{fmt.Sprintf("018f3b1c-%012d", i)},
			Cells: []Value{"Sankt Johann im Pongau", 47.35 + float64(i), 13.2, "AT"}})
	}
	return b
}

func BenchmarkBody_marshal(b *testing.B) {
	body := largeBody()
	b.SetBytes(int64(len(body.Marshal())))
	for b.Loop() {
		body.Marshal()
	}
}

func BenchmarkBody_unmarshal(b *testing.B) {
	data := largeBody().Marshal()
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := UnmarshalBody(data); err != nil {
			b.Fatal(err)
		}
	}
}
