package sqlitestore

import (
	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/sync/logstore"
)

// What keeps damage of a file from being served:
//
//   - Each page carries a checksum, which SQLite's VFS verifies when it reads the
//     page: https://sqlite.org/cksumvfs.html. It finds what the disk changed. It is
//     written by a checkpoint, and another program's SQLite does not write it: beside
//     such a program files are made without them (Options.Bare).
//   - Each row of the folded state carries a sum of its own ([logstore.RowSum]),
//     verified whenever the row is read: before it is folded onto, and before it goes
//     into a snapshot. It finds what was changed before a page got its checksum.
//   - Each body of the log is bound by its hash and the chain.

// checksumSize is the room for a page's checksum in bytes.
const checksumSize = 8

func rowSumSQL(ctx sqlite3.Context, arg ...sqlite3.Value) {
	ctx.ResultInt64(logstore.RowSum(arg[0].Text(), arg[1].RawBlob(), arg[2].RawBlob()))
}
