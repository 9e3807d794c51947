package logstore

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"heddle.dev/heddle/internal/errcode"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// RowSum is what a store keeps beside a row of the folded state, to see that it is
// what was written: the CRC-32C of the table's name, the encoded key and the encoded
// cells, after the lengths of the first two.
func RowSum(table string, key, cells []byte) int64 {
	var lengths [8]byte
	binary.LittleEndian.PutUint32(lengths[:], uint32(len(table)))
	binary.LittleEndian.PutUint32(lengths[4:], uint32(len(key)))
	sum := crc32.Checksum(lengths[:], castagnoli)
	sum = crc32.Update(sum, castagnoli, []byte(table))
	sum = crc32.Update(sum, castagnoli, key)
	return int64(crc32.Update(sum, castagnoli, cells))
}

// CheckRow returns HEDDLE_DAMAGED for a row that is not what was stored.
func CheckRow(table string, key, cells []byte, sum int64) error {
	if RowSum(table, key, cells) == sum {
		return nil
	}
	return errcode.New(errcode.Damaged, "logstore: read row",
		fmt.Sprintf("the row of table %q with key %x is damaged: its checksum is of other bytes", table, key))
}
