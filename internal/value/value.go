// Package value has SQLite's values and the shapes made of them that several
// packages share: parameters, results, keys of rows, changes of a live query.
//
// A value has two encodings. [Append] makes the page encoding, which the page
// and the engine read too: a tag, then the content at fixed width. It keeps the
// bits of every value, so equal encodings mean equal values; that makes it a
// key of maps as well. [AppendCanonical] makes the one that sync hashes and
// compares: a value has one form there, the one in which SQLite stores it.
package value

// Value is an SQLite value: nil, int64, float64, string or []byte. As a
// parameter, int, int32, uint32 and bool are taken too; see [Of].
type Value = any

// Of makes a Value of what an app gives as a parameter. ok is false for a type
// that SQLite does not have.
func Of(v any) (_ Value, ok bool) {
	switch v := v.(type) {
	case nil, int64, float64, string, []byte:
		return v, true
	case bool:
		if v {
			return int64(1), true
		}
		return int64(0), true
	case int:
		return int64(v), true
	case int32:
		return int64(v), true
	case uint32:
		return int64(v), true
	}
	return nil, false
}

// Size is about the number of bytes that values take; it is a lower bound of
// the size of both encodings.
func Size(values ...Value) int {
	n := len(values)
	for _, v := range values {
		switch v := v.(type) {
		case string:
			n += len(v)
		case []byte:
			n += len(v)
		case float64:
			n += 8
		}
	}
	return n
}

// Params are a statement's parameters: by position or by name. A name may be
// given with or without its prefix (:a, @a, $a). Setting both is an error.
type Params struct {
	Positional []Value
	Named      map[string]Value
}

// Args makes positional parameters.
func Args(values ...Value) Params { return Params{Positional: values} }

// Result says what a statement did.
type Result struct {
	Changes         int64 // rows inserted, updated or deleted by the statement itself, as sqlite3_changes64
	LastInsertRowID int64
}

// Key names a row.
type Key struct {
	Table string
	Key   []Value // the primary key's values in the order of the table's key
}

// Update turns the former result of a live query into the new one: the new
// result is the runs, one after the other.
type Update struct {
	Reset   bool     // there is no former result: every run is new
	Columns []string // of the result
	Total   int      // rows of the new result
	Runs    []Run
}

// Run is a stretch of a new result: rows of the former one, or new ones.
type Run struct {
	Copy bool
	From int       // of a copy: the first row in the former result
	N    int       // how many rows
	Rows [][]Value // of new ones: N rows, the receiver's to keep
}
