package fold

import (
	"fmt"
	"slices"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/wire"
)

// Check reports what keeps b from being folded onto a log with schema s: a
// table or column without a descriptor, a key of another length or with NULL,
// a cell of a key column. Errors are HEDDLE_BAD_BODY (HEDDLE_NULL_KEY for
// NULL). s stays as it is. Its work is linear in b.
func Check(b *wire.Body, s *Schema) error {
	bad := func(format string, args ...any) error {
		return errcode.New(errcode.BadBody, "fold: check body", fmt.Sprintf(format, args...))
	}
	if len(b.Schema) > 0 {
		for _, d := range b.Schema {
			if key := s.Key(d.Table); key != nil && !slices.Equal(key, d.Key) {
				return bad("table %q has another key in the log", d.Table)
			}
			if k, twice := repeated(d.Key); twice {
				return bad("table %q names key column %q twice", d.Table, k)
			}
			key := namesOf(d.Key)
			for _, c := range d.Columns {
				if key.has(c.Name) {
					return bad("column %q of table %q is in its key", c.Name, d.Table)
				}
			}
		}
		s = s.Clone()
		s.Apply(b.Schema)
	}
	width := make(map[*wire.Shape]int, len(b.Shapes))
	for _, shape := range b.Shapes {
		key := s.Key(shape.Table)
		if key == nil {
			return bad("table %q has no descriptor", shape.Table)
		}
		width[shape] = len(key)
		for _, c := range shape.Columns {
			if _, ok := s.Column(shape.Table, c); !ok {
				return bad("column %q of table %q has no descriptor, or is in its key", c, shape.Table)
			}
		}
	}
	for i := range b.Ops {
		op := &b.Ops[i]
		if len(op.Key) != width[op.Shape] {
			return bad("a key of table %q has %d values, want %d", op.Shape.Table, len(op.Key), width[op.Shape])
		}
		for _, v := range op.Key {
			if v == nil {
				return errcode.New(errcode.NullKey, "fold: check body", fmt.Sprintf("a key of table %q has NULL", op.Shape.Table))
			}
		}
	}
	return nil
}

// repeated returns a name that stands in list twice.
func repeated(list []string) (name string, found bool) {
	seen := make(map[string]bool, len(list))
	for _, name := range list {
		if seen[name] {
			return name, true
		}
		seen[name] = true
	}
	return "", false
}

// Fits reports whether a log's schema, before, may become s, which has the
// descriptors of one more transaction: HEDDLE_TOO_BIG says which limit it would
// pass. Servers and authors ask it. A replica takes whatever the log has.
func (s *Schema) Fits(before *Schema, descriptors []wire.TableSchema) error {
	const op = "fold: check schema"
	tooBig := func(format string, args ...any) error {
		return errcode.New(errcode.TooBig, op, fmt.Sprintf(format, args...))
	}
	grown := false
	for _, d := range descriptors {
		t := s.tables[d.Table]
		switch was := before.tables[d.Table]; {
		case t == was:
			continue
		case was == nil && len(t.key) > wire.MaxKeyColumns:
			return tooBig("the key of table %q has %d columns; at most %d are taken", d.Table, len(t.key), wire.MaxKeyColumns)
		}
		grown = true
	}
	if !grown {
		return nil
	}
	columns, bytes := 0, 0
	for name, t := range s.tables {
		columns += len(t.columns)
		bytes += t.bytes(name)
		if t != before.tables[name] && len(t.columns) > wire.MaxGroups {
			if n := t.groups(); n > wire.MaxGroups {
				return tooBig("the columns of table %q came with %d migrations; at most %d are taken", name, n, wire.MaxGroups)
			}
		}
	}
	switch {
	case len(s.tables) > wire.MaxSchemaTables:
		return tooBig("the space would have %d tables; at most %d are taken", len(s.tables), wire.MaxSchemaTables)
	case columns > wire.MaxSchemaColumns:
		return tooBig("the space's tables would have %d columns; at most %d are taken", columns, wire.MaxSchemaColumns)
	case bytes > wire.MaxSchema:
		return tooBig("the descriptors of the space's tables would have %d bytes; at most %d are taken", bytes,
			wire.MaxSchema)
	}
	return nil
}

// bytes returns the size of a table's descriptor in Schema.Marshal.
func (t *table) bytes(name string) int {
	if t.size == 0 {
		t.size = len((&wire.Body{Schema: []wire.TableSchema{t.descriptor(name)}}).Marshal())
	}
	return t.size
}

// groups returns how many migrations brought a table's columns.
func (t *table) groups() int {
	seen := map[uint32]bool{}
	for _, c := range t.columns {
		seen[c.Group] = true
	}
	return len(seen)
}
