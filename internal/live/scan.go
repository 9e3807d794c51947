package live

import (
	"strconv"
	"strings"
)

// token is a token of SQL: i identifier or keyword, s string, n number,
// p parameter, o anything else.
type token struct {
	kind   byte
	text   string // of identifiers and strings without their quotes
	quoted bool
	param  int // 1-based index of a parameter, as SQLite assigns it
}

func (t token) is(op string) bool { return t.kind == 'o' && t.text == op }

func (t token) word(w string) bool {
	return t.kind == 'i' && !t.quoted && strings.EqualFold(t.text, w)
}

// scanSQL splits SQL into tokens, by https://sqlite.org/lang.html. It reports
// false on what it does not understand.
func scanSQL(s string) (toks []token, ok bool) {
	params, last := map[string]int{}, 0
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f':
			i++
		case strings.HasPrefix(s[i:], "--"):
			if n := strings.IndexByte(s[i:], '\n'); n >= 0 {
				i += n + 1
			} else {
				i = len(s)
			}
		case strings.HasPrefix(s[i:], "/*"):
			n := strings.Index(s[i+2:], "*/")
			if n < 0 {
				return nil, false
			}
			i += n + 4
		case c == '\'' || c == '"' || c == '`' || c == '[':
			text, n := quoted(s[i:])
			if n == 0 {
				return nil, false
			}
			kind := byte('i')
			if c == '\'' {
				kind = 's'
			}
			toks = append(toks, token{kind: kind, text: text, quoted: true})
			i += n
		case (c == 'x' || c == 'X') && i+1 < len(s) && s[i+1] == '\'':
			_, n := quoted(s[i+1:])
			if n == 0 {
				return nil, false
			}
			toks = append(toks, token{kind: 'o', text: "blob"})
			i += n + 1
		case c == '?' || c == ':' || c == '@' || c == '$':
			n := 1
			for i+n < len(s) && identByte(s[i+n]) {
				n++
			}
			t := token{kind: 'p', text: s[i : i+n]}
			if t.param, ok = paramIndex(t.text, params, &last); !ok {
				return nil, false
			}
			toks = append(toks, t)
			i += n
		case c >= '0' && c <= '9' || c == '.' && i+1 < len(s) && s[i+1] >= '0' && s[i+1] <= '9':
			n := 1
			for i+n < len(s) && (identByte(s[i+n]) || s[i+n] == '.' ||
				(s[i+n] == '+' || s[i+n] == '-') && s[i+n-1]|0x20 ==
					'e') {
				n++
			}
			toks = append(toks, token{kind: 'n', text: s[i : i+n]})
			i += n
		case identByte(c):
			n := 1
			for i+n < len(s) && identByte(s[i+n]) {
				n++
			}
			toks = append(toks, token{kind: 'i', text: s[i : i+n]})
			i += n
		default:
			n := 1
			if i+1 < len(s) {
				switch s[i : i+2] {
				case "==", "<=", ">=", "<>", "!=", "||", "<<", ">>", "->":
					n = 2
				}
			}
			toks = append(toks, token{kind: 'o', text: s[i : i+n]})
			i += n
		}
	}
	return toks, true
}

func identByte(c byte) bool {
	return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z' || c == '_' || c == '$' || c >= 0x80
}

// quoted reads a quoted string or identifier. n is 0 if it does not end.
func quoted(s string) (text string, n int) {
	end := s[0]
	if end == '[' {
		if n = strings.IndexByte(s, ']'); n < 0 {
			return "", 0
		}
		return s[1:n], n + 1
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		if s[i] != end {
			b.WriteByte(s[i])
			continue
		}
		if i+1 < len(s) && s[i+1] == end {
			b.WriteByte(end)
			i++
			continue
		}
		return b.String(), i + 1
	}
	return "", 0
}

// paramIndex gives a parameter its number: ?NNN its own, ? the next, a name
// the next at its first use.
func paramIndex(text string, seen map[string]int, last *int) (int, bool) {
	if text == "?" {
		*last++
		return *last, true
	}
	if text[0] == '?' {
		n, err := strconv.Atoi(text[1:])
		*last = max(*last, n)
		return n, err == nil
	}
	if len(text) == 1 {
		return 0, false
	}
	n, ok := seen[text]
	if !ok {
		*last++
		n = *last
		seen[text] = n
	}
	return n, true
}
