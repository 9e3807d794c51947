// Package atrest encrypts the files of an opfs.Directory: a Directory over a
// Directory, below the gathering of runs and below SQLite's page checksums.
//
// # Format
//
// A file is a row of blocks of [BlockSize] bytes, each at the place that its
// plain bytes have. A block is encrypted with Adiantum (XChaCha12, AES-256), whose
// tweak is 16 bytes: the kind of the file (1 database, 2 log, 3 journal), seven
// zeros, and the number of the block as a little-endian uint64. The last block
// is filled up with zeros.
//
// A file whose length is no multiple of BlockSize ends with a mark of 16 bytes
// behind its last block: the number of bytes of that block that count, as a
// little-endian uint32, and twelve zeros, encrypted with the block's tweak whose
// kind has 128 added. A file that ends in anything else ends with its last whole
// block.
//
// Adiantum is a wide-block cipher (https://tosc.iacr.org/index.php/ToSC/article/view/7360):
// whatever is changed in a block, or put in another place, makes every byte of
// the block random, so a page's checksum finds it. An older block at its own
// place is not found, and who sees two states of the disk sees which blocks
// differ. https://github.com/google/adiantum has the specification.
//
// # Loss of power
//
// A block is a sector of the VFS ([opfs.SectorSize]), and no block is written but
// for a write into it. So a torn write damages what it may damage in a plain
// file, and SQLite needs to know nothing of the encryption. The length is in a
// mark of its own for the same reason: a file that grows past its last block
// leaves that block as it is.
package atrest

import (
	"context"
	"encoding/binary"
	"strings"

	"heddle.dev/heddle/internal/opfs"
)

const (
	// BlockSize is what is encrypted as one, in bytes.
	BlockSize = opfs.SectorSize
	// KeySize is the length of a key, in bytes.
	KeySize = 32

	markSize = 16
	// maxPart bounds what is encrypted before it is written.
	maxPart = 1 << 20
)

// A Key encrypts the files of one database.
type Key [KeySize]byte

// Directory is an opfs.Directory whose files are encrypted in the one below.
type Directory struct {
	below opfs.Directory
	key   Key
	bulk  Bulk
}

var _ opfs.Checker = &Directory{}

// New makes a Directory that keeps its files in below, encrypted. bulk may be nil.
func New(below opfs.Directory, key Key, bulk Bulk) *Directory { return &Directory{below, key, bulk} }

// Open implements opfs.Directory.
func (d *Directory) Open(name string) (opfs.Handle, error) {
	h, err := d.below.Open(name)
	if err != nil {
		return nil, err
	}
	return newHandle(h, newCipher(d.key, d.bulk, kindOf(name))), nil
}

// Remove implements opfs.Directory.
func (d *Directory) Remove(name string) error { return d.below.Remove(name) }

// Exists implements opfs.Directory. A file that holds less than a block exists,
// and reads as an empty one.
func (d *Directory) Exists(name string) (bool, error) { return d.below.Exists(name) }

// Check implements opfs.Checker, where the directory below does.
func (d *Directory) Check(ctx context.Context) error {
	if c, ok := d.below.(opfs.Checker); ok {
		return c.Check(ctx)
	}
	return nil
}

// A kind of file keeps the blocks of one from being those of another.
type kind byte

const (
	database kind = 1 + iota
	log
	journal

	ofMark kind = 128 // added to a kind
)

func kindOf(name string) kind {
	switch {
	case strings.HasSuffix(name, "-wal"):
		return log
	case strings.HasSuffix(name, "-journal"), strings.Contains(name, "-mj"):
		return journal
	}
	return database
}

// A cipher encrypts the blocks of one file. One goroutine uses it at a time.
type cipher struct {
	adiantum *adiantum
	kind     kind
}

func newCipher(key Key, bulk Bulk, k kind) cipher { return cipher{newAdiantum(key, bulk), k} }

func tweak(k kind, number int64) (t [16]byte) {
	t[0] = byte(k)
	binary.LittleEndian.PutUint64(t[8:], uint64(number))
	return t
}

// seal encrypts whole blocks in place; first is the number of the first.
func (c cipher) seal(blocks []byte, first int64) {
	for ; len(blocks) > 0; blocks = blocks[BlockSize:] {
		c.adiantum.encrypt(blocks[:BlockSize:BlockSize], tweak(c.kind, first))
		first++
	}
}

// open decrypts them.
func (c cipher) open(blocks []byte, first int64) {
	for ; len(blocks) > 0; blocks = blocks[BlockSize:] {
		c.adiantum.decrypt(blocks[:BlockSize:BlockSize], tweak(c.kind, first))
		first++
	}
}

// mark says that used bytes of the last block, of that number, count.
func (c cipher) mark(number int64, used int) (m [markSize]byte) {
	binary.LittleEndian.PutUint32(m[:], uint32(used))
	c.adiantum.encrypt(m[:], tweak(c.kind+ofMark, number))
	return m
}

// used is what a mark says, and whether it is one for that block.
func (c cipher) used(m [markSize]byte, number int64) (int, bool) {
	c.adiantum.decrypt(m[:], tweak(c.kind+ofMark, number))
	used := binary.LittleEndian.Uint32(m[:])
	return int(used), used > 0 && used <= BlockSize && [12]byte(m[4:]) == [12]byte{}
}
