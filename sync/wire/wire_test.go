package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math"
	"os"
	"strings"
	"testing"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/value"
)

func TestUnmarshalBody_refuses(t *testing.T) {
	good := plainBody().Marshal()
	two := func(f func(b *Body)) []byte {
		b := sampleBody()
		f(b)
		return b.Marshal()
	}
	tests := map[string][]byte{
		"cut short":               good[:len(good)-1],
		"a byte too many":         append(bytes.Clone(good), 0),
		"unknown field":           append(bytes.Clone(good), 4<<3|2, 0),
		"fields out of order":     append(bytes.Clone(good), sampleBody().Marshal()...),
		"unused shape":            two(func(b *Body) { b.Ops = b.Ops[:2] }),
		"shapes not by first use": two(func(b *Body) { b.Ops[0], b.Ops[3] = b.Ops[3], b.Ops[0] }),
		"no key":                  two(func(b *Body) { b.Ops[0].Key = nil }),
		"a cell too few":          two(func(b *Body) { b.Ops[0].Cells = b.Ops[0].Cells[:1] }),
		"a cell too many":         two(func(b *Body) { b.Ops[0].Cells = append(b.Ops[0].Cells, nil) }),
		"cells of a delete":       two(func(b *Body) { b.Ops[3].Cells = []Value{nil} }),
		"unknown kind":            two(func(b *Body) { b.Shapes[0].Kind = 4 }),
		"no kind":                 two(func(b *Body) { b.Shapes[0].Kind = 0 }),
		"unknown join":            two(func(b *Body) { b.Shapes[1].Joins[0] = 6 }),
		"joins too few":           two(func(b *Body) { b.Shapes[1].Joins = b.Shapes[1].Joins[:2] }),
		"column named twice":      two(func(b *Body) { b.Shapes[0].Columns[1] = "body" }),
		"column without name":     two(func(b *Body) { b.Shapes[0].Columns[1] = "" }),
		"name not UTF-8":          two(func(b *Body) { b.Shapes[0].Table = "\xff" }),
		"name too long":           two(func(b *Body) { b.Shapes[0].Table = strings.Repeat("x", MaxName+1) }),
		"table without key":       two(func(b *Body) { b.Schema[0].Key = nil }),
		"update without cells": two(func(b *Body) {
			b.Shapes[0] = &Shape{Kind: Update, Table: "notes"}
			b.Ops = []Op{{Shape: b.Shapes[0], Key: []Value{"k"}}, b.Ops[2], b.Ops[3]}
		}),
		"long varint":       {3<<3 | 2, 0x83, 0x00, 1 << 3, 0, 0},
		"key too long":      two(func(b *Body) { b.Ops[0].Key[0] = strings.Repeat("x", MaxKey) }),
		"default written":   {1<<3 | 2, 11, 1<<3 | 2, 1, 't', 2<<3 | 2, 1, 'k', 3<<3 | 2, 3, 1<<3 | 2, 0, 0},
		"length past int64": {3<<3 | 2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1},
	}
	for name, data := range tests {
		t.Run(name, func(t *testing.T) {
			b, err := UnmarshalBody(data)
			if got := errcode.Of(err); got != errcode.BadBody {
				t.Errorf("got %v, code %q, want code %q", b, got, errcode.BadBody)
			}
		})
	}
	if _, err := UnmarshalBody(good); err != nil {
		t.Errorf("the body that the others were made of: %v", err)
	}
	if _, err := UnmarshalBody(make([]byte, MaxBody+1)); errcode.Of(err) != errcode.TooBig {
		t.Errorf("too long: got %v, want code %s", err, errcode.TooBig)
	}
}

func TestValue_storedForm(t *testing.T) {
	tests := []struct{ in, want Value }{
		{math.NaN(), nil},
		{math.Copysign(0, -1), 0.0},
		{math.Inf(1), math.Inf(1)},
	}
	for _, test := range tests {
		got, err := DecodeKey(EncodeKey([]Value{test.in}))
		if err != nil || len(got) != 1 || got[0] != test.want {
			t.Errorf("%v: got %v, %v, want %v", test.in, got, err, test.want)
		}
		if f, ok := got[0].(float64); ok && math.Signbit(f) {
			t.Errorf("%v came back as -0", test.in)
		}
	}
	for name, data := range map[string][]byte{
		"NaN":         {value.Float, 1, 0, 0, 0, 0, 0, 0xf8, 0x7f},
		"-0":          {value.Float, 0, 0, 0, 0, 0, 0, 0, 0x80},
		"long varint": {value.Int, 0x80, 0},
		"unknown tag": {5},
		"cut text":    {value.Text, 2, 'a'},
		"cut real":    {value.Float, 0, 0},
	} {
		if v, err := DecodeKey(data); errcode.Of(err) != errcode.Protocol {
			t.Errorf("%s: got %v, %v, want code %s", name, v, err, errcode.Protocol)
		}
	}
}

func TestOuterMessages_ignoreUnknownFields(t *testing.T) {
	data := (&PushResponse{Head: 3, Decided: 2}).Marshal()
	data = append(data, 15<<3|2, 3, 'n', 'e', 'w', 14<<3, 1)
	m, err := UnmarshalPushResponse(data)
	if err != nil || m.Head != 3 || m.Decided != 2 {
		t.Errorf("got %+v, %v", m, err)
	}
	f, err := UnmarshalFrame([]byte{9<<3 | 2, 1, 'x'})
	if err != nil || f.Hello != nil || f.Entries != nil || f.Error != nil || f.Heartbeat != nil || f.CaughtUp != nil {
		t.Errorf("a frame of a later kind: got %+v, %v", f, err)
	}
	if _, err := UnmarshalFrame(append((&Frame{Hello: &Hello{}}).Marshal(),
		(&Frame{Heartbeat: &Heartbeat{}}).Marshal()...)); errcode.Of(err) != errcode.Protocol {
		t.Errorf("a frame of two kinds: got %v", err)
	}
	if _, err := UnmarshalPushRequest((&PushRequest{Parts: []Part{{Counter: 1, Index: 1,
		Total: 1}}}).Marshal()); errcode.Of(err) != errcode.Protocol {
		t.Errorf("a part after the last: got %v", err)
	}
}

func TestFrameReader(t *testing.T) {
	var stream []byte
	stream = AppendFrame(stream, &Frame{Hello: &Hello{Head: 2}})
	stream = AppendFrame(stream, &Frame{Entries: []Entry{{Seq: 1, Body: make([]byte, 300_000)}, {Seq: 2}}})
	stream = AppendFrame(stream, &Frame{CaughtUp: &CaughtUp{Seq: 2}})
	for cut := range len(stream) {
		if cut > 20 && cut < len(stream)-60 && cut%9973 != 0 {
			continue
		}
		r := NewFrameReader(bytes.NewReader(stream[:cut]))
		var err error
		for err == nil {
			_, err = r.Next()
		}
		if boundary := err == io.EOF; boundary != frameStart(stream, cut) ||
			!boundary && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("cut at %d: got %v", cut, err)
		}
	}
	r := NewFrameReader(bytes.NewReader(stream))
	for i, want := range []func(*Frame) bool{
		func(f *Frame) bool { return f.Hello != nil && f.Hello.Head == 2 },
		func(f *Frame) bool { return len(f.Entries) == 2 && len(f.Entries[0].Body) == 300_000 },
		func(f *Frame) bool { return f.CaughtUp != nil && f.CaughtUp.Seq == 2 },
	} {
		if f, err := r.Next(); err != nil || !want(f) {
			t.Fatalf("frame %d: got %+v, %v", i, f, err)
		}
	}
	if _, err := r.Next(); err != io.EOF {
		t.Errorf("at the end: got %v, want io.EOF", err)
	}
	for _, long := range [][]byte{{0xff, 0xff, 0xff, 0xff, 0x7f}, {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1},
		{0x80, 0x80, 0x80, 0x12}} {
		if _, err := NewFrameReader(bytes.NewReader(long)).Next(); errcode.Of(err) != errcode.Protocol {
			t.Errorf("length %x: got %v, want code %s", long, err, errcode.Protocol)
		}
	}
}

// frameStart reports whether cut is a boundary between frames.
func frameStart(stream []byte, cut int) bool {
	at := 0
	for at < cut {
		n, shift := 0, 0
		for {
			c := stream[at]
			at++
			n |= int(c&0x7f) << shift
			shift += 7
			if c < 0x80 {
				break
			}
		}
		at += n
	}
	return at == cut
}

func TestSplitBody(t *testing.T) {
	for _, size := range []int{0, 1, PartSize - 1, PartSize, PartSize + 1, MaxPart, 3*MaxPart + 7} {
		body := bytes.Repeat([]byte{7}, size)
		parts := SplitBody(9, body)
		var joined []byte
		for i, p := range parts {
			if p.Counter != 9 || int(p.Index) != i || int(p.Total) != len(parts) || p.BodyHash != HashBody(body) ||
				len(p.Bytes) > MaxPart {
				t.Errorf("size %d: part %d is %d/%d of counter %d, %d bytes", size, i, p.Index, p.Total, p.Counter, len(p.Bytes))
			}
			joined = append(joined, p.Bytes...)
			if n := len((&PushRequest{Position: Position{Epoch{1}, 1 << 60, Hash{1}}, Client: ClientID{1},
				Parts: parts[i : i+1]}).Marshal()); n > 1<<20 {
				t.Errorf("size %d: a request with part %d has %d bytes", size, i, n)
			}
		}
		if !bytes.Equal(joined, body) {
			t.Errorf("size %d: the parts do not make the body", size)
		}
	}
}

func TestChainAfter_coversEverything(t *testing.T) {
	base := Entry{Seq: 1, Client: ClientID{1}, Counter: 1, BodyHash: Hash{1}}
	seen := map[Hash]string{base.ChainAfter(Hash{}): "base"}
	for name, change := range map[string]func(*Entry){
		"seq":     func(e *Entry) { e.Seq++ },
		"client":  func(e *Entry) { e.Client[15]++ },
		"counter": func(e *Entry) { e.Counter++ },
		"outcome": func(e *Entry) { e.Outcome = "X" },
		"body":    func(e *Entry) { e.BodyHash[31]++ },
	} {
		e := base
		change(&e)
		chain := e.ChainAfter(Hash{})
		if other, ok := seen[chain]; ok {
			t.Errorf("%s and %s have one chain hash", name, other)
		}
		seen[chain] = name
	}
	if _, ok := seen[base.ChainAfter(Hash{1})]; ok {
		t.Error("the chain hash does not cover the one before")
	}
}

// The page has the rule as well: testdata/spaces.json is read by its test.
func TestValidSpace(t *testing.T) {
	text, err := os.ReadFile("testdata/spaces.json")
	if err != nil {
		t.Fatal(err)
	}
	var names struct{ Valid, Invalid []string }
	if err := json.Unmarshal(text, &names); err != nil {
		t.Fatal(err)
	}
	if len(names.Valid) == 0 || len(names.Invalid) == 0 {
		t.Fatal("testdata/spaces.json has no names")
	}
	for want, list := range map[bool][]string{true: names.Valid, false: names.Invalid} {
		for _, s := range list {
			if got := ValidSpace(s); got != want {
				t.Errorf("%q: got %v, want %v", s, got, want)
			}
		}
	}
}

// The fuzzers share one property: what parses encodes again to the same bytes
// (outer messages: to bytes that parse to the same again).

func FuzzBody(f *testing.F) {
	f.Add(sampleBody().Marshal())
	f.Add(plainBody().Marshal())
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := UnmarshalBody(data)
		if err != nil {
			if c := errcode.Of(err); c != errcode.BadBody {
				t.Fatalf("got code %s", c)
			}
			return
		}
		if again := b.Marshal(); !bytes.Equal(again, data) {
			t.Fatalf("got %x, want %x", again, data)
		}
	})
}

func FuzzKeyAndRow(f *testing.F) {
	f.Add(EncodeKey([]Value{"a", int64(-5), 2.5, []byte{1}, nil}))
	f.Add(EncodeRow(map[string]Value{"a": "x", "b": nil}))
	f.Fuzz(func(t *testing.T, data []byte) {
		if key, err := DecodeKey(data); err == nil {
			if again := EncodeKey(key); !bytes.Equal(again, data) {
				t.Fatalf("key: got %x, want %x", again, data)
			}
		}
		if row, err := DecodeRow(data); err == nil {
			if again := EncodeRow(row); !bytes.Equal(again, data) {
				t.Fatalf("row: got %x, want %x", again, data)
			}
		}
	})
}

// A stored schema has no limits of number, and else is as a body has it.
func FuzzSchema(f *testing.F) {
	f.Add((&Body{Schema: sampleBody().Schema}).Marshal())
	f.Fuzz(func(t *testing.T, data []byte) {
		tables, err := UnmarshalSchema(data)
		if err != nil {
			return
		}
		if again := (&Body{Schema: tables}).Marshal(); !bytes.Equal(again, data) {
			t.Fatalf("got %x, want %x", again, data)
		}
	})
}

// Values that are scanned as they lie are those that are decoded, and what is
// refused by one is refused by the other.
func FuzzScan(f *testing.F) {
	row := EncodeRow(map[string]Value{"a": "x", "b": nil, "c": 2.5})
	f.Add(EncodeKey([]Value{"a", int64(-5), 2.5, []byte{1}, nil}))
	f.Add(row)
	f.Add(AppendRow(AppendRow(nil, EncodeKey([]Value{"k"}), row), EncodeKey([]Value{"l"}), nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		key, err := DecodeKey(data)
		scanned, err2 := ScanKey(nil, data)
		if (err == nil) != (err2 == nil) || len(key) != len(scanned) && err == nil {
			t.Fatalf("key: %v and %v", err, err2)
		}
		cells, err := DecodeRow(data)
		scannedRow, err2 := ScanRow(nil, data)
		if (err == nil) != (err2 == nil) || len(cells) != len(scannedRow) && err == nil {
			t.Fatalf("row: %v and %v", err, err2)
		}
		for rest := data; len(rest) > 0; {
			if _, _, rest, err = CutRow(rest); err != nil {
				return
			}
		}
	})
}

// A stream is read frame by frame; it takes no more memory than what arrives.
func FuzzFrames(f *testing.F) {
	hello := &Frame{Hello: &Hello{Epoch: Epoch{1}, Head: 2}}
	f.Add(AppendFrame(AppendFrame(nil, hello), &Frame{CaughtUp: &CaughtUp{Seq: 2}}))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0x0f, 1})
	f.Fuzz(func(t *testing.T, data []byte) {
		r := NewFrameReader(bytes.NewReader(data))
		for n := 0; ; n++ {
			frame, err := r.Next()
			if err != nil {
				return
			}
			if n > len(data) {
				t.Fatal("there are more frames than bytes")
			}
			if _, err := UnmarshalFrame(frame.Marshal()); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func FuzzResume(f *testing.F) {
	f.Add((&Resume{Epoch: Epoch{1}, Seq: 2, Table: "notes", Key: []byte{3, 1, 'a'}, Rows: 1, Done: true}).Marshal())
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := UnmarshalResume(data)
		if err != nil {
			return
		}
		again, err := UnmarshalResume(m.Marshal())
		if err != nil || !bytes.Equal(again.Marshal(), m.Marshal()) {
			t.Fatalf("%+v, then %+v, %v", m, again, err)
		}
	})
}

func FuzzOuter(f *testing.F) {
	kinds := []string{"entry", "push", "pushResponse", "pull", "digestResponse", "error", "frame"}
	for _, v := range samples() {
		for i, kind := range kinds {
			if kind == v.Kind {
				data := v.Hex
				raw := make([]byte, len(data)/2)
				for j := range raw {
					raw[j] = unhex(data[2*j])<<4 | unhex(data[2*j+1])
				}
				f.Add(byte(i), raw)
			}
		}
	}
	f.Fuzz(func(t *testing.T, which byte, data []byte) {
		kind := kinds[int(which)%len(kinds)]
		_, again, err := codec(kind, data)
		if err != nil {
			return
		}
		_, third, err := codec(kind, again)
		if err != nil || !bytes.Equal(third, again) {
			t.Fatalf("%s: %x, then %x, %v", kind, again, third, err)
		}
	})
}

func unhex(c byte) byte {
	if c >= 'a' {
		return c - 'a' + 10
	}
	return c - '0'
}
