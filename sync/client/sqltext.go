package client

import "strings"

// A token of SQL: a word, a quoted identifier, a string or one other byte.
type token struct {
	text   string // words as written; identifiers and strings without their quotes
	word   bool   // an unquoted word
	quoted bool   // a quoted identifier, or a string
}

// is reports whether the token is the unquoted word w, in any case.
func (t token) is(w string) bool { return t.word && strings.EqualFold(t.text, w) }

// tokens cuts SQL as SQLite does, as far as it takes to find words outside
// strings and comments. What follows an unclosed quote is one token.
func tokens(sql string) []token {
	var out []token
	for i := 0; i < len(sql); {
		c := sql[i]
		switch {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f':
			i++
		case strings.HasPrefix(sql[i:], "--"):
			n := strings.IndexByte(sql[i:], '\n')
			if n < 0 {
				return out
			}
			i += n + 1
		case strings.HasPrefix(sql[i:], "/*"):
			n := strings.Index(sql[i+2:], "*/")
			if n < 0 {
				return out
			}
			i += n + 4
		case c == '\'' || c == '"' || c == '`' || c == '[':
			text, n := quotedText(sql[i:])
			out = append(out, token{text: text, quoted: true})
			i += n
		case wordByte(c):
			n := i + 1
			for n < len(sql) && wordByte(sql[n]) {
				n++
			}
			out = append(out, token{text: sql[i:n], word: true})
			i = n
		default:
			out = append(out, token{text: sql[i : i+1]})
			i++
		}
	}
	return out
}

// quotedText reads the quoted text at the start of s and returns it without
// its quotes, and how many bytes it took.
func quotedText(s string) (string, int) {
	end := s[0]
	if end == '[' {
		n := strings.IndexByte(s, ']')
		if n < 0 {
			return s[1:], len(s)
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
	return b.String(), len(s)
}

func wordByte(c byte) bool {
	return c == '_' || c == '$' || c >= 0x80 || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// triggerText is what a CREATE TRIGGER statement says of its effects.
type triggerText struct {
	writes  []string // the tables and views its statements write
	guarded bool     // it does not fire while entries are applied
	instead bool     // INSTEAD OF: it belongs to a view
}

// readTrigger reads the text of a CREATE TRIGGER that SQLite has accepted.
// A trigger's statements name their table without a schema and cannot begin
// with WITH, so the word after the verb is the table.
func readTrigger(sql string) triggerText {
	toks := tokens(sql)
	begin := len(toks)
	for i, t := range toks {
		if t.is("BEGIN") {
			begin = i
			break
		}
	}
	var out triggerText
	for i := range begin {
		switch {
		case toks[i].is("INSTEAD"):
			out.instead = true
		case toks[i].is("WHEN"):
			out.guarded = guards(toks[i+1 : begin])
		}
		if toks[i].is("WHEN") {
			break
		}
	}
	at := func(i int) token {
		if i < len(toks) {
			return toks[i]
		}
		return token{}
	}
	for i := begin; i < len(toks); i++ {
		name := 0
		switch t := toks[i]; {
		case t.is("INTO"): // INSERT INTO, INSERT OR … INTO, REPLACE INTO
			name = i + 1
		case t.is("FROM") && toks[i-1].is("DELETE"):
			name = i + 1
		case t.is("UPDATE") && startsStatement(toks[i-1]):
			name = i + 1
			if at(name).is("OR") {
				name += 2
			}
		default:
			continue
		}
		if t := at(name); t.word || t.quoted {
			out.writes = append(out.writes, t.text)
		}
	}
	return out
}

// startsStatement reports whether a statement may begin after t: not so in
// ON CONFLICT DO UPDATE.
func startsStatement(t token) bool { return t.text == ";" || t.is("BEGIN") }

// guards reports whether a WHEN clause keeps its trigger quiet while entries
// are applied: NOT heddle_applying(), alone or before AND.
func guards(when []token) bool {
	for len(when) > 0 && when[0].text == "(" && when[len(when)-1].text == ")" && closes(when) {
		when = when[1 : len(when)-1]
	}
	if len(when) < 4 || !when[0].is("NOT") || !strings.EqualFold(when[1].text, "heddle_applying") ||
		when[2].text != "(" || when[3].text != ")" {
		return false
	}
	depth := 0
	for i, t := range when[4:] {
		switch {
		case i == 0 && !t.is("AND"):
			return false
		case t.text == "(" && !t.quoted, t.is("CASE"):
			depth++
		case t.text == ")" && !t.quoted, t.is("END"):
			depth--
		case depth == 0 && t.is("OR"):
			return false
		}
	}
	return true
}

// closes reports whether the first token's parenthesis is closed by the last.
func closes(toks []token) bool {
	depth := 0
	for i, t := range toks {
		switch {
		case t.quoted:
		case t.text == "(":
			depth++
		case t.text == ")":
			if depth--; depth == 0 {
				return i == len(toks)-1
			}
		}
	}
	return false
}
