// Package dbfile is the SQLite file format for files that are handled as bytes: the
// header, the size of pages, and their checksums.
//
// A file whose pages leave eight bytes free carries a checksum in them: the scheme
// of SQLite's checksum VFS, which go-sqlite3 implements for the files that it reads
// and writes.
//
// https://sqlite.org/cksumvfs.html, https://sqlite.org/fileformat2.html section 1.3
package dbfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"

	"heddle.dev/heddle/internal/errcode"

	"github.com/ncruces/go-sqlite3"
)

const (
	HeaderSize   = 100
	ChecksumSize = 8         // what a page leaves free for one
	Chunk        = 256 << 10 // a size of parts that whole pages fill, whatever their size

	magic = "SQLite format 3\x00"
)

// HasMagic reports whether a file's first bytes are those of a database.
func HasMagic(header []byte) bool { return bytes.HasPrefix(header, []byte(magic)) }

// PageSize returns the page size that a header states, 0 for a wrong one.
func PageSize(header []byte) int {
	n := int(binary.BigEndian.Uint16(header[16:]))
	if n == 1 {
		n = 1 << 16
	}
	if n < 512 || n&(n-1) != 0 {
		return 0
	}
	return n
}

// Checksummed reports whether the file of that header has checksums.
func Checksummed(header []byte) bool { return header[20] == 8 }

func checksum(page []byte) (sum [8]byte) {
	var s1, s2 uint32
	for p := page[:len(page)-8]; len(p) >= 8; p = p[8:] {
		s1 += binary.LittleEndian.Uint32(p) + s2
		s2 += binary.LittleEndian.Uint32(p[4:]) + s1
	}
	binary.LittleEndian.PutUint32(sum[:], s1)
	binary.LittleEndian.PutUint32(sum[4:], s2)
	return sum
}

// Intact reports whether a page matches its checksum.
func Intact(page []byte) bool { return checksum(page) == [8]byte(page[len(page)-8:]) }

// Seal gives the pages of a copied file their checksums: those that came out of
// the log have none, and those of the file may not fit the copy.
func Seal(pages []byte, size int) {
	for ; len(pages) >= size; pages = pages[size:] {
		sum := checksum(pages[:size])
		copy(pages[size-8:], sum[:])
	}
}

// A File is read and written as bytes.
type File interface {
	io.ReaderAt
	io.WriterAt
}

// SealFile gives every page of a file its checksum: SQLite writes those first
// that its cache has no room for, when the header does not yet say that there
// are any.
func SealFile(f File) error {
	part := make([]byte, Chunk)
	page := 0
	for at := int64(0); ; {
		n, err := f.ReadAt(part, at)
		if err != nil && err != io.EOF {
			return err
		}
		if page == 0 {
			if page = PageSize(part[:max(n, HeaderSize)]); page == 0 {
				return sqlite3.CORRUPT
			}
		}
		if n == 0 {
			return nil
		}
		Seal(part[:n], page)
		if m, err := f.WriteAt(part[:n], at); err != nil || m != n {
			return errors.Join(sqlite3.FULL, err)
		}
		at += int64(n)
	}
}

// RollbackMode makes a file's first page say that it is not in WAL mode, so that
// any SQLite opens it without making further files. The page must be whole.
//
// https://sqlite.org/fileformat2.html section 1.3.3
func RollbackMode(first []byte) error {
	if len(first) < HeaderSize || string(first[:len(magic)]) != magic {
		return errcode.New("SQLITE_NOTADB", "store: file", "the bytes are not an SQLite database")
	}
	n := PageSize(first)
	if n == 0 || len(first) < n {
		return errcode.New("SQLITE_NOTADB", "store: file", "the bytes are not a whole SQLite database")
	}
	page := first[:n]
	if Checksummed(page) && !Intact(page) {
		return errcode.New("SQLITE_CORRUPT", "store: file",
			"the file's first page is damaged: its checksum is of other bytes")
	}
	if page[18] == 2 && page[19] == 2 {
		page[18], page[19] = 1, 1
		if Checksummed(page) {
			sum := checksum(page)
			copy(page[n-8:], sum[:])
		}
	}
	return nil
}
