package store

import (
	"strings"

	"heddle.dev/heddle/internal/errcode"
)

// use is how the app may name a pragma.
type use uint8

const (
	look use = 1 // without a value
	set  use = 2 // with one
)

// pragmas are those that the app may use. The tabs share the connections, so a
// value that a connection keeps would be everybody's: only what belongs to the
// file, ends with the transaction, or is the argument of a question may be
// given. A pragma that is not here is refused, also one that a later SQLite
// brings. The names without `set` are those of values that Heddle relies on, or
// that would change what other tabs' statements mean or cost.
//
// https://sqlite.org/pragma.html
var pragmas = map[string]use{
	// Questions, which take the name of what is asked about.
	"table_info": look | set, "table_xinfo": look | set, "table_list": look | set,
	"index_list": look | set, "index_info": look | set, "index_xinfo": look | set, "foreign_key_list": look | set,
	"foreign_key_check": look | set, "integrity_check": look | set, "quick_check": look | set,
	"collation_list": look, "compile_options": look, "data_version": look, "database_list": look, "freelist_count": look,
	"function_list": look, "module_list": look, "page_count": look, "pragma_list": look,

	// Values of the file that are the app's, and work on it.
	"application_id": look | set, "user_version": look | set,
	"incremental_vacuum": look | set, "optimize": look | set,

	// Values that end with the transaction, or that bound optimize alone.
	"defer_foreign_keys": look | set, "analysis_limit": look | set,

	// Values of a connection, and those of the file that Heddle sets.
	"auto_vacuum": look, "automatic_index": look, "busy_timeout": look, "cache_size": look, "cache_spill": look,
	"cell_size_check": look, "checkpoint_fullfsync": look, "checksum_verification": look, "count_changes": look,
	"empty_result_callbacks": look, "encoding": look, "foreign_keys": look, "full_column_names": look, "fullfsync": look,
	"hard_heap_limit": look, "ignore_check_constraints": look, "journal_mode": look, "journal_size_limit": look,
	"legacy_alter_table": look, "locking_mode": look, "max_page_count": look, "mmap_size": look, "page_size": look,
	"query_only": look, "read_uncommitted": look, "recursive_triggers": look, "reverse_unordered_selects": look,
	"schema_version": look, "secure_delete": look, "short_column_names": look, "soft_heap_limit": look,
	"synchronous": look, "temp_store": look, "threads": look, "trusted_schema": look, "wal_autocheckpoint": look,
	"writable_schema": look,

	// Not even named: case_sensitive_like, shrink_memory, temp_store_directory,
	// wal_checkpoint and the rest.
}

// refusePragma returns why the app may not use a pragma, or nil.
func refusePragma(name string, valued bool) error {
	want := look
	if valued {
		want = set
	}
	allowed, known := pragmas[name]
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
		sql = skipSpace(sql)
		n := 0
		for n < len(sql) && wordByte(sql[n]) {
			n++
		}
		w, sql = sql[:n], sql[n:]
		return w
	}
	if !equalFold(word(), "pragma") || word() == "" {
		return false
	}
	if sql = skipSpace(sql); strings.HasPrefix(sql, ".") {
		if sql = sql[1:]; word() == "" {
			return false
		}
		sql = skipSpace(sql)
	}
	return sql == "" || sql[0] == ';'
}

func wordByte(b byte) bool {
	return b|0x20 >= 'a' && b|0x20 <= 'z' || b >= '0' && b <= '9' || b == '_'
}

// skipSpace skips spaces and comments.
func skipSpace(sql string) string {
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
