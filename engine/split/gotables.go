package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"

	"heddle.dev/heddle/engine/internal/wasmfile"
)

// Go's linker puts tables into a program's data that lead from an instruction to
// its function, stack frame, file and line. The runtime has their layout:
// src/runtime/symtab.go (pcHeader, moduledata, _func, findfuncbucket) and
// src/internal/abi/symtab.go.
const (
	headerMagic = 0xfffffff1
	headerSize  = 8 + 8*8
	funcSize    = 44 // of _func without its offsets of tables

	bucketSize       = 20 // of findfuncbucket
	bucketsAFunction = 16 // a function of wasm has 64 KiB of addresses; a bucket 4

	unsafePointTable = 0 // says where a goroutine may be interrupted; on wasm none ever is
	noData           = ^uint32(0)
)

// goTables are the tables of one program. Addresses are those of its memory.
type goTables struct {
	image     []byte
	functions int
	names     int // the table of names
	values    int // the table of what varies inside a function, by instruction
	table     int // of functions; offsets of _func count from here
	end       int // the end of the _funcs
	units     int // compilation units, then files: what a file's number leads to
	buckets   int // findfunctab
	funcData  int // what offsets of funcdata count from
}

var errNoTables = errors.New("the program has no tables of functions as this version of Go makes them")

// findTables finds the tables: the header is where its parts lead where they should,
// and moduledata begins with a pointer to it.
func findTables(image []byte) (*goTables, error) {
	for at := 0; at+headerSize <= len(image); at += 8 {
		if binary.LittleEndian.Uint32(image[at:]) != headerMagic ||
			binary.LittleEndian.Uint32(image[at+4:]) != 0x08010000 {
			continue
		}
		t := &goTables{image: image}
		word := func(i int) int { return int(t.u64(at + 8 + 8*i)) }
		if word(3) != headerSize || at+word(7) >= len(image) {
			continue
		}
		t.functions, t.names, t.units = word(0), at+word(3), at+word(4)
		t.values, t.table = at+word(6), at+word(7)
		return t, t.readModuleData(at)
	}
	return nil, errNoTables
}

// readModuleData reads what the header does not say.
func (t *goTables) readModuleData(header int) error {
	var pointer [16]byte
	binary.LittleEndian.PutUint64(pointer[:], uint64(header))
	binary.LittleEndian.PutUint64(pointer[8:], uint64(t.names))
	at := bytes.Index(t.image, pointer[:])
	const (
		findFuncTable = 8 * (1 + 6*3) // after pcHeader and six slices
		goFunc        = findFuncTable + 8*(1+2+2+8+2+3+3)
		endOfTables   = goFunc + 8
	)
	if at < 0 || at+endOfTables+8 > len(t.image) {
		return errNoTables
	}
	t.buckets, t.funcData = int(t.u64(at+findFuncTable)), int(t.u64(at+goFunc))
	for i := range t.functions {
		t.end = max(t.end, t.record(i).end)
	}
	if t.end > int(t.u64(at+endOfTables)) || t.funcData >= len(t.image) {
		return errNoTables
	}
	want := make([]byte, t.bucketBytes()+bucketSize)
	for b := range t.bucketCount() {
		binary.LittleEndian.PutUint32(want[b*bucketSize:], uint32(b/bucketsAFunction))
	}
	if !bytes.HasPrefix(t.image[min(t.buckets, len(t.image)):], want[:t.bucketBytes()]) {
		return errNoTables
	}
	return nil
}

// bucketCount counts the buckets: of the last function there is the first alone.
func (t *goTables) bucketCount() int { return (t.functions-1)*bucketsAFunction + 1 }

// bucketBytes is the size of the buckets; of the last there is the index alone.
func (t *goTables) bucketBytes() int { return (t.bucketCount()-1)*bucketSize + 4 }

func (t *goTables) u32(at int) uint32    { return binary.LittleEndian.Uint32(t.image[at:]) }
func (t *goTables) u64(at int) uint64    { return binary.LittleEndian.Uint64(t.image[at:]) }
func (t *goTables) put(at int, v uint32) { binary.LittleEndian.PutUint32(t.image[at:], v) }

// record is one _func: where it is, and where in it the offsets of tables are.
type record struct {
	at, end      int
	values, data []int
}

func (t *goTables) record(i int) record {
	at := t.table + int(t.u32(t.table+8*i+4))
	r := record{at: at}
	next := at + funcSize
	for range t.u32(at + 28) {
		r.values = append(r.values, next)
		next += 4
	}
	for range t.image[at+43] {
		r.data = append(r.data, next)
		next += 4
	}
	r.end = next
	return r
}

// name returns a function's name, as a panic prints it.
func (t *goTables) name(i int) string {
	name := t.image[t.names+int(t.u32(t.record(i).at+4)):]
	return string(name[:bytes.IndexByte(name, 0)])
}

// fillBuckets is the body of a function that makes the buckets, which are 1.8 MB.
func (t *goTables) fillBuckets() []byte {
	return wasmfile.Count(t.buckets, bucketSize, t.bucketCount(), bucketsAFunction)
}

// later are the bytes that are not in the first part: of those, third are those that only
// the third one's functions need.
type later struct{ rest, third []bool }

func (l *later) mark(from, to int, third bool) {
	for at := from; at < to; at++ {
		l.rest[at], l.third[at] = true, third
	}
}

// divide takes out of the tables what no program for wasm reads, and tells which
// bytes only functions need for which inFirst is false, or a panic; and which of those
// only functions for which inThird is true. What a panic prints loses its lines, and keeps
// its functions.
func (t *goTables) divide(inFirst, inThird []bool) (rest, third []bool) {
	part := t.parts(inFirst, inThird)
	l := &later{make([]bool, len(t.image)), make([]bool, len(t.image))}
	// Files, and the buckets, which fill makes again.
	clear(t.image[t.units:t.values])
	clear(t.image[t.buckets : t.buckets+t.bucketBytes()])

	t.packValues(part, l)
	for i := range t.functions {
		if r := t.record(i); part[i] > firstPart {
			l.mark(r.at, r.end, part[i] == thirdPart)
		}
	}
	t.divideNames(part, l)
	t.divideFuncData(part, l)
	return l.rest, l.third
}

// The parts, in the order in which they come.
const (
	firstPart = iota
	restPart
	thirdPart
)

// parts tells with which part the tables of each function have to be there. The
// garbage collector looks at each goroutine's stack, also where the goroutine has not
// run yet: its function may be a later part's. Such a function has no parameters.
func (t *goTables) parts(inFirst, inThird []bool) []int {
	part := make([]int, t.functions)
	for i := range part {
		switch args := t.u32(t.record(i).at + 8); {
		case inFirst[i], args == 0:
		case len(inThird) > 0 && inThird[i]:
			part[i] = thirdPart
		default:
			part[i] = restPart
		}
	}
	return part
}

// packValues writes the tables of values that are read, those of each part's functions
// before those of the next.
func (t *goTables) packValues(part []int, l *later) {
	old := slices.Clone(t.image[t.values:t.table])
	clear(t.image[t.values:t.table])
	moved := map[uint32]uint32{0: 0} // offset 0 is no table
	next := 1
	move := func(at int) {
		off := t.u32(at)
		now, ok := moved[off]
		if !ok {
			now = uint32(next)
			moved[off] = now
			next += copy(t.image[t.values+next:], old[off:endOfValues(old, int(off))])
		}
		t.put(at, now)
	}
	for p := range thirdPart + 1 {
		from := next
		for i := range t.functions {
			if part[i] != p {
				continue
			}
			r := t.record(i)
			move(r.at + 16)   // pcsp
			t.put(r.at+20, 0) // pcfile
			t.put(r.at+24, 0) // pcln
			for j, at := range r.values {
				if j == unsafePointTable {
					t.put(at, 0)
				} else {
					move(at)
				}
			}
		}
		if p > firstPart {
			l.mark(t.values+from, t.values+next, p == thirdPart)
		}
	}
}

// endOfValues is where a table of pairs of varints ends: behind a first one of 0,
// which the first pair may have.
func endOfValues(table []byte, at int) int {
	skip := func() {
		for table[at]&0x80 != 0 {
			at++
		}
		at++
	}
	for first := true; first || table[at] != 0; first = false {
		skip()
		skip()
	}
	return at + 1
}

// divideNames marks the names that only a panic prints: one that comes before the rest
// is there prints none. What the runtime goes by is whether a goroutine's function is
// its own: runtime.isSystemGoroutine.
func (t *goTables) divideNames(part []int, l *later) {
	ofThird := map[int]bool{}
	for i := range t.functions {
		if part[i] == thirdPart {
			ofThird[t.names+int(t.u32(t.record(i).at+4))] = true
		}
	}
	for at := t.names; at < t.units; {
		end := at + bytes.IndexByte(t.image[at:], 0) + 1
		if !bytes.HasPrefix(t.image[at:end], []byte("runtime.")) {
			l.mark(at, end, ofThird[at])
		}
		at = end
	}
}

// divideFuncData marks the stack maps and what else only later functions have.
func (t *goTables) divideFuncData(part []int, l *later) {
	earliest := map[uint32]int{} // the part that has it first
	for i := range t.functions {
		for _, at := range t.record(i).data {
			off := t.u32(at)
			if p, known := earliest[off]; !known || part[i] < p {
				earliest[off] = part[i]
			}
		}
	}
	for off, end := range t.funcDataExtents() {
		if p := earliest[off]; p > firstPart && end != endUnknown {
			l.mark(t.funcData+int(off), t.funcData+int(end), p == thirdPart)
		}
	}
}

// endUnknown stands for the end of the last funcdata: nothing of its kind follows.
const endUnknown = noData

// funcDataExtents returns the end of each funcdata by its offset.
func (t *goTables) funcDataExtents() map[uint32]uint32 {
	var offsets []uint32
	for i := range t.functions {
		for _, at := range t.record(i).data {
			if off := t.u32(at); off != noData {
				offsets = append(offsets, off)
			}
		}
	}
	slices.Sort(offsets)
	offsets = append(slices.Compact(offsets), endUnknown)
	extents := map[uint32]uint32{}
	for i := range len(offsets) - 1 {
		extents[offsets[i]] = offsets[i+1]
	}
	return extents
}
