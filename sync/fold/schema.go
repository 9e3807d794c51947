package fold

import (
	"fmt"
	"maps"
	"slices"

	"heddle/internal/errcode"
	"heddle/sync/wire"
)

// Schema is what a log has said about its tables: the union of all
// descriptors, of which the first for a table's key and the first for a column
// count. The zero value is empty and ready.
type Schema struct {
	tables map[string]*table
}

type table struct {
	key     []string
	columns map[string]wire.ColumnSchema
}

// Apply adds the descriptors of an accepted entry's body. A descriptor that
// cannot be (of a key column, say) is ignored; Check finds such bodies first.
func (s *Schema) Apply(descriptors []wire.TableSchema) {
	for _, d := range descriptors {
		t := s.tables[d.Table]
		if t == nil {
			if s.tables == nil {
				s.tables = map[string]*table{}
			}
			t = &table{key: slices.Clone(d.Key), columns: map[string]wire.ColumnSchema{}}
			s.tables[d.Table] = t
		}
		for _, c := range d.Columns {
			if _, ok := t.columns[c.Name]; !ok && !slices.Contains(t.key, c.Name) {
				t.columns[c.Name] = c
			}
		}
	}
}

// Missing returns what of descriptors s does not have yet: what the author of
// a body puts into Body.Schema. s must be the schema of the log's prefix, not
// counting pending bodies, since each of those may be decided void.
func (s *Schema) Missing(descriptors []wire.TableSchema) []wire.TableSchema {
	var missing []wire.TableSchema
	for _, d := range descriptors {
		t := s.tables[d.Table]
		m := wire.TableSchema{Table: d.Table, Key: d.Key}
		for _, c := range d.Columns {
			if t != nil {
				if _, ok := t.columns[c.Name]; ok {
					continue
				}
			}
			m.Columns = append(m.Columns, c)
		}
		if t == nil || len(m.Columns) > 0 {
			missing = append(missing, m)
		}
	}
	return missing
}

// Default returns a column's declared default, nil where there is none.
func (s *Schema) Default(table, column string) wire.Value {
	if t := s.tables[table]; t != nil {
		return t.columns[column].Default
	}
	return nil
}

// Key returns the names of a table's key columns in order, nil for a table that
// the log does not know. The caller must not change them.
func (s *Schema) Key(table string) []string {
	if t := s.tables[table]; t != nil {
		return t.key
	}
	return nil
}

// Column returns a column's descriptor. Key columns have none.
func (s *Schema) Column(table, column string) (wire.ColumnSchema, bool) {
	t := s.tables[table]
	if t == nil {
		return wire.ColumnSchema{}, false
	}
	c, ok := t.columns[column]
	return c, ok
}

// Clone returns a copy that shares nothing that changes.
func (s *Schema) Clone() *Schema {
	c := &Schema{tables: make(map[string]*table, len(s.tables))}
	for name, t := range s.tables {
		c.tables[name] = &table{key: t.key, columns: maps.Clone(t.columns)}
	}
	return c
}

// Tables returns s as descriptors in the order of names: a canonical form.
func (s *Schema) Tables() []wire.TableSchema {
	var all []wire.TableSchema
	for _, name := range slices.Sorted(maps.Keys(s.tables)) {
		t := s.tables[name]
		d := wire.TableSchema{Table: name, Key: t.key}
		for _, c := range slices.Sorted(maps.Keys(t.columns)) {
			d.Columns = append(d.Columns, t.columns[c])
		}
		all = append(all, d)
	}
	return all
}

// Marshal returns s in a form that UnmarshalSchema reads: a body that has
// nothing but descriptors.
func (s *Schema) Marshal() []byte {
	return (&wire.Body{Schema: s.Tables()}).Marshal()
}

// UnmarshalSchema undoes Marshal. No bytes are an empty schema.
func UnmarshalSchema(data []byte) (*Schema, error) {
	b, err := wire.UnmarshalBody(data)
	if err != nil {
		return nil, err
	}
	s := &Schema{}
	s.Apply(b.Schema)
	return s, nil
}

// Check reports what keeps b from being folded onto a log with schema s: a
// table or column without a descriptor, a key of another length or with NULL,
// a cell of a key column. Errors are HEDDLE_BAD_BODY (HEDDLE_NULL_KEY for
// NULL). s stays as it is.
func Check(b *wire.Body, s *Schema) error {
	bad := func(format string, args ...any) error {
		return errcode.New(errcode.BadBody, "fold: check body", fmt.Sprintf(format, args...))
	}
	if len(b.Schema) > 0 {
		for _, d := range b.Schema {
			if key := s.Key(d.Table); key != nil && !slices.Equal(key, d.Key) {
				return bad("table %q has another key in the log", d.Table)
			}
			for i, k := range d.Key {
				if slices.Contains(d.Key[:i], k) {
					return bad("table %q names key column %q twice", d.Table, k)
				}
			}
			for _, c := range d.Columns {
				if slices.Contains(d.Key, c.Name) {
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
