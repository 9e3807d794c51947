package live

import (
	"strconv"
	"strings"

	"heddle.dev/heddle/internal/store"
	"heddle.dev/heddle/internal/value"
)

// pin is the one value of a key column that a query's rows have: WHERE id = ?.
// A commit whose keys all have another value there does not concern it.
type pin struct {
	table string
	part  int // which column of the key
	value value.Value
}

// excludes reports whether no row of t can be one of the query's.
func (p *pin) excludes(t *store.TableCommit) bool {
	if t.Table != p.table || t.More > 0 {
		return false
	}
	n := 0
	for _, keys := range [][][]value.Value{t.Inserted, t.Updated, t.Deleted} {
		for _, key := range keys {
			if p.part >= len(key) || !unequal(key[p.part], p.value) {
				return false
			}
			n++
		}
	}
	return n > 0
}

// unequal reports whether SQLite can never find a and b equal. Values of two
// types may become equal by a column's affinity.
func unequal(a, b value.Value) bool {
	switch a := a.(type) {
	case string:
		b, ok := b.(string)
		return ok && a != b
	case int64:
		b, ok := b.(int64)
		return ok && a != b
	}
	return false
}

// findPin looks for a key condition. It understands
// SELECT … FROM table [alias] WHERE … AND key = value AND …
// without OR, and gives up on everything else.
func findPin(db *store.DB, sql string, params value.Params, deps store.Deps) *pin {
	toks, ok := scanSQL(sql)
	if !ok || len(deps.Reads) != 1 {
		return nil
	}
	from, where := -1, -1
	depth := 0
	for i, t := range toks {
		switch {
		case t.is("("):
			depth++
		case t.is(")"):
			depth--
		case t.word("SELECT") && i > 0, t.word("UNION"), t.word("INTERSECT"), t.word("EXCEPT"), t.word("WITH"):
			return nil
		case depth == 0 && t.word("FROM") && from < 0:
			from = i
		case depth == 0 && t.word("WHERE") && where < 0:
			where = i
		}
	}
	if from < 0 || where < 0 || where-from < 2 || where-from > 4 {
		return nil
	}
	for _, t := range toks[from+1 : where] {
		if t.kind != 'i' {
			return nil
		}
	}
	if where-from == 4 && !toks[from+2].word("AS") {
		return nil // a join: what is joined may be a view of the same table
	}
	table, known := db.Table(toks[from+1].text)
	if !known || deps.Reads[table.Name] == nil || table.Virtual {
		return nil
	}
	for _, part := range conjuncts(toks[where+1:]) {
		if p := pinOf(table, part, params); p != nil {
			return p
		}
	}
	return nil
}

// conjuncts splits a WHERE clause at its outer ANDs; nil if there is an OR or
// anything that makes an AND mean something else.
func conjuncts(toks []token) (parts [][]token) {
	depth, start := 0, 0
	for i, t := range toks {
		switch {
		case t.is("("):
			depth++
		case t.is(")"):
			depth--
		case depth > 0:
		case t.word("OR"), t.word("BETWEEN"), t.word("CASE"):
			return nil
		case t.word("GROUP"), t.word("ORDER"), t.word("LIMIT"), t.word("HAVING"), t.word("WINDOW"), t.is(";"):
			return append(parts, toks[start:i])
		case t.word("AND"):
			parts = append(parts, toks[start:i])
			start = i + 1
		}
	}
	return append(parts, toks[start:])
}

// pinOf reads "column = value" or "value = column".
func pinOf(table *store.Table, part []token, params value.Params) *pin {
	if len(part) == 5 && part[1].is(".") {
		part = part[2:]
	}
	if len(part) != 3 || !part[1].is("=") && !part[1].is("==") {
		return nil
	}
	col, val := part[0], part[2]
	if col.kind != 'i' {
		col, val = val, col
	}
	if col.kind != 'i' {
		return nil
	}
	value, ok := val.value(params)
	if !ok {
		return nil
	}
	for i, k := range table.Key {
		c := &table.Columns[k]
		if strings.EqualFold(c.Name, col.text) && c.Collation == "BINARY" {
			return &pin{table: table.Name, part: i, value: value}
		}
	}
	return nil
}

// value returns what a token stands for: a parameter, a string or an integer.
func (t token) value(p value.Params) (value.Value, bool) {
	switch t.kind {
	case 's':
		return t.text, true
	case 'n':
		v, err := strconv.ParseInt(t.text, 10, 64)
		return v, err == nil
	case 'p':
		if p.Named != nil {
			v, ok := p.Named[t.text]
			if !ok && len(t.text) > 1 {
				v, ok = p.Named[t.text[1:]]
			}
			return v, ok
		}
		if t.param >= 1 && t.param <= len(p.Positional) {
			return p.Positional[t.param-1], true
		}
	}
	return nil, false
}
