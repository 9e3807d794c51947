package natshints

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"

	"heddle.dev/heddle/sync/logstore"
	"heddle.dev/heddle/sync/wire"
)

// A message is a hint, and goes between servers of different versions. It has
//
//	seq     uvarint
//	length  uvarint, of the space's name
//	space   the name
//
// and, where it carries the commit,
//
//	epoch   16 bytes
//	chain   32 bytes: the chain hash before the first entry
//	frames  those of a stream: one of entries, one of CaughtUp
//
// The first three stay as they are in all versions. What follows them and is not
// understood is left out: the receiver reads the store.

// newsBytes is how large a message may be that carries a commit.
const newsBytes = 32 << 10

func marshal(h *logstore.Hint) []byte {
	b := binary.AppendUvarint(nil, h.Seq)
	b = binary.AppendUvarint(b, uint64(len(h.Space)))
	b = append(b, h.Space...)
	if h.News == nil || large(h.News.Entries) {
		return b
	}
	n, head := h.News, len(b)
	b = append(b, n.Base.Epoch[:]...)
	b = append(b, n.Base.Chain[:]...)
	b = wire.AppendFrame(b, &wire.Frame{Entries: n.Entries})
	b = wire.AppendFrame(b, &wire.Frame{CaughtUp: &wire.CaughtUp{Seq: n.Head().Seq, Digest: n.Digest}})
	if len(b) > newsBytes {
		return b[:head]
	}
	return b
}

// large spares the encoding of what is too large, or of nothing.
func large(entries []wire.Entry) bool {
	size := 0
	for i := range entries {
		size += len(entries[i].Body)
	}
	return size > newsBytes || len(entries) == 0
}

// unmarshal decodes a message; it is false for what is none. The hint shares data's
// memory, and its news is not proven yet.
func unmarshal(data []byte) (h logstore.Hint, ok bool) {
	seq, n := binary.Uvarint(data)
	if n <= 0 {
		return h, false
	}
	data = data[n:]
	length, n := binary.Uvarint(data)
	if n <= 0 || length == 0 || length > wire.MaxSpace || length > uint64(len(data)-n) {
		return h, false
	}
	h.Seq, h.Space = seq, string(data[n:n+int(length)])
	if news, err := unmarshalNews(data[n+int(length):]); err == nil && news.Head().Seq == seq {
		h.News = news
	}
	return h, true
}

var errNews = errors.New("natshints: this is no commit")

func unmarshalNews(data []byte) (*logstore.News, error) {
	n := &logstore.News{}
	r := bytes.NewReader(data)
	_, err1 := io.ReadFull(r, n.Base.Epoch[:])
	_, err2 := io.ReadFull(r, n.Base.Chain[:])
	frames := wire.NewFrameReader(r)
	entries, err3 := frames.Next()
	caughtUp, err4 := frames.Next()
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return nil, err
	}
	if n.Entries = entries.Entries; len(n.Entries) == 0 || n.Entries[0].Seq == 0 || caughtUp.CaughtUp == nil {
		return nil, errNews
	}
	n.Base.Seq, n.Digest = n.Entries[0].Seq-1, caughtUp.CaughtUp.Digest
	if caughtUp.CaughtUp.Seq != n.Head().Seq {
		return nil, errNews
	}
	return n, nil
}
