package rpc

import "encoding/binary"

// Kind says what a reply is.
type Kind uint8

// The kinds of replies.
const (
	KindResult Kind = 0 // the last message for its id
	KindError  Kind = 1 // the last message for its id
	KindChunk  Kind = 2 // more follow
	KindEvent  Kind = 3
)

// Event says what an event tells.
type Event uint8

// Reply begins a reply: append its payload.
func Reply(id uint32, kind Kind) []byte {
	w := Writer{b: make([]byte, 0, 32)}
	w.U32(id)
	w.U8(uint8(kind))
	return w.b
}

func event(id uint32, e Event) *Writer {
	w := &Writer{b: Reply(id, KindEvent)}
	w.U8(uint8(e))
	return w
}

// ReplyError is the whole error reply.
func ReplyError(id uint32, err error) []byte {
	w := Writer{b: Reply(id, KindError)}
	w.Fault(err)
	return w.b
}

// ReplyResult is the reply of exec. Where the statement returns rows, a block
// follows.
func ReplyResult(id uint32, v Result) []byte {
	w := Writer{b: Reply(id, KindResult)}
	w.Result(v)
	return w.b
}

// SetResult sets the result at the beginning of a reply that ReplyResult has begun.
func SetResult(reply []byte, v Result) {
	w := Writer{b: reply[:5]}
	w.Result(v)
}

// ReplyResults is the whole reply of batch.
func ReplyResults(id uint32, list []Result) []byte {
	w := Writer{b: Reply(id, KindResult)}
	w.Results(list)
	return w.b
}

// WithoutID is a reply that can be kept for a later request.
func WithoutID(reply []byte) []byte { return reply[4:] }

// WithID makes of such a reply the one to request id.
func WithID(id uint32, kept []byte) []byte {
	return append(binary.LittleEndian.AppendUint32(make([]byte, 0, 4+len(kept)), id), kept...)
}

// ResultOf reads a reply without its id, if it is one that ReplyResult makes.
func ResultOf(reply []byte) (Result, bool) {
	if len(reply) != 17 || Kind(reply[0]) != KindResult {
		return Result{}, false
	}
	r := Reader{b: reply, at: 1}
	return readResult(&r), true
}
