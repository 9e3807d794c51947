package sqlitestore

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/internal/errcode"
)

// What keeps damage of a file from being served:
//
//   - Each page carries a checksum, which SQLite's VFS verifies when it reads the
//     page: https://sqlite.org/cksumvfs.html. It finds what the disk changed. It is
//     written by a checkpoint, and another program's SQLite does not write it: beside
//     such a program files are made without them (Options.Bare).
//   - Each row of the folded state carries a sum of its own, verified whenever
//     the row is read: before it is folded onto, and before it goes into a
//     snapshot. It finds what was changed before a page got its checksum.
//   - Each body of the log is bound by its hash and the chain.

// checksumSize is the room for a page's checksum in bytes.
const checksumSize = 8

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// RowSum is what a file keeps beside a row of the folded state: the CRC-32C of the
// table's name, the encoded key and the encoded cells, after the lengths of the
// first two.
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
	return errcode.New(errcode.Damaged, "sqlitestore: read row",
		fmt.Sprintf("the row of table %q with key %x is damaged: its checksum is of other bytes", table, key))
}
