package wire

import (
	"bufio"
	"bytes"
	"errors"
	"io"

	"google.golang.org/protobuf/encoding/protowire"

	"heddle.dev/heddle/internal/errcode"
)

// AppendFrame appends f as it stands in a stream: its length as a varint, then
// its encoding.
func AppendFrame(b []byte, f *Frame) []byte {
	return protowire.AppendBytes(b, f.Marshal())
}

// FrameReader reads a pull stream.
type FrameReader struct {
	r *bufio.Reader
}

// NewFrameReader returns a reader of r's frames. It reads ahead.
func NewFrameReader(r io.Reader) *FrameReader {
	return &FrameReader{r: bufio.NewReaderSize(r, 64<<10)}
}

// Next returns the next frame, which owns its memory. At the stream's end the
// error is io.EOF between frames and io.ErrUnexpectedEOF inside one; r's own
// errors come as they are; what does not decode is HEDDLE_PROTOCOL.
func (f *FrameReader) Next() (*Frame, error) {
	n, err := f.length()
	if err != nil {
		return nil, err
	}
	// The length is only believed as far as bytes arrive.
	var buf bytes.Buffer
	buf.Grow(int(min(n, 256<<10)))
	if _, err := io.CopyN(&buf, f.r, int64(n)); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return UnmarshalFrame(buf.Bytes())
}

func (f *FrameReader) length() (uint64, error) {
	var n uint64
	for shift := 0; ; shift += 7 {
		c, err := f.r.ReadByte()
		if err != nil {
			if err == io.EOF && shift > 0 {
				err = io.ErrUnexpectedEOF
			}
			return 0, err
		}
		n |= uint64(c&0x7f) << shift
		if c < 0x80 {
			break
		}
		if shift >= 28 {
			n = MaxFrame + 1
			break
		}
	}
	if n > MaxFrame {
		return 0, errcode.New(errcode.Protocol, "wire: read frame", "a frame is too long")
	}
	return n, nil
}
