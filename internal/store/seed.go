package store

import "github.com/ncruces/go-sqlite3"

// tableOfSeed has a row in a file made with Options.Seed until its seed is written.
const tableOfSeed = `CREATE TABLE heddle_seed(owed INTEGER PRIMARY KEY); INSERT INTO heddle_seed VALUES(1);`

// TakeSeed reports whether the seed is still to be written: the file was made with
// Options.Seed, and no transaction in which TakeSeed reported true has committed.
// Committing this one settles it.
func (tx *Tx) TakeSeed() (owed bool, err error) {
	err = tx.Inside(func(*sqlite3.Conn) error {
		n, err := tx.c.Scalar(`SELECT count(*) FROM sqlite_schema WHERE name = 'heddle_seed'`)
		if err != nil || n == int64(0) {
			return err
		}
		if n, err = tx.c.Scalar(`SELECT count(*) FROM heddle_seed`); err != nil || n == int64(0) {
			return err
		}
		owed = true
		return tx.c.Run(`DELETE FROM heddle_seed`)
	})
	return owed, err
}
