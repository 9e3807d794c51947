package fold

import (
	"maps"
	"slices"

	"heddle.dev/heddle/sync/wire"
)

// Schema is what a log has said about its tables: the union of all
// descriptors, of which the first for a table's key and the first for a column
// count. The zero value is empty and ready.
type Schema struct {
	tables map[string]*table
}

// table is not changed once it is in a Schema: copies of the Schema share it.
type table struct {
	key     []string
	columns map[string]wire.ColumnSchema
	size    int // bytes of its descriptor, see bytes
}

// Apply adds the descriptors of an accepted entry's body. A descriptor that
// cannot be (of a key column, say) is ignored; Check finds such bodies first.
func (s *Schema) Apply(descriptors []wire.TableSchema) {
	if s.tables == nil {
		s.tables = map[string]*table{}
	}
	own := map[string]*table{} // those that nothing shares yet
	for _, d := range descriptors {
		t := s.tables[d.Table]
		if t == nil {
			t = &table{key: slices.Clone(d.Key), columns: map[string]wire.ColumnSchema{}}
			s.tables[d.Table], own[d.Table] = t, t
		}
		key := namesOf(t.key)
		for _, c := range d.Columns {
			if _, ok := t.columns[c.Name]; ok || key.has(c.Name) {
				continue
			}
			if own[d.Table] == nil {
				t = &table{key: t.key, columns: maps.Clone(t.columns)}
				s.tables[d.Table], own[d.Table] = t, t
			}
			t.columns[c.Name] = c
		}
	}
}

// names is a set of names.
type names struct {
	list []string
	set  map[string]bool // of list, if it is long
}

func namesOf(list []string) names {
	n := names{list: list}
	if len(list) > wire.MaxKeyColumns {
		n.set = make(map[string]bool, len(list))
		for _, name := range list {
			n.set[name] = true
		}
	}
	return n
}

func (n names) has(name string) bool {
	if n.set != nil {
		return n.set[name]
	}
	return slices.Contains(n.list, name)
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
func (s *Schema) Clone() *Schema { return &Schema{tables: maps.Clone(s.tables)} }

// Tables returns s as descriptors in the order of names: a canonical form.
func (s *Schema) Tables() []wire.TableSchema {
	var all []wire.TableSchema
	for _, name := range slices.Sorted(maps.Keys(s.tables)) {
		all = append(all, s.tables[name].descriptor(name))
	}
	return all
}

func (t *table) descriptor(name string) wire.TableSchema {
	d := wire.TableSchema{Table: name, Key: t.key}
	for _, c := range slices.Sorted(maps.Keys(t.columns)) {
		d.Columns = append(d.Columns, t.columns[c])
	}
	return d
}

// Marshal returns s in a form that UnmarshalSchema reads: a body that has
// nothing but descriptors.
func (s *Schema) Marshal() []byte {
	return (&wire.Body{Schema: s.Tables()}).Marshal()
}

// UnmarshalSchema undoes Marshal, however much the schema has: what a log has
// once taken is read. No bytes are an empty schema.
func UnmarshalSchema(data []byte) (*Schema, error) {
	tables, err := wire.UnmarshalSchema(data)
	if err != nil {
		return nil, err
	}
	s := &Schema{}
	s.Apply(tables)
	return s, nil
}
