package fold

import (
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"heddle.dev/heddle/sync/wire"
)

// A set is a JSON array of distinct elements in the order of their canonical
// texts. An element's canonical text is its JSON without insignificant white
// space and with strings in their shortest form; numbers stay as written (1 and
// 1.0 are two elements), objects keep the order of their members. What is not a
// text of valid JSON with an array at the top is the empty set.

// maxDepth bounds nesting; deeper JSON is no set.
const maxDepth = 64

// setAdd merges two sets. The one before is in order where a fold made it: then
// only v is sorted.
func setAdd(before, v wire.Value) wire.Value {
	a, b := inOrder(parseSet(before)), inOrder(parseSet(v))
	all := make([]string, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		if a[0] <= b[0] {
			all, a = append(all, a[0]), a[1:]
		} else {
			all, b = append(all, b[0]), b[1:]
		}
	}
	return formatSet(append(append(all, a...), b...))
}

func setRemove(before, v wire.Value) wire.Value {
	gone := map[string]bool{}
	for _, e := range parseSet(v) {
		gone[e] = true
	}
	return formatSet(inOrder(slices.DeleteFunc(parseSet(before), func(e string) bool { return gone[e] })))
}

func inOrder(elements []string) []string {
	if !slices.IsSorted(elements) {
		slices.Sort(elements)
	}
	return elements
}

// formatSet writes a set of elements in order, some perhaps twice.
func formatSet(elements []string) string {
	return "[" + strings.Join(slices.Compact(elements), ",") + "]"
}

func parseSet(v wire.Value) []string {
	s, ok := v.(string)
	if !ok {
		return nil
	}
	p := jsonReader{s: s}
	p.space()
	if !p.eat('[') {
		return nil
	}
	var ends []int // of the elements' texts, which stand one after the other
	p.list(']', func() {
		p.value(1)
		ends = append(ends, len(p.out))
	})
	p.space()
	if p.bad || p.i < len(p.s) {
		return nil
	}
	text := string(p.out)
	elements := make([]string, len(ends))
	for i, from := 0, 0; i < len(ends); i++ {
		elements[i], from = text[from:ends[i]], ends[i]
	}
	return elements
}

// jsonReader checks JSON (RFC 8259) and writes its canonical text to out.
type jsonReader struct {
	s   string
	i   int
	out []byte
	bad bool
}

func (p *jsonReader) fail() { p.bad, p.i = true, len(p.s) }

func (p *jsonReader) space() {
	for p.i < len(p.s) {
		switch p.s[p.i] {
		case ' ', '\t', '\r', '\n':
			p.i++
		default:
			return
		}
	}
}

func (p *jsonReader) eat(c byte) bool {
	if p.i < len(p.s) && p.s[p.i] == c {
		p.i++
		return true
	}
	return false
}

// list reads the rest of an array or object up to its closing character.
func (p *jsonReader) list(end byte, element func()) {
	p.space()
	if p.eat(end) {
		return
	}
	for !p.bad {
		element()
		p.space()
		if p.eat(end) {
			return
		}
		if !p.eat(',') {
			p.fail()
		}
	}
}

func (p *jsonReader) value(depth int) {
	p.space()
	if p.i >= len(p.s) || depth > maxDepth {
		p.fail()
		return
	}
	switch c := p.s[p.i]; {
	case c == '"':
		p.string()
	case c == '[' || c == '{':
		p.i++
		end := c + 2 // ']' and '}' in ASCII
		p.out = append(p.out, c)
		first := true
		p.list(end, func() {
			if !first {
				p.out = append(p.out, ',')
			}
			first = false
			if c == '{' {
				p.space()
				p.string()
				p.space()
				if !p.eat(':') {
					p.fail()
					return
				}
				p.out = append(p.out, ':')
			}
			p.value(depth + 1)
		})
		p.out = append(p.out, end)
	case c == '-' || '0' <= c && c <= '9':
		p.number()
	default:
		for _, word := range []string{"null", "true", "false"} {
			if strings.HasPrefix(p.s[p.i:], word) {
				p.out = append(p.out, word...)
				p.i += len(word)
				return
			}
		}
		p.fail()
	}
}

func (p *jsonReader) digits() bool {
	from := p.i
	for p.i < len(p.s) && '0' <= p.s[p.i] && p.s[p.i] <= '9' {
		p.i++
	}
	return p.i > from
}

func (p *jsonReader) number() {
	from := p.i
	p.eat('-')
	ok := p.eat('0') || p.digits()
	if ok && p.eat('.') {
		ok = p.digits()
	}
	if ok && (p.eat('e') || p.eat('E')) {
		if !p.eat('+') {
			p.eat('-')
		}
		ok = p.digits()
	}
	if !ok {
		p.fail()
		return
	}
	p.out = append(p.out, p.s[from:p.i]...)
}

func (p *jsonReader) string() {
	if !p.eat('"') {
		p.fail()
		return
	}
	p.out = append(p.out, '"')
	for {
		if p.i >= len(p.s) {
			p.fail()
			return
		}
		switch c := p.s[p.i]; {
		case c == '"':
			p.i++
			p.out = append(p.out, '"')
			return
		case c < ' ':
			p.fail()
			return
		case c == '\\':
			p.i++
			p.escape()
		case c < utf8.RuneSelf:
			p.i++
			p.out = append(p.out, c)
		default:
			r, n := utf8.DecodeRuneInString(p.s[p.i:])
			if r == utf8.RuneError && n == 1 {
				p.fail()
				return
			}
			p.out = append(p.out, p.s[p.i:p.i+n]...)
			p.i += n
		}
	}
}

func (p *jsonReader) escape() {
	if p.i >= len(p.s) {
		p.fail()
		return
	}
	c := p.s[p.i]
	p.i++
	switch c {
	case '"', '\\', '/':
		p.rune(rune(c))
	case 'b':
		p.rune('\b')
	case 'f':
		p.rune('\f')
	case 'n':
		p.rune('\n')
	case 'r':
		p.rune('\r')
	case 't':
		p.rune('\t')
	case 'u':
		r := p.hex()
		if utf16.IsSurrogate(r) {
			if strings.HasPrefix(p.s[p.i:], `\u`) {
				p.i += 2
				r = utf16.DecodeRune(r, p.hex())
			} else {
				r = utf8.RuneError
			}
			if r == utf8.RuneError { // half a pair is no character
				p.fail()
				return
			}
		}
		p.rune(r)
	default:
		p.fail()
	}
}

func (p *jsonReader) hex() rune {
	if p.bad || p.i+4 > len(p.s) {
		p.fail()
		return 0
	}
	n, err := strconv.ParseUint(p.s[p.i:p.i+4], 16, 16)
	if err != nil {
		p.fail()
		return 0
	}
	p.i += 4
	return rune(n)
}

// rune writes one character of a string in its shortest form.
func (p *jsonReader) rune(r rune) {
	const short = "\b\f\n\r\t"
	switch i := strings.IndexRune(short, r); {
	case r == '"' || r == '\\':
		p.out = append(p.out, '\\', byte(r))
	case i >= 0:
		p.out = append(p.out, '\\', "bfnrt"[i])
	case r < ' ':
		const digits = "0123456789abcdef"
		p.out = append(p.out, '\\', 'u', '0', '0', digits[r>>4], digits[r&15])
	default:
		p.out = utf8.AppendRune(p.out, r)
	}
}
