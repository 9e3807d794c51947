package client

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"math"
	"strconv"
	"unicode/utf8"

	"heddle.dev/heddle/sync/wire"
)

// Export returns all pending and rejected transactions as a JSON document: a
// copy of one's work where sync cannot deliver it, for people and programs.
// Values are JSON's, except {"int": "…"} beyond 2^53, {"real": "…"} for a real
// that is whole or infinite, {"blob": base64} and {"text": base64} for what is
// not UTF-8.
func (c *Client) Export(ctx context.Context) ([]byte, error) {
	// In this order a transaction that is decided meanwhile is in both lists, not
	// in neither.
	pending, err := c.Pending(ctx)
	if err != nil {
		return nil, err
	}
	rejected, err := c.Rejected(ctx)
	if err != nil {
		return nil, err
	}
	return exported(c.cfg.Space, c.ClientID(), pending, rejected), nil
}

func exported(space string, id wire.ClientID, pending []Pending, rejected []Rejected) []byte {
	var w jsonWriter
	w.raw(`{"format":"heddle work 1","space":`)
	w.text(space)
	w.raw(`,"client":"` + hex.EncodeToString(id[:]) + `",` + "\n" + `"pending":[`)
	for i, p := range pending {
		w.comma(i)
		w.raw("\n" + `{"id":` + strconv.FormatInt(p.ID, 10) + `,"created":` + strconv.FormatInt(p.Created, 10))
		w.operations(p.Ops)
	}
	w.raw("],\n" + `"rejected":[`)
	for i, r := range rejected {
		w.comma(i)
		w.raw("\n" + `{"id":` + strconv.FormatInt(r.ID, 10) + `,"created":` + strconv.FormatInt(r.Created, 10) +
			`,"seq":` + strconv.FormatUint(r.Seq, 10) + `,"counter":` + strconv.FormatUint(r.Counter, 10) + `,"code":`)
		w.text(r.Code)
		w.operations(r.Ops)
	}
	w.raw("]}\n")
	return w.b
}

// jsonWriter writes JSON by hand: the browser's binary has no encoding/json.
type jsonWriter struct{ b []byte }

func (w *jsonWriter) raw(s string) { w.b = append(w.b, s...) }

func (w *jsonWriter) comma(i int) {
	if i > 0 {
		w.raw(",")
	}
}

func (w *jsonWriter) text(s string) {
	const hexDigits = "0123456789abcdef"
	w.raw(`"`)
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			w.b = append(w.b, '\\', c)
		case c < ' ':
			w.raw(`\u00`)
			w.b = append(w.b, hexDigits[c>>4], hexDigits[c&15])
		default:
			w.b = append(w.b, c)
		}
	}
	w.raw(`"`)
}

func (w *jsonWriter) tagged(tag, s string) { w.raw(`{"` + tag + `":"` + s + `"}`) }

func (w *jsonWriter) value(v wire.Value) {
	switch v := v.(type) {
	case nil:
		w.raw("null")
	case int64:
		if v > 1<<53 || v < -1<<53 {
			w.tagged("int", strconv.FormatInt(v, 10))
		} else {
			w.b = strconv.AppendInt(w.b, v, 10)
		}
	case float64:
		if v == math.Trunc(v) {
			w.tagged("real", strconv.FormatFloat(v, 'g', -1, 64))
		} else {
			w.b = strconv.AppendFloat(w.b, v, 'g', -1, 64)
		}
	case []byte:
		w.tagged("blob", base64.StdEncoding.EncodeToString(v))
	case string:
		if !utf8.ValidString(v) {
			w.tagged("text", base64.StdEncoding.EncodeToString([]byte(v)))
		} else {
			w.text(v)
		}
	}
}

// operations writes the last member of a transaction.
func (w *jsonWriter) operations(ops []wire.Op) {
	w.raw(`,"operations":[`)
	for i := range ops {
		op := &ops[i]
		w.comma(i)
		w.raw(`{"kind":"` + op.Shape.Kind.String() + `","table":`)
		w.text(op.Shape.Table)
		w.raw(`,"key":[`)
		for i, v := range op.Key {
			w.comma(i)
			w.value(v)
		}
		w.raw(`],"cells":{`)
		for i, column := range op.Shape.Columns {
			w.comma(i)
			w.text(column)
			w.raw(":")
			w.value(op.Cells[i])
		}
		w.raw(`},"joins":{`) // of the cells that do not join as "last"
		n := 0
		for i, j := range op.Shape.Joins {
			if j != wire.JoinLast {
				w.comma(n)
				w.text(op.Shape.Columns[i])
				w.raw(`:"` + j.String() + `"`)
				n++
			}
		}
		w.raw("}}")
	}
	w.raw("]}")
}
