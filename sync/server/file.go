package server

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/internal/errcode"
)

// What keeps damage of a space's file from being served:
//
//   - Each page carries a checksum, which SQLite's VFS verifies when it reads the
//     page: https://sqlite.org/cksumvfs.html. It finds what the disk changed.
//   - Each row of the folded state carries a sum of its own, verified whenever
//     the row is read: before it is folded onto, and before it goes into a
//     snapshot. It finds what was changed before a page got its checksum.
//   - Each body of the log is bound by its hash and the chain.

// prepareFile gives a file its page checksums, and sets what a writer needs. A
// file without checksums is rewritten once, as VACUUM does it.
func (c *conn) prepareFile() error {
	if err := c.c.CreateFunction("heddle_row_sum", 3, sqlite3.DETERMINISTIC, rowSumSQL); err != nil {
		return err
	}
	// SQLite knows how many bytes the pages leave free only after it has read one.
	made := true
	if err := c.run(`SELECT 1 FROM sqlite_schema LIMIT 1`, func(*sqlite3.Stmt) error {
		made = false
		return nil
	}); err != nil {
		return err
	}
	if made {
		if _, err := c.c.FileControl("main", sqlite3.FCNTL_RESERVE_BYTES, 8); err != nil {
			return err
		}
	}
	// WAL comes before VACUUM: a checkpoint writes the first page first, and the
	// VFS learns from that page that the others have checksums.
	const sql = `PRAGMA journal_mode = wal; PRAGMA synchronous = full; PRAGMA journal_size_limit = 67108864`
	if err := c.c.Exec(sql); err != nil {
		return err
	}
	return c.c.EnableChecksums("main")
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// RowSum is what a space's file keeps beside a row of the folded state: the
// CRC-32C of the table's name, the encoded key and the encoded cells, after the
// lengths of the first two.
func RowSum(table string, key, cells []byte) int64 {
	var lengths [8]byte
	binary.LittleEndian.PutUint32(lengths[:], uint32(len(table)))
	binary.LittleEndian.PutUint32(lengths[4:], uint32(len(key)))
	sum := crc32.Checksum(lengths[:], castagnoli)
	sum = crc32.Update(sum, castagnoli, []byte(table))
	sum = crc32.Update(sum, castagnoli, key)
	return int64(crc32.Update(sum, castagnoli, cells))
}

func rowSumSQL(ctx sqlite3.Context, arg ...sqlite3.Value) {
	ctx.ResultInt64(RowSum(arg[0].Text(), arg[1].RawBlob(), arg[2].RawBlob()))
}

// checkRow reports a row that is not what was stored.
func checkRow(table string, key, cells []byte, sum int64) error {
	if RowSum(table, key, cells) == sum {
		return nil
	}
	return damagedRow(table, key, "its checksum is of other bytes")
}

func damagedRow(table string, key []byte, why string) error {
	return errcode.New(errcode.Damaged, "server: read row",
		fmt.Sprintf("the row of table %q with key %x is damaged: %s", table, key, why))
}

// isDamage reports whether SQLite has met damage in a file.
func isDamage(err error) bool {
	return errors.Is(err, sqlite3.CORRUPT) || errors.Is(err, sqlite3.NOTADB) || errors.Is(err, sqlite3.IOERR_DATA)
}

// row returns the encoded cells of a row of the folded state, nil if there is
// none.
func (c *conn) row(table string, key []byte) (cells []byte, err error) {
	err = c.run(`SELECT cells, sum FROM row WHERE tbl = ? AND key = ?`, func(s *sqlite3.Stmt) error {
		cells = blob(s, 0)
		return checkRow(table, key, cells, s.ColumnInt64(1))
	}, table, key)
	return cells, err
}

// putRow stores a row of the folded state.
func (c *conn) putRow(table string, key, cells []byte) error {
	return c.run(`INSERT INTO row VALUES (?, ?, ?, ?)
		ON CONFLICT DO UPDATE SET cells = excluded.cells, sum = excluded.sum`, nil,
		table, key, cells, RowSum(table, key, cells))
}
