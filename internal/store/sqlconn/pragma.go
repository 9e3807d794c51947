package sqlconn

import (
	"strings"

	"heddle.dev/heddle/internal/errcode"
)

// Use is how the app may name a pragma.
type Use uint8

const (
	Look Use = 1 // without a value
	Set  Use = 2 // with one
)

// Pragmas are those that the app may use. The tabs share the connections, so a
// value that a connection keeps would be everybody's: only what belongs to the
// file, ends with the transaction, or is the argument of a question may be
// given. A pragma that is not here is refused, also one that a later SQLite
// brings. The names without Set are those of values that Heddle relies on, or
// that would change what other tabs' statements mean or cost.
//
// https://sqlite.org/pragma.html
var Pragmas = map[string]Use{
	// Questions, which take the name of what is asked about.
	"table_info": Look | Set, "table_xinfo": Look | Set, "table_list": Look | Set,
	"index_list": Look | Set, "index_info": Look | Set, "index_xinfo": Look | Set, "foreign_key_list": Look | Set,
	"foreign_key_check": Look | Set, "integrity_check": Look | Set, "quick_check": Look | Set,
	"collation_list": Look, "compile_options": Look, "data_version": Look, "database_list": Look, "freelist_count": Look,
	"function_list": Look, "module_list": Look, "page_count": Look, "pragma_list": Look,

	// Values of the file that are the app's, and work on it.
	"application_id": Look | Set, "user_version": Look | Set,
	"incremental_vacuum": Look | Set, "optimize": Look | Set,

	// Values that end with the transaction, or that bound optimize alone.
	"defer_foreign_keys": Look | Set, "analysis_limit": Look | Set,

	// Values of a connection, and those of the file that Heddle sets.
	"auto_vacuum": Look, "automatic_index": Look, "busy_timeout": Look, "cache_size": Look, "cache_spill": Look,
	"cell_size_check": Look, "checkpoint_fullfsync": Look, "checksum_verification": Look, "count_changes": Look,
	"empty_result_callbacks": Look, "encoding": Look, "foreign_keys": Look, "full_column_names": Look, "fullfsync": Look,
	"hard_heap_limit": Look, "ignore_check_constraints": Look, "journal_mode": Look, "journal_size_limit": Look,
	"legacy_alter_table": Look, "locking_mode": Look, "max_page_count": Look, "mmap_size": Look, "page_size": Look,
	"query_only": Look, "read_uncommitted": Look, "recursive_triggers": Look, "reverse_unordered_selects": Look,
	"schema_version": Look, "secure_delete": Look, "short_column_names": Look, "soft_heap_limit": Look,
	"synchronous": Look, "temp_store": Look, "threads": Look, "trusted_schema": Look, "wal_autocheckpoint": Look,
	"writable_schema": Look,

	// Not even named: case_sensitive_like, shrink_memory, temp_store_directory,
	// wal_checkpoint and the rest.
}

// refusePragma returns why the app may not use a pragma, or nil.
func refusePragma(name string, valued bool) error {
	want := Look
	if valued {
		want = Set
	}
	allowed, known := Pragmas[name]
	switch {
	case allowed&want != 0:
		return nil
	case known:
		return errcode.New("SQLITE_AUTH", authOp, "PRAGMA "+name+" is Heddle's to set: the value would be every tab's. "+
			"Without one it tells; import takes the text of a dump")
	}
	return errcode.New("SQLITE_AUTH", authOp, "PRAGMA "+name+" is not for the app's SQL")
}

// bare reports whether sql begins with a PRAGMA without a value. SQLite's
// authorizer does not tell PRAGMA p from PRAGMA p = ”, which turns a switch off.
// What is not plainly the former is taken for the latter.
func bare(sql string) bool {
	word := func() (w string) {
		sql = SkipSpace(sql)
		n := 0
		for n < len(sql) && wordByte(sql[n]) {
			n++
		}
		w, sql = sql[:n], sql[n:]
		return w
	}
	if !SameName(word(), "pragma") || word() == "" {
		return false
	}
	if sql = SkipSpace(sql); strings.HasPrefix(sql, ".") {
		if sql = sql[1:]; word() == "" {
			return false
		}
		sql = SkipSpace(sql)
	}
	return sql == "" || sql[0] == ';'
}

func wordByte(b byte) bool {
	return b|0x20 >= 'a' && b|0x20 <= 'z' || b >= '0' && b <= '9' || b == '_'
}

// SkipSpace skips spaces and comments.
func SkipSpace(sql string) string {
	for {
		rest := strings.TrimLeft(sql, " \t\r\n\f")
		switch {
		case strings.HasPrefix(rest, "--"):
			_, rest, _ = strings.Cut(rest, "\n")
		case strings.HasPrefix(rest, "/*"):
			_, rest, _ = strings.Cut(rest[2:], "*/")
		}
		if len(rest) == len(sql) {
			return sql
		}
		sql = rest
	}
}
