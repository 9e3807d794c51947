package rpc

import (
	"encoding/binary"
	"unicode/utf8"
)

const replacement = "\uFFFD"

func validUTF8(p []byte) bool { return utf8.Valid(p) }

// ascii is true if every byte of p is below 128.
func ascii(p []byte) bool {
	for len(p) >= 8 {
		if binary.LittleEndian.Uint64(p)&0x8080808080808080 != 0 {
			return false
		}
		p = p[8:]
	}
	for _, c := range p {
		if c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// units counts the UTF-16 code units of valid UTF-8: one a character, two
// beyond the first plane, whose characters are those of four bytes.
func units(p []byte) int {
	n := 0
	for _, c := range p {
		if c < 0x80 || c >= 0xC0 {
			n++
		}
		if c >= 0xF0 {
			n++
		}
	}
	return n
}

// appendText appends p to dst as valid UTF-8 and returns its length in UTF-16
// code units.
func appendText(dst, p []byte) (text []byte, n int) {
	if ascii(p) {
		return append(dst, p...), len(p)
	}
	if utf8.Valid(p) {
		return append(dst, p...), units(p)
	}
	from := len(dst)
	dst = appendRepaired(dst, p)
	return dst, units(dst[from:])
}

// appendRepaired appends p to dst with U+FFFD for each maximal part of an
// invalid sequence: the WHATWG decoder's count
// (https://encoding.spec.whatwg.org/#utf-8-decoder).
func appendRepaired(dst, p []byte) []byte {
	for len(p) > 0 {
		if r, size := utf8.DecodeRune(p); r != utf8.RuneError || size > 1 {
			dst = append(dst, p[:size]...)
			p = p[size:]
			continue
		}
		dst = append(dst, replacement...)
		p = p[brokenPrefix(p):]
	}
	return dst
}

// brokenPrefix is how many bytes of the invalid sequence at the start of p are
// replaced as one: the longest beginning of some valid sequence, or one byte.
func brokenPrefix(p []byte) int {
	low, high, more := byte(0x80), byte(0xBF), 0
	switch c := p[0]; {
	case c >= 0xC2 && c <= 0xDF:
		more = 1
	case c >= 0xE0 && c <= 0xEF:
		more = 2
		if c == 0xE0 {
			low = 0xA0
		} else if c == 0xED {
			high = 0x9F
		}
	case c >= 0xF0 && c <= 0xF4:
		more = 3
		if c == 0xF0 {
			low = 0x90
		} else if c == 0xF4 {
			high = 0x8F
		}
	}
	n := 1
	for ; more > 0 && n < len(p) && p[n] >= low && p[n] <= high; more-- {
		n++
		low, high = 0x80, 0xBF
	}
	return n
}
