package main

import (
	"bytes"
	"fmt"
	"strings"
)

func tsType(t string, read bool) string {
	switch p, ok := primitives[t]; {
	case ok && read && p.tsRead != "":
		return p.tsRead
	case ok:
		return p.tsType
	case t[0] == '[':
		element := tsType(t[2:], read)
		if strings.ContainsAny(element, " ") {
			element = "(" + element + ")"
		}
		if read {
			return element + "[]"
		}
		return "readonly " + element + "[]"
	case t[0] == '?':
		return tsType(t[1:], read) + " | undefined"
	}
	return t
}

// TypeScript is the page's half.
func (s *Spec) TypeScript() []byte {
	var b bytes.Buffer
	p := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	b.WriteString(generated)
	p("import type { HeddleError } from \"../shared/errors.js\";")
	p("import type { ExecResult, SqlValue } from \"../shared/types.js\";")
	p("import type { Request, RequestOf } from \"./call.js\";")
	p("import { NONE, Writer, type BulkRows, type CheckedValue, type Reader, type Statement } from \"./codec.js\";\n")
	p("/** The version of the language, told in hello. */\nexport const VERSION = %d;\n", s.Version)
	// Constant enums: a bundle has the numbers that it uses, and no table.
	p("export const enum Method {")
	for _, q := range s.Methods {
		p("  %s = %d,", q.Name, q.Number)
	}
	p("}\n\nexport const enum EventType {")
	for _, e := range s.Events {
		p("  %s = %d,", e.Name, e.Number)
	}
	p("}")
	for _, d := range s.reach(append(s.toLeader(), s.toPage()...)...) {
		reads := contains(s.reach(s.toPage()...), d)
		p("\nexport interface %s {", d.Name)
		for _, f := range d.Fields {
			if f.Doc != "" {
				p("  /** %s */", f.Doc)
			}
			p("  %s: %s;", f.Name, tsType(f.Type, reads))
		}
		p("}")
	}
	for _, d := range s.reach(s.toLeader()...) {
		p("\nfunction write%s(w: Writer, v: %s): void {", d.Name, d.Name)
		for _, f := range d.Fields {
			p("  %s;", s.tsWrite(f.Type, "v."+f.Name))
		}
		p("}")
	}
	for _, d := range s.reach(s.toPage()...) {
		fields := make([]string, len(d.Fields))
		for i, f := range d.Fields {
			fields[i] = f.Name + ": " + s.tsRead(f.Type)
		}
		p("\nexport function read%s(r: Reader): %s {\n  return {\n    %s,\n  };\n}", d.Name, d.Name,
			strings.Join(fields, ",\n    "))
	}
	p("\n/** What open() asks for, as the worker that may have to lead reads it. */")
	p("export function encodeOpenConfig(v: OpenConfig): Uint8Array<ArrayBuffer> {")
	p("  const w = new Writer(1024);\n  writeOpenConfig(w, v);\n  return w.finish();\n}")
	for _, q := range s.Methods {
		s.tsMethod(p, q)
	}
	return b.Bytes()
}

// tsLane is the queue of the page for a lane of the leader.
var tsLane = map[string]string{"hello": "direct", "tell": "direct", "load": "direct"}

func (s *Spec) tsMethod(p func(string, ...any), q *Method) {
	lane := q.Lane
	if l := tsLane[lane]; l != "" {
		lane = l
	}
	params := make([]string, len(q.Fields))
	for i, f := range q.Fields {
		params[i] = f.Name + ": " + tsType(f.Type, false)
	}
	typ, result := "Request", ""
	switch q.Reply {
	case "empty":
		typ, result = "RequestOf<void>", ", result: () => {}"
	case "none", "any", "rows", "rest":
	default:
		typ = "RequestOf<" + tsType(q.Reply, true) + ">"
		result = ", result: (r) => " + s.tsRead(q.Reply)
	}
	p("")
	if q.Doc != "" {
		p("/** %s */", q.Doc)
	}
	p("export function %s(%s): %s {", tsFunction(q.Name), strings.Join(params, ", "), typ)
	body := "NONE"
	if len(q.Fields) > 0 {
		p("  const w = new Writer();")
		for _, f := range q.Fields {
			p("  %s;", s.tsWrite(f.Type, f.Name))
		}
		body = "w.finish()"
	}
	p("  return { method: %d, lane: %q, retry: %v, body: %s%s };\n}", q.Number, lane, q.Again, body, result)
}

// tsFunction is a method's name, unless it is a word of the language.
func tsFunction(name string) string {
	if name == "export" {
		return "exportAll"
	}
	return name
}

func (s *Spec) tsWrite(t, v string) string {
	switch p, ok := primitives[t]; {
	case ok:
		return fmt.Sprintf("w.%s(%s)", p.tsMethod, v)
	case t[0] == '[':
		return fmt.Sprintf("w.list(%s, (e) => %s)", v, s.tsWrite(t[2:], "e"))
	case t[0] == '?':
		return fmt.Sprintf("w.optional(%s, (e) => %s)", v, s.tsWrite(t[1:], "e"))
	}
	return fmt.Sprintf("write%s(w, %s)", t, v)
}

func (s *Spec) tsRead(t string) string {
	switch p, ok := primitives[t]; {
	case ok:
		return fmt.Sprintf("r.%s()", p.tsMethod)
	case t[0] == '[':
		return fmt.Sprintf("r.list(%d, () => %s)", s.size(t[2:]), s.tsRead(t[2:]))
	case t[0] == '?':
		return fmt.Sprintf("r.bool() ? %s : undefined", s.tsRead(t[1:]))
	}
	return fmt.Sprintf("read%s(r)", t)
}

func contains(list []*Struct, d *Struct) bool {
	for _, e := range list {
		if e == d {
			return true
		}
	}
	return false
}
