package replica

import (
	"errors"
	"strings"

	"github.com/ncruces/go-sqlite3"
	"heddle.dev/heddle/internal/errcode"
)

// violation is why a table cannot hold a row. It is an error where a table is
// written, and none to the log.
type violation struct {
	code string // SQLite's result code
	text string // SQLite's message, which names the constraint
}

func (r *violation) Error() string { return r.text }

// refused returns why a table refuses a row, nil where err is another failure:
// of the disk, of memory, or an interruption.
func refused(err error) *violation {
	var why *violation
	var code sqlite3.ExtendedErrorCode
	if errors.As(err, &why) || !errors.As(err, &code) {
		return why
	}
	switch sqlite3.ErrorCode(code & 0xff) {
	case sqlite3.CONSTRAINT, sqlite3.MISMATCH, sqlite3.TOOBIG:
	case sqlite3.ERROR: // a function in an index, a generated column or a trigger
	default:
		// An index of FTS5 that is at odds with its content is the app's to rebuild.
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
	return &violation{errcode.SQLite(uint32(code)), text}
}
