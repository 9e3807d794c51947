package synced

import (
	"errors"
	"strings"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/internal/errcode"
)

// Violation is why a table cannot hold a row. It is an error to the caller that
// writes the table, and none to the log.
type Violation struct {
	Code string // SQLite's result code
	Text string // SQLite's message, which names the constraint
}

func (r *Violation) Error() string { return r.Text }

// Refused returns why a table refuses a row, nil where err is another failure:
// of the disk, of memory, or an interruption.
func Refused(err error) *Violation {
	var why *Violation
	var code sqlite3.ExtendedErrorCode
	if errors.As(err, &why) || !errors.As(err, &code) {
		return why
	}
	switch sqlite3.ErrorCode(code & 0xff) {
	case sqlite3.CONSTRAINT, sqlite3.MISMATCH, sqlite3.TOOBIG:
	case sqlite3.ERROR: // a function in an index, a generated column or a trigger
	default:
		// An FTS5 index that does not match its content is the app's to rebuild.
		if code != sqlite3.CORRUPT_VTAB {
			return nil
		}
	}
	var e *errcode.Error
	if errors.As(err, &e) && e.Err != nil {
		err = e.Err
	}
	text := strings.TrimPrefix(err.Error(), "sqlite3: ")
	for _, class := range []string{"constraint failed: ", "SQL logic error: "} {
		text = strings.TrimPrefix(text, class)
	}
	return &Violation{errcode.SQLite(uint32(code)), text}
}
