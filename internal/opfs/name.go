package opfs

import (
	"fmt"
	"strings"

	"heddle.dev/heddle/internal/errcode"
)

// MaxName is the longest encoded name, in bytes: file systems stop at 255, and
// suffixes follow.
const MaxName = 200

// Encode returns the name of a database's directory and files. It keeps
// lower-case letters, digits, '-' and '_', and writes every other byte of the
// UTF-8 name as '=' and two lower-case hex digits. So two names never meet,
// also where the file system below folds case or normalizes Unicode, and what
// comes out needs no escaping in a URI filename.
//
// The code of its error is errcode.BadParam.
func Encode(name string) (string, error) {
	const op = "opfs: name"
	if name == "" {
		return "", errcode.New(errcode.BadParam, op, "a database needs a name")
	}
	const hex = "0123456789abcdef"
	var b strings.Builder
	for i := range len(name) {
		switch c := name[i]; {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '_':
			b.WriteByte(c)
		default:
			b.WriteByte('=')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
		}
	}
	if b.Len() > MaxName {
		return "", errcode.New(errcode.BadParam, op,
			fmt.Sprintf("the name is too long: %d bytes encoded, at most %d", b.Len(), MaxName))
	}
	return b.String(), nil
}

// File returns the name of the main database file of a database of that name:
// its encoded name and ".db".
func File(name string) (string, error) {
	enc, err := Encode(name)
	if err != nil {
		return "", err
	}
	return enc + ".db", nil
}

// URI returns what go-sqlite3 opens to reach the database of that name in the
// VFS registered as vfsName. https://sqlite.org/uri.html
func URI(name, vfsName string) (string, error) {
	file, err := File(name)
	if err != nil {
		return "", err
	}
	return "file:" + file + "?vfs=" + vfsName, nil
}

// maxFile is the longest file name, in bytes: an encoded name with ".db" and
// SQLite's longest suffix.
const maxFile = 255

// cleanName returns the name inside the directory of a path that SQLite gives,
// and whether it is one.
func cleanName(path string) (string, bool) {
	name := strings.TrimPrefix(path, "/")
	ok := name != "" && name != "." && name != ".." && len(name) <= maxFile &&
		!strings.ContainsAny(name, "/\\\x00")
	return name, ok
}
