package atrest

import (
	"fmt"

	"heddle.dev/heddle/internal/opfs"
)

// WriteAt implements opfs.Handle. The count that it returns beside an error says
// nothing of how much was written.
func (h *handle) WriteAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return h.below.WriteAt(p, off) // it says what is wrong
	}
	size, err := h.known()
	if err != nil {
		return 0, err
	}
	// The blocks of a gap are written too: zeros that nobody encrypted read as anything.
	for at, end := blocks(size)*BlockSize, off/BlockSize*BlockSize; at < end; {
		n := min(maxPart, end-at)
		if err := h.write(nil, at, n); err != nil {
			return 0, err
		}
		at += n
	}
	for rest := p; len(rest) > 0; {
		n := min(int64(len(rest)), maxPart-off%BlockSize)
		if err := h.write(rest[:n], off, n); err != nil {
			return 0, err
		}
		rest, off = rest[n:], off+n
	}
	return len(p), nil
}

// write writes n bytes, p and then zeros, in one call: at most maxPart with what
// lies before them in their block. The size is known, and there is no gap.
func (h *handle) write(p []byte, off, n int64) error {
	there, end := blocks(h.size), off+n
	first, last := off/BlockSize, (end-1)/BlockSize
	part := h.room(int(last-first+1) * BlockSize)
	clear(part[:BlockSize])
	clear(part[len(part)-BlockSize:])
	h.old[0].number, h.old[1].number = unknown, unknown
	if first < there && (off%BlockSize > 0 || end < (first+1)*BlockSize) {
		if err := h.take(part, first, &h.old[0]); err != nil {
			return err
		}
	}
	if inPart := end%BlockSize > 0; inPart && first < last && last < there {
		if err := h.take(part[(last-first)*BlockSize:], last, &h.old[1]); err != nil {
			return err
		}
	}
	at := part[off-first*BlockSize:][:n]
	clear(at[copy(at, p):])
	h.forget(first, last)
	if end%BlockSize > 0 {
		copy(h.keep(last)[:], part[len(part)-BlockSize:])
	}
	h.cipher.seal(part, first)
	size, marked := max(h.size, end), h.marked
	if size > h.size {
		// A mark goes with the block that it follows, or is written over.
		marked = size%BlockSize > 0 || marked && blocks(size) == there
		if marked {
			m := h.cipher.mark(last, int(size-last*BlockSize))
			part = append(part, m[:]...)
		}
	}
	h.size = unknown
	if err := writeFull(h.below, part, first*BlockSize); err != nil {
		h.forget(first, last)
		h.tear(&h.old[0])
		h.tear(&h.old[1])
		_ = h.mend() // else Flush does, or says that it cannot
		return err
	}
	for number := first; len(h.torn) > 0 && number <= last; number++ {
		delete(h.torn, number)
	}
	h.size, h.marked = size, marked
	return nil
}

// take copies a block that is written in part, into part and into old.
func (h *handle) take(part []byte, number int64, old *plainBlock) error {
	b, err := h.block(number)
	if err != nil {
		return err
	}
	copy(part, b[:])
	*old.of(number) = *b
	return nil
}

func writeFull(h opfs.Handle, p []byte, off int64) error {
	n, err := h.WriteAt(p, off)
	if err == nil && n != len(p) {
		err = fmt.Errorf("atrest: write: the browser took %d bytes of %d", n, len(p))
	}
	return err
}

// tear notes a block that a failed write may have damaged: of a plain file, the
// bytes beside those that it wrote would be what they were.
func (h *handle) tear(old *plainBlock) {
	if old.number == unknown {
		return
	}
	if h.torn == nil {
		h.torn = map[int64]*[BlockSize]byte{}
	}
	h.torn[old.number] = old.bytes
	*old = plainBlock{number: unknown}
}

// mend writes the torn blocks as they were. Browsers write in place also where
// there is no room for more.
func (h *handle) mend() error {
	for number, b := range h.torn {
		part := h.room(BlockSize)
		copy(part, b[:])
		h.cipher.seal(part, number)
		if err := writeFull(h.below, part, number*BlockSize); err != nil {
			return err
		}
		delete(h.torn, number)
	}
	return nil
}

// room returns n bytes of anything, with room for a mark behind them.
func (h *handle) room(n int) []byte {
	if cap(h.part) < n+markSize {
		h.part = make([]byte, n, n+markSize)
	}
	h.part = h.part[:n]
	return h.part
}
