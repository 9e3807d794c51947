package server

import (
	"sync"

	"heddle.dev/heddle/sync/wire"
)

// tail holds the log's newest entries as they stand in a stream. A commit wakes
// every device that follows the space: the first one reads and encodes what is
// new, and the others send the same bytes.
type tail struct {
	mu       sync.Mutex
	seq      uint64      // of the last frame
	frames   []tailFrame // of the entries up to seq, the newest last
	caughtUp []byte      // the frame that says so at seq
	newest   []byte      // the last frame and caughtUp
}

// tailFrame is an entry's frame.
type tailFrame struct {
	author wire.ClientID
	data   []byte // nil for an entry that is too large to be kept
}

const (
	tailEntries = 8        // how many are kept: more are sent in a frame of several
	tailBytes   = 32 << 10 // and how large each may be
)

// news returns the frames that a stream which has sent the log up to after sends
// next, to its end, and where that is. It returns nil for a stream that is to read
// the log itself: it is far behind, or an entry is its reader's own, whose body it
// does not get.
func (sp *space) news(after uint64, reader wire.ClientID) (data []byte, seq uint64) {
	t := &sp.tail
	t.mu.Lock()
	defer t.mu.Unlock()
	head := sp.currentHead().seq
	if head-after > tailEntries || head > t.seq && t.fill(sp, head) != nil ||
		t.seq-after > uint64(len(t.frames)) || t.seq <= after {
		return nil, 0
	}
	frames := t.frames[len(t.frames)-int(t.seq-after):]
	for i := range frames {
		if frames[i].data == nil || frames[i].author == reader {
			return nil, 0
		}
	}
	if len(frames) == 1 {
		return t.newest, t.seq
	}
	for i := range frames {
		data = append(data, frames[i].data...)
	}
	return append(data, t.caughtUp...), t.seq
}

// fill reads what has come after the last frame.
func (t *tail) fill(sp *space, head uint64) error {
	after := max(t.seq, head-min(head, tailEntries))
	if after != t.seq {
		t.frames = nil
	}
	entries, err := sp.entries(after, head, wire.ClientID{}, tailBytes)
	if err != nil {
		return err
	}
	last := entries[len(entries)-1].Seq
	d, err := sp.digestAt(last)
	if err != nil {
		return err
	}
	frames := t.frames
	for i := range entries {
		f := tailFrame{author: entries[i].Client}
		if entries[i].Outcome != "" || entries[i].Body != nil {
			f.data = wire.AppendFrame(nil, &wire.Frame{Entries: entries[i : i+1]})
		}
		frames = append(frames, f)
	}
	t.frames = append([]tailFrame(nil), frames[max(0, len(frames)-tailEntries):]...)
	t.seq = last
	t.caughtUp = wire.AppendFrame(nil, &wire.Frame{CaughtUp: &wire.CaughtUp{Seq: last, Digest: d.Digest}})
	newest := t.frames[len(t.frames)-1].data
	t.newest = append(newest[:len(newest):len(newest)], t.caughtUp...)
	return nil
}
