package atrest

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/crypto/blake2b"

	"heddle.dev/heddle/internal/opfs"
)

// A Recoding encrypts the plain files of a database in place, or makes encrypted
// ones plain. A part of a file is written to the journal, as plain bytes, before
// it is written in place: a run that was cut off is finished by the next one, with
// the same fields. Until then no file may be used.
type Recoding struct {
	Dir     opfs.Directory
	Key     Key
	Bulk    Bulk     // may be nil
	Encrypt bool     // else decrypt
	Files   []string // in which order they are taken; there need not be all
	Journal string   // a file of its own, empty before the first run
	Step    func()   // called after each part; may be nil

	journal opfs.Handle
	part    int // bytes of a part, whole blocks
}

// The journal has two places for a record, which are written in turn.
const (
	recordPlace  = 2 << 20
	recordHeader = 32 + blake2b.Size256 // seq, file, len(data), off, size; sum
)

// A record is a part of a file before it is written in place.
type record struct {
	seq  uint64
	file int
	off  int64
	size int64 // of the whole file
	data []byte
}

// Run does it. The error of a browser that has no space leaves the files to the
// next run.
func (r *Recoding) Run() (err error) {
	if r.part == 0 {
		r.part = maxPart
	}
	if r.journal, err = r.Dir.Open(r.Journal); err != nil {
		return err
	}
	defer r.journal.Close()
	at, err := r.last()
	if err != nil {
		return err
	}
	if at == nil {
		at = &record{size: unknown}
	} else if err := r.apply(at); err != nil {
		return err
	}
	at.off += int64(len(at.data))
	for at.file < len(r.Files) {
		if at.size == unknown {
			if at.size, err = r.sizeOf(at.file); err != nil {
				return err
			}
		}
		if at.off == at.size {
			at.file, at.off, at.size = at.file+1, 0, unknown
			continue
		}
		at.seq++
		if err := r.next(at); err != nil {
			return fmt.Errorf("atrest: recoding %s: %w", r.Files[at.file], err)
		}
		at.off += int64(len(at.data))
		if r.Step != nil {
			r.Step()
		}
	}
	return nil
}

// next reads the part at at.off, notes it, and writes it in place.
func (r *Recoding) next(at *record) error {
	n := min(int64(r.part), at.size-at.off)
	at.data = append(at.data[:0], make([]byte, n)...)
	h, err := r.open(at.file)
	if err != nil {
		return err
	}
	if err := readFull(h, at.data, at.off); err != nil {
		return err
	}
	if err := writeFull(r.journal, at.encode(), int64(at.seq%2)*recordPlace); err != nil {
		return err
	}
	if err := r.journal.Flush(); err != nil {
		return err
	}
	return r.apply(at)
}

// open returns a file as it was before.
func (r *Recoding) open(file int) (opfs.Handle, error) {
	if r.Encrypt {
		return r.Dir.Open(r.Files[file])
	}
	h, err := r.Dir.Open(r.Files[file])
	if err != nil {
		return nil, err
	}
	return beforeDecrypting{h, newCipher(r.Key, r.Bulk, kindOf(r.Files[file]))}, nil
}

// beforeDecrypting reads whole blocks of a file of which those before are plain.
type beforeDecrypting struct {
	opfs.Handle
	cipher cipher
}

func (h beforeDecrypting) ReadAt(p []byte, off int64) (int, error) {
	whole := make([]byte, blocks(int64(len(p)))*BlockSize)
	if err := readFull(h.Handle, whole, off); err != nil {
		return 0, err
	}
	h.cipher.open(whole, off/BlockSize)
	return copy(p, whole), nil
}

// sizeOf is the plain length of a file that is as it was before.
func (r *Recoding) sizeOf(file int) (int64, error) {
	h, err := r.Dir.Open(r.Files[file])
	if err != nil {
		return 0, err
	}
	if r.Encrypt {
		return h.Size()
	}
	return newHandle(h, newCipher(r.Key, r.Bulk, kindOf(r.Files[file]))).known()
}

// apply writes a part in place, and flushes it. Doing so twice does no harm.
func (r *Recoding) apply(at *record) error {
	name := r.Files[at.file]
	h, err := r.Dir.Open(name)
	if err != nil {
		return err
	}
	end := at.off + int64(len(at.data))
	part := at.data
	if r.Encrypt {
		c := newCipher(r.Key, r.Bulk, kindOf(name))
		part = make([]byte, blocks(int64(len(at.data)))*BlockSize, len(at.data)+BlockSize+markSize)
		copy(part, at.data)
		c.seal(part, at.off/BlockSize)
		if used := end % BlockSize; used > 0 {
			m := c.mark(end/BlockSize, int(used))
			part = append(part, m[:]...)
		}
	}
	if err := writeFull(h, part, at.off); err != nil {
		return err
	}
	if !r.Encrypt && end == at.size {
		if err := h.Truncate(end); err != nil {
			return err
		}
	}
	return h.Flush()
}

// encode is the record as bytes.
func (at *record) encode() []byte {
	p := make([]byte, recordHeader, recordHeader+len(at.data))
	binary.LittleEndian.PutUint64(p, at.seq)
	binary.LittleEndian.PutUint32(p[8:], uint32(at.file))
	binary.LittleEndian.PutUint32(p[12:], uint32(len(at.data)))
	binary.LittleEndian.PutUint64(p[16:], uint64(at.off))
	binary.LittleEndian.PutUint64(p[24:], uint64(at.size))
	p = append(p, at.data...)
	sum := recordSum(p)
	copy(p[32:], sum[:])
	return p
}

// recordSum is over all of a record but the sum.
func recordSum(p []byte) [blake2b.Size256]byte {
	return blake2b.Sum256(append(append(make([]byte, 0, len(p)), p[:32]...), p[recordHeader:]...))
}

// last returns the newest record that is whole, nil where there is none.
func (r *Recoding) last() (*record, error) {
	size, err := r.journal.Size()
	if err != nil {
		return nil, err
	}
	var newest *record
	for place := int64(0); place <= recordPlace; place += recordPlace {
		if size < place+recordHeader {
			continue
		}
		head := make([]byte, recordHeader)
		if err := readFull(r.journal, head, place); err != nil {
			return nil, err
		}
		n := int64(binary.LittleEndian.Uint32(head[12:]))
		file := int64(binary.LittleEndian.Uint32(head[8:]))
		if n > maxPart || file >= int64(len(r.Files)) || place+recordHeader+n > size {
			continue
		}
		whole := make([]byte, recordHeader+n)
		if err := readFull(r.journal, whole, place); err != nil {
			return nil, err
		}
		if recordSum(whole) != [blake2b.Size256]byte(whole[32:]) {
			continue // it was being written when the run was cut off
		}
		at := &record{seq: binary.LittleEndian.Uint64(head), file: int(file), data: whole[recordHeader:],
			off: int64(binary.LittleEndian.Uint64(head[16:])), size: int64(binary.LittleEndian.Uint64(head[24:]))}
		if newest == nil || at.seq > newest.seq {
			newest = at
		}
	}
	return newest, nil
}
