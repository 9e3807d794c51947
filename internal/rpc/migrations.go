package rpc

import (
	"encoding/binary"
	"hash/fnv"
	"strings"
)

// HashMigrations tells lists of migrations apart: 32-bit FNV-1a over the length in
// bytes, a u32, and the text of each, without white space around it.
// https://datatracker.ietf.org/doc/html/draft-eastlake-fnv
func HashMigrations(migrations []string) uint32 {
	h := fnv.New32a()
	for _, sql := range migrations {
		sql = strings.Trim(sql, " \t\r\n")
		h.Write(binary.LittleEndian.AppendUint32(nil, uint32(len(sql))))
		h.Write([]byte(sql))
	}
	return h.Sum32()
}
