package atrest

import (
	"fmt"

	"heddle.dev/heddle/internal/opfs"
)

const unknown = -1

// A handle encrypts what passes to the one below. It is used by one goroutine at
// a time, and nobody else writes to the file.
type handle struct {
	below  opfs.Handle
	cipher cipher

	size   int64 // of the plain file; unknown: ask the handle below
	marked bool  // the file below ends with a mark; known where size is

	// kept are the blocks that were written or read in part last: the next append
	// begins in the one, the next frame of a log in the other.
	kept [2]plainBlock
	next int // the one of kept to give up
	// torn are blocks of which a failed write may have left anything: as they were
	// before it.
	torn map[int64]*[BlockSize]byte

	// What a write uses, so that it allocates nothing.
	part []byte
	old  [2]plainBlock // the first and the last block as they were, if it writes a part of them
}

var _ opfs.Handle = &handle{}

// A plainBlock is a copy of a block's plain bytes.
type plainBlock struct {
	number int64 // unknown: of none
	bytes  *[BlockSize]byte
}

func newHandle(below opfs.Handle, c cipher) *handle {
	none := plainBlock{number: unknown}
	return &handle{below: below, cipher: c, size: unknown, kept: [2]plainBlock{none, none},
		old: [2]plainBlock{none, none}}
}

func (b *plainBlock) of(number int64) *[BlockSize]byte {
	if b.bytes == nil {
		b.bytes = new([BlockSize]byte)
	}
	b.number = number
	return b.bytes
}

// blocks is how many blocks hold size bytes.
func blocks(size int64) int64 { return (size + BlockSize - 1) / BlockSize }

// Size implements opfs.Handle.
func (h *handle) Size() (int64, error) {
	if h.size >= 0 {
		return h.size, nil
	}
	below, err := h.below.Size()
	if err != nil || below < 0 {
		return below, err
	}
	n := below / BlockSize
	size, marked := n*BlockSize, false
	if n > 0 && below%BlockSize == markSize {
		var m [markSize]byte
		if err := h.read(m[:], size); err != nil {
			return 0, err
		}
		if used, ok := h.cipher.used(m, n-1); ok {
			size, marked = size-BlockSize+int64(used), true
		}
	}
	h.size, h.marked = size, marked
	return size, nil
}

func readFull(h opfs.Handle, p []byte, off int64) error {
	n, err := h.ReadAt(p, off)
	if err == nil && n != len(p) {
		err = fmt.Errorf("atrest: read: the browser gave %d bytes of %d", n, len(p))
	}
	return err
}

// known is Size where a size is needed, and not whatever the browser says.
func (h *handle) known() (int64, error) {
	size, err := h.Size()
	if err == nil && size < 0 {
		err = fmt.Errorf("atrest: the browser says that the file has %d bytes", size)
	}
	if err != nil {
		return 0, fmt.Errorf("%w: %w", opfs.ErrRead, err)
	}
	return size, nil
}

// ReadAt implements opfs.Handle.
func (h *handle) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return h.below.ReadAt(p, off) // it says what is wrong
	}
	size, err := h.known()
	if err != nil {
		return 0, err
	}
	p = p[:min(int64(len(p)), max(0, size-off))]
	for done := 0; done < len(p); {
		rest, at := p[done:], off+int64(done)
		number, from := at/BlockSize, int(at%BlockSize)
		if whole := len(rest) / BlockSize * BlockSize; from == 0 && whole > 0 && len(h.torn) == 0 {
			if err := h.read(rest[:whole], at); err != nil {
				return 0, err
			}
			h.cipher.open(rest[:whole], number)
			done += whole
			continue
		}
		b, err := h.block(number)
		if err != nil {
			return 0, err
		}
		done += copy(rest, b[from:])
	}
	return len(p), nil
}

// read fills p from the file below.
func (h *handle) read(p []byte, off int64) error {
	if err := readFull(h.below, p, off); err != nil {
		return fmt.Errorf("%w: %w", opfs.ErrRead, err)
	}
	return nil
}

// block returns the plain bytes of a block that the file has: not to be changed,
// and good until the next call.
func (h *handle) block(number int64) (*[BlockSize]byte, error) {
	if b := h.torn[number]; b != nil {
		return b, nil
	}
	for _, k := range h.kept {
		if k.number == number {
			return k.bytes, nil
		}
	}
	b := h.keep(number)
	if err := h.read(b[:], number*BlockSize); err != nil {
		h.forget(number, number)
		return nil, err
	}
	h.cipher.open(b[:], number)
	return b, nil
}

// keep makes room for the plain bytes of a block.
func (h *handle) keep(number int64) *[BlockSize]byte {
	k := &h.kept[h.next]
	h.next = (h.next + 1) % len(h.kept)
	return k.of(number)
}

// forget drops what is kept of the blocks from first to last.
func (h *handle) forget(first, last int64) {
	for i := range h.kept {
		if k := &h.kept[i]; first <= k.number && k.number <= last {
			k.number = unknown
		}
	}
}

// Truncate implements opfs.Handle.
func (h *handle) Truncate(size int64) error {
	if size < 0 {
		return h.below.Truncate(size) // it says what is wrong
	}
	now, err := h.known()
	switch {
	case err != nil || size == now:
		return err
	case size > now:
		_, err := h.WriteAt([]byte{0}, size-1)
		return err
	}
	n := blocks(size)
	below := n * BlockSize
	var part []byte
	if used := size % BlockSize; used > 0 {
		below += markSize // now: where there is no more space, the mark lies where the file was
		b, err := h.block(n - 1)
		if err != nil {
			return err
		}
		h.old[0].of(n - 1)
		*h.old[0].bytes = *b
		part = h.room(BlockSize)
		clear(part[copy(part, b[:used]):])
		h.cipher.seal(part, n-1)
		m := h.cipher.mark(n-1, int(used))
		part = append(part, m[:]...)
	}
	h.size = unknown
	if err := h.below.Truncate(below); err != nil {
		return err
	}
	if part == nil {
		h.cut(n)
		return nil
	}
	// Behind a truncation that did nothing, the mark would lie inside the file.
	if got, err := h.below.Size(); err != nil || got != below {
		return err // the caller asks for the size
	}
	h.cut(n - 1)
	if err := writeFull(h.below, part, (n-1)*BlockSize); err != nil {
		h.tear(&h.old[0])
		return err
	}
	return nil
}

// cut drops what is known of the blocks from n on.
func (h *handle) cut(n int64) {
	h.forget(n, 1<<62)
	for number := range h.torn {
		if number >= n {
			delete(h.torn, number)
		}
	}
}

// Flush implements opfs.Handle.
func (h *handle) Flush() error {
	if err := h.mend(); err != nil {
		return err
	}
	return h.below.Flush()
}

// Close implements opfs.Handle.
func (h *handle) Close() error { return h.below.Close() }
