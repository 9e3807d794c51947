package schema

import (
	"strconv"
	"strings"

	"heddle.dev/heddle/internal/value"
)

// literal reports whether a column's default is a constant: a number with or
// without a sign, a string, a BLOB, NULL, TRUE or FALSE, perhaps in
// parentheses. CURRENT_TIMESTAMP and expressions are not.
func literal(expr string) bool {
	s := strings.TrimSpace(expr)
	for len(s) > 1 && s[0] == '(' && s[len(s)-1] == ')' {
		s = strings.TrimSpace(s[1 : len(s)-1])
	}
	switch strings.ToUpper(s) {
	case "NULL", "TRUE", "FALSE":
		return true
	case "":
		return false
	}
	if (s[0] == 'x' || s[0] == 'X') && len(s) > 1 {
		s = s[1:]
	}
	if s[0] == '\'' {
		body := s[1:]
		for {
			i := strings.IndexByte(body, '\'')
			if i < 0 {
				return false
			}
			if i+1 == len(body) {
				return true
			}
			if body[i+1] != '\'' {
				return false
			}
			body = body[i+2:]
		}
	}
	s = strings.TrimLeft(s, "+- ")
	if s == "" || s[0] != '.' && (s[0] < '0' || s[0] > '9') {
		return false
	}
	for i := 0; i < len(s); i++ {
		c := s[i] | 0x20
		if c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c == 'x' || s[i] == '.' || s[i] == '_' {
			continue
		}
		if (s[i] == '-' || s[i] == '+') && s[i-1]|0x20 == 'e' {
			continue
		}
		return false
	}
	return true
}

// affinity is a column's, by https://sqlite.org/datatype3.html section 3.1.
func (c *Column) affinity() byte {
	d := strings.ToUpper(c.Decl)
	switch {
	case strings.Contains(d, "INT"):
		return 'i'
	case strings.Contains(d, "CHAR"), strings.Contains(d, "CLOB"), strings.Contains(d, "TEXT"):
		return 't'
	case strings.Contains(d, "BLOB"), d == "", d == "ANY":
		return 'b'
	case strings.Contains(d, "REAL"), strings.Contains(d, "FLOA"), strings.Contains(d, "DOUB"):
		return 'r'
	default:
		return 'n'
	}
}

// store returns v as a row holds it after the column's affinity.
func (c *Column) store(v value.Value) value.Value {
	a := c.affinity()
	switch x := v.(type) {
	case int64:
		switch a {
		case 't':
			return strconv.FormatInt(x, 10)
		case 'r':
			return float64(x)
		}
	case float64:
		switch {
		case a == 't':
			s := strconv.FormatFloat(x, 'g', 15, 64)
			if !strings.ContainsAny(s, ".einEIN") {
				s += ".0"
			}
			return s
		case (a == 'i' || a == 'n') && x >= -1<<53 && x <= 1<<53 && x == float64(int64(x)):
			return int64(x)
		}
	case string:
		if a != 'i' && a != 'n' && a != 'r' {
			return v
		}
		t := strings.TrimSpace(x)
		if i, err := strconv.ParseInt(t, 10, 64); err == nil {
			return c.store(i)
		}
		if f, err := strconv.ParseFloat(t, 64); err == nil && !strings.ContainsAny(t, "xXnNpP_") {
			return c.store(f)
		}
	}
	return v
}
