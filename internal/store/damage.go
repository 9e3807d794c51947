package store

import (
	"heddle.dev/heddle/internal/errcode"

	"github.com/ncruces/go-sqlite3"
)

// Damaged reports whether an error means that the database file itself is not
// what SQLite wrote. A virtual table whose own content is inconsistent does not
// count: an index of FTS5 can be rebuilt.
func Damaged(err error) bool {
	switch errcode.Of(err) {
	case errcode.Damaged, "SQLITE_CORRUPT", "SQLITE_CORRUPT_INDEX", "SQLITE_CORRUPT_SEQUENCE", "SQLITE_NOTADB",
		"SQLITE_IOERR_DATA", "SQLITE_IOERR_CORRUPTFS":
		return true
	}
	switch sqliteCode(err) {
	case uint32(sqlite3.CORRUPT), uint32(sqlite3.CORRUPT_INDEX), uint32(sqlite3.CORRUPT_SEQUENCE), uint32(sqlite3.NOTADB),
		uint32(sqlite3.IOERR_DATA), uint32(sqlite3.IOERR_CORRUPTFS):
		return true
	}
	return false
}

// noteDamage reports the first sign of damage. From then on the store avoids every
// write to the file that it can. The mutex is held.
func (db *DB) noteDamage(c *conn, err error) {
	if db.damaged || c.foreign || !Damaged(err) {
		return
	}
	db.damaged = true
	if db.opts.OnDamage != nil {
		go db.opts.OnDamage(err)
	}
}
