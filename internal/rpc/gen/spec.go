package main

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Spec is messages.spec, parsed.
type Spec struct {
	Version int
	Structs []*Struct
	Methods []*Method
	Events  []*Event
	byName  map[string]*Struct
}

// Struct is a shape with named fields.
type Struct struct {
	Name, Doc string
	Fields    []Field
}

// Field is a field of a struct or of a request.
type Field struct{ Name, Type, Doc string }

// Method is a request with its replies.
type Method struct {
	Number        int
	Name, Lane    string
	Again         bool // the page sends it to the next leader
	Fields        []Field
	Reply, Chunks string // the types of the last message and of those before it; Chunks may be ""
	Doc           string
}

// Event is a message of the leader that answers no request.
type Event struct {
	Number                      int
	Name, Subject, Content, Doc string
}

var (
	methodLine = regexp.MustCompile(`^method +(\d+) +(\w+) +(hello|tell|read|write|tx|load|side)( +again)?` +
		` +\(([^)]*)\) +(\S+)( +[^ #]+)?(?: +# +(.*))?$`)
	eventLine  = regexp.MustCompile(`^event +(\d+) +(\w+) +(\w+|-) +(\S+)(?: +# +(.*))?$`)
	fieldLine  = regexp.MustCompile(`^  (\w+) +(\S+)(?: +(.*))?$`)
	structLine = regexp.MustCompile(`^struct (\w+)(?:  (.*))?$`)
)

// Parse reads the text of messages.spec.
func Parse(text string) (*Spec, error) {
	s := &Spec{byName: map[string]*Struct{}}
	for i, line := range strings.Split(text, "\n") {
		if err := s.line(strings.TrimRight(line, " ")); err != nil {
			return nil, fmt.Errorf("messages.spec:%d: %w", i+1, err)
		}
	}
	return s, s.check()
}

func (s *Spec) line(line string) error {
	switch {
	case line == "" || strings.HasPrefix(line, "#"):
	case strings.HasPrefix(line, "version "):
		return first(strconv.Atoi(line[len("version "):]))(&s.Version)
	case strings.HasPrefix(line, "struct "):
		m := structLine.FindStringSubmatch(line)
		if m == nil {
			return fmt.Errorf("not a struct: %q", line)
		}
		t := &Struct{Name: m[1], Doc: m[2]}
		s.Structs = append(s.Structs, t)
		s.byName[t.Name] = t
	case strings.HasPrefix(line, "  "):
		m := fieldLine.FindStringSubmatch(line)
		if m == nil || len(s.Structs) == 0 {
			return fmt.Errorf("not a field: %q", line)
		}
		t := s.Structs[len(s.Structs)-1]
		t.Fields = append(t.Fields, Field{m[1], m[2], m[3]})
	case strings.HasPrefix(line, "method "):
		m := methodLine.FindStringSubmatch(line)
		if m == nil {
			return fmt.Errorf("not a method: %q", line)
		}
		q := &Method{Name: m[2], Lane: m[3], Again: m[4] != "", Reply: m[6], Chunks: strings.TrimSpace(m[7]), Doc: m[8]}
		for _, f := range strings.Split(m[5], ",") {
			if words := strings.Fields(f); len(words) == 2 {
				q.Fields = append(q.Fields, Field{Name: words[0], Type: words[1]})
			} else if len(words) != 0 {
				return fmt.Errorf("not a field: %q", f)
			}
		}
		s.Methods = append(s.Methods, q)
		return first(strconv.Atoi(m[1]))(&q.Number)
	default:
		m := eventLine.FindStringSubmatch(line)
		if m == nil {
			return fmt.Errorf("not a declaration: %q", line)
		}
		e := &Event{Name: m[2], Subject: m[3], Content: m[4], Doc: m[5]}
		s.Events = append(s.Events, e)
		return first(strconv.Atoi(m[1]))(&e.Number)
	}
	return nil
}

func first[T any](v T, err error) func(*T) error {
	return func(to *T) error { *to = v; return err }
}

// check refuses numbers and names that stand twice, and types that are not declared.
func (s *Spec) check() error {
	seen := map[string]bool{}
	once := func(keys ...string) error {
		for _, key := range keys {
			if seen[key] {
				return fmt.Errorf("messages.spec: %s is declared twice", key)
			}
			seen[key] = true
		}
		return nil
	}
	known := func(t string) error {
		base := strings.TrimLeft(t, "[]?")
		if primitives[base].size == 0 && s.byName[base] == nil {
			return fmt.Errorf("messages.spec: no type is called %q", base)
		}
		return nil
	}
	var err error
	try := func(e error) {
		if err == nil {
			err = e
		}
	}
	for _, t := range s.Structs {
		try(once("struct " + t.Name))
		for _, f := range t.Fields {
			try(known(f.Type))
		}
	}
	fields := map[string]string{}
	for _, q := range s.Methods {
		try(once(fmt.Sprint("method ", q.Number), "method "+q.Name))
		for _, f := range q.Fields {
			try(known(f.Type))
			if t := fields[f.Name]; t != "" && t != f.Type {
				try(fmt.Errorf("messages.spec: the field %s is a %s and a %s", f.Name, t, f.Type))
			}
			fields[f.Name] = f.Type
		}
		for _, t := range []string{q.Reply, q.Chunks} {
			if !byHand[t] {
				try(known(t))
			}
		}
	}
	for _, e := range s.Events {
		try(once(fmt.Sprint("event ", e.Number), "event "+e.Name))
		if !byHand[e.Content] {
			try(known(e.Content))
		}
	}
	if s.Version == 0 {
		try(fmt.Errorf("messages.spec: no version"))
	}
	return err
}

// byHand are the contents of replies and events that hand-written code makes.
var byHand = map[string]bool{"": true, "none": true, "any": true, "empty": true, "rows": true, "rest": true,
	"Live": true}

// primitive is a type that the hand-written Writer and Reader of both languages have.
type primitive struct {
	size     int // the least number of bytes
	goType   string
	goMethod string
	tsType   string // of what is written
	tsRead   string // of what is read, if it differs
	tsMethod string
}

var primitives = map[string]primitive{
	"u8":       {1, "uint8", "U8", "number", "", "u8"},
	"u16":      {2, "uint16", "U16", "number", "", "u16"},
	"u32":      {4, "uint32", "U32", "number", "", "u32"},
	"u64":      {8, "uint64", "U64", "number", "", "u64"},
	"bool":     {1, "bool", "Bool", "boolean", "", "bool"},
	"string":   {4, "string", "Str", "string", "", "string"},
	"value":    {1, ".Value", "Value", "CheckedValue", "SqlValue", "value"},
	"stmt":     {5, ".Stmt", "Stmt", "Statement", "", "statement"},
	"error":    {16, "error", "Fault", "HeddleError | undefined", "", "error"},
	"result":   {16, ".Result", "Result", "ExecResult", "", "result"},
	"rows":     {8, ".BulkRows", "Rows", "BulkRows", "", "rows"},
	"rest":     {1, "[]byte", "Rest", "Uint8Array", "", "raw"},
	"[]string": {4, "[]string", "Strs", "readonly string[]", "string[]", "strings"},
	"[]value":  {4, "[].Value", "Values", "readonly CheckedValue[]", "SqlValue[]", "values"},
	"[]stmt":   {4, "[].Stmt", "Stmts", "readonly Statement[]", "", "statements"},
	"[]result": {4, "[].Result", "Results", "ExecResult[]", "", "results"},
}

// size is the least number of bytes of a value of type t.
func (s *Spec) size(t string) int {
	if p, ok := primitives[t]; ok {
		return p.size
	}
	switch {
	case t[0] == '[':
		return 4
	case t[0] == '?':
		return 1
	}
	n := 0
	for _, f := range s.byName[t].Fields {
		n += s.size(f.Type)
	}
	return n
}

// reach returns the structs that values of the types are made of, in the order of the specification.
func (s *Spec) reach(types ...string) (list []*Struct) {
	found := map[string]bool{}
	var add func(t string)
	add = func(t string) {
		t = strings.TrimLeft(t, "[]?")
		if d := s.byName[t]; d != nil && !found[t] {
			found[t] = true
			for _, f := range d.Fields {
				add(f.Type)
			}
		}
	}
	for _, t := range types {
		add(t)
	}
	for _, d := range s.Structs {
		if found[d.Name] {
			list = append(list, d)
		}
	}
	return list
}

// toLeader and toPage are the types of what each side sends.
func (s *Spec) toLeader() []string {
	types := []string{"OpenConfig"}
	for _, q := range s.Methods {
		for _, f := range q.Fields {
			types = append(types, f.Type)
		}
	}
	return types
}

func (s *Spec) toPage() []string {
	types := []string{"Announcement"}
	for _, q := range s.Methods {
		types = append(types, q.Reply, q.Chunks)
	}
	for _, e := range s.Events {
		types = append(types, e.Content)
	}
	return types
}
