package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
)

// A browser inlines calls at run time, where it sees which are made often, and
// takes the share of small functions for a sign of how much the toolchain has
// left for it to inline: below a quarter V8 keeps to a small budget, from a half
// on it has the whole of it (BudgetScaleFactor in its src/wasm/inlining-tree.h).
// Of SQLite's functions few are small, however little is inlined here.
const smallBody = 50 // bytes; a shorter one counts as small

// allowInlining adds functions that are not called until half of all are small.
// They are never compiled, and being all alike cost the download next to nothing.
func allowInlining(module []byte) ([]byte, error) {
	sections, err := split(module)
	if err != nil {
		return nil, err
	}
	types := slices.IndexFunc(sections, func(s section) bool { return s.id == 3 })
	code := slices.IndexFunc(sections, func(s section) bool { return s.id == 10 })
	if types < 0 || code < 0 {
		return nil, errors.New("the module has no functions")
	}
	functions, rest := number(sections[code].body)
	more := functions // what is missing to a half
	for range functions {
		size, body := number(rest)
		if size > uint64(len(body)) {
			return nil, errShort
		}
		if size < smallBody {
			more -= min(more, 2)
		}
		rest = body[size:]
	}
	sections[types].body = lengthen(sections[types].body, more, 0)              // of the first type, whichever that is:
	sections[code].body = lengthen(sections[code].body, more, 3, 0, 0x00, 0x0B) // no locals, unreachable, end
	return join(module[:8], sections), nil
}

type section struct {
	id   byte
	body []byte
}

var errShort = errors.New("the module ends too early")

// split cuts a module into its sections.
func split(module []byte) (sections []section, err error) {
	if len(module) < 8 {
		return nil, errShort
	}
	for rest := module[8:]; len(rest) > 0; {
		size, body := number(rest[1:])
		if size > uint64(len(body)) {
			return nil, errShort
		}
		sections = append(sections, section{rest[0], body[:size]})
		rest = body[size:]
	}
	return sections, nil
}

func join(head []byte, sections []section) []byte {
	out := slices.Clone(head)
	for _, s := range sections {
		out = binary.AppendUvarint(append(out, s.id), uint64(len(s.body)))
		out = append(out, s.body...)
	}
	return out
}

// lengthen appends n times an item to a vector.
func lengthen(vector []byte, n uint64, item ...byte) []byte {
	count, items := number(vector)
	out := append(binary.AppendUvarint(nil, count+n), items...)
	return append(out, bytes.Repeat(item, int(n))...)
}

// number reads a LEB128 number; of one that breaks off it makes a size that
// nothing has.
func number(b []byte) (uint64, []byte) {
	v, n := binary.Uvarint(b)
	if n <= 0 {
		return 1 << 63, nil
	}
	return v, b[n:]
}
