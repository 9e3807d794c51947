package client

import (
	"maps"
	"slices"
	"strings"

	"heddle.dev/heddle/sync/fold"
	"heddle.dev/heddle/sync/wire"
)

// A table is disputed if the log knows it with another primary key than this app.
// The first descriptor in the log counts, whoever wrote it, and a key cannot
// change. Such a table is synced no further here, and nothing else waits for it:
// what the log says of it is kept in heddle_overflow, as of a table that this app
// does not have, and the rows of the app's own table stay local. Transactions of
// this replica's that touch it are decided void.

// disputed reports whether the log knows t with another key.
func disputed(t *table, s *fold.Schema) bool {
	key := s.Key(t.name)
	return key != nil && !slices.Equal(key, t.key)
}

// undisputed returns the tables that the log does not know otherwise.
func undisputed(tables map[string]*table, s *fold.Schema) map[string]*table {
	var rest map[string]*table
	for name, t := range tables {
		if !disputed(t, s) {
			continue
		}
		if rest == nil {
			rest = maps.Clone(tables)
		}
		delete(rest, name)
	}
	if rest == nil {
		return tables
	}
	return rest
}

// dispute leaves tables out that the log knows otherwise, from now on, and tells
// the app of them.
func (a *applier) dispute() {
	all := a.tables
	a.tables = undisputed(all, a.schema)
	a.merged = mergedSchema(a.schema, a.tables)
	for _, t := range sortedTables(all) {
		if a.tables[t.name] == nil {
			a.events = append(a.events, disputeOf(t, a.schema, a.pos.Seq))
		}
	}
}

func disputeOf(t *table, s *fold.Schema, seq uint64) Conflict {
	return Conflict{Seq: seq, Reason: ConflictKey, Keys: []Key{{Table: t.name}}, Constraint: "table " + quoted(t.name) +
		" has the primary key (" + strings.Join(t.key, ", ") + ") here, and the space knows it with (" + strings.Join(s.Key(t.name), ", ") +
		"): it is not synced; make a new table"}
}

// checkKeys refuses a table whose key a migration of this app has changed: the
// log keeps the one that it had.
func checkKeys(tables map[string]*table, before map[string]wire.TableSchema, s *fold.Schema) error {
	for _, t := range sortedTables(tables) {
		if disputed(t, s) && slices.Equal(before[t.name].Key, s.Key(t.name)) {
			return keyError(t, s.Key(t.name))
		}
	}
	return nil
}

func keyError(t *table, known []string) error {
	return schemaError(t.name, "its primary key is ("+strings.Join(t.key, ", ")+"), and the space knows it with ("+
		strings.Join(known, ", ")+"): a synced table keeps its key; make a new table")
}
