package sqlconn

import (
	"strings"

	"github.com/ncruces/go-sqlite3"
)

// clock are functions that are deterministic by their flag, though some of their
// arguments mean the time of now.
var clock = []string{"date", "time", "datetime", "julianday", "unixepoch", "strftime", "timediff",
	"current_date", "current_time", "current_timestamp"}

// fullText are FTS5's functions without that flag. They depend on the table that is
// searched, which the statement reads.
var fullText = []string{"match", "highlight", "snippet", "bm25", "fts5_locale", "fts5_get_locale", "fts5_insttoken"}

// Volatile reports whether the statement calls a function whose value depends on
// more than its arguments. SQLite's aggregate and window functions do not, flag or no flag.
//
// https://sqlite.org/deterministic.html
func (c *Conn) Volatile(s *Stmt) (bool, error) {
	const deterministic = 0x800
	if len(s.functions) == 0 {
		return false, nil
	}
	if c.pure == nil {
		pure := map[string]bool{}
		err := c.Each(`SELECT name, min(flags & ? OR builtin AND type <> 's') FROM pragma_function_list GROUP BY name`,
			func(f *sqlite3.Stmt) error {
				pure[strings.ToLower(f.ColumnText(0))] = f.ColumnInt(1) != 0
				return nil
			}, int64(deterministic))
		if err != nil {
			return false, err
		}
		for _, name := range clock {
			pure[name] = false
		}
		for _, name := range fullText {
			pure[name] = true
		}
		c.pure = pure
	}
	for name := range s.functions {
		if !c.pure[strings.ToLower(name)] {
			return true, nil
		}
	}
	return false, nil
}
