package rpc

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

// The events, as the package comment lists them.
const (
	EventLive      Event = 1
	EventLiveError Event = 2
	EventStatus    Event = 3
	EventProgress  Event = 4
	EventRejected  Event = 5
	EventConflict  Event = 6
	EventToken     Event = 7
	EventStorage   Event = 8
	EventRecovered Event = 9
)

// Status is where sync stands.
type Status struct {
	State   string // see client.State
	Seq     uint64
	Pending uint64
	Err     error  // the last error, nil if there is none
	Repairs uint64 // how often the digest was not the server's

	Polling    string // why the log is polled; "" where it is followed by a stream
	Incomplete bool   // the rows of the space have not all come yet
}

// Welcome is the reply to hello.
type Welcome struct {
	Version    uint16
	Leader     string
	Storage    string
	Migrations uint32 // applied to the database
	Commit     uint64 // number of the last commit
	Sync       bool   // whether the database syncs
	Status     Status
}

// Op is one operation of a transaction.
type Op struct {
	Kind    string // insert, update or delete
	Table   string
	Key     []Value
	Columns []string
	Cells   []Value  // one for each of Columns
	Joins   []string // one for each of Columns; none where all are "last"
}

// Transaction is a pending or refused transaction.
type Transaction struct {
	ID, Counter uint64
	Created     uint64 // Unix milliseconds
	Code        string // why it was refused, "" if it was not
	Message     string
	Ops         []Op
}

// Conflict is what the log has settled otherwise than somebody meant.
type Conflict struct {
	Counter          uint64
	Kind             string
	Key                     // its table is empty where it is of transactions, not of rows
	Code, Constraint string // of a row that its table cannot hold
}

// Quarantined is a row that its table cannot hold.
type Quarantined struct {
	Key
	Code, Constraint string
	Columns          []string
	Cells            []Value // one for each of Columns
}

// Reply begins a reply: append its payload.
func Reply(id uint32, kind Kind) []byte {
	w := writer{b: make([]byte, 0, 32)}
	w.u32(id)
	w.u8(uint8(kind))
	return w.b
}

func event(id uint32, e Event) writer {
	w := writer{b: Reply(id, KindEvent)}
	w.u8(uint8(e))
	return w
}

// ReplyError is the whole error reply.
func ReplyError(id uint32, err error) []byte {
	w := writer{b: Reply(id, KindError)}
	w.fault(err)
	return w.b
}

// ReplyResult is the whole reply of exec.
func ReplyResult(id uint32, v Result) []byte {
	w := writer{b: Reply(id, KindResult)}
	w.result(v)
	return w.b
}

// ReplyResults is the whole reply of batch.
func ReplyResults(id uint32, list []Result) []byte {
	w := writer{b: Reply(id, KindResult)}
	w.u32(uint32(len(list)))
	for _, v := range list {
		w.result(v)
	}
	return w.b
}

// ReplyWelcome is the whole reply of hello.
func ReplyWelcome(id uint32, v Welcome) []byte {
	w := writer{b: Reply(id, KindResult)}
	w.u16(v.Version)
	w.str(v.Leader)
	w.str(v.Storage)
	w.u32(v.Migrations)
	w.u64(v.Commit)
	w.flag(v.Sync)
	w.status(v.Status)
	return w.b
}

// ReplyStatus is the whole reply of syncStatus.
func ReplyStatus(id uint32, v Status) []byte {
	w := writer{b: Reply(id, KindResult)}
	w.status(v)
	return w.b
}

// ReplyDigest is the whole reply of syncDigest.
func ReplyDigest(id uint32, seq uint64, digest [32]byte) []byte {
	w := writer{b: Reply(id, KindResult)}
	w.u64(seq)
	w.b = append(w.b, digest[:]...)
	return w.b
}

func (w *writer) status(v Status) {
	w.str(v.State)
	w.u64(v.Seq)
	w.u64(v.Pending)
	w.fault(v.Err)
	w.u64(v.Repairs)
	w.flag(v.Incomplete)
	w.str(v.Polling)
}

func (r *reader) status() Status {
	s := Status{State: r.str(), Seq: r.u64(), Pending: r.u64(), Err: r.fault()}
	if r.err == nil && r.at < len(r.b) { // an older leader does not tell
		s.Repairs, s.Incomplete, s.Polling = r.u64(), r.flag(), r.str()
	}
	return s
}

// EncodeLiveError tells that live query id failed.
func EncodeLiveError(id uint32, err error) []byte {
	w := event(id, EventLiveError)
	w.fault(err)
	return w.b
}

// EncodeStatus tells where sync stands.
func EncodeStatus(v Status) []byte {
	w := event(0, EventStatus)
	w.status(v)
	return w.b
}

// EncodeProgress tells how far a long step is; total is 0 if unknown.
func EncodeProgress(phase string, done, total uint64) []byte {
	w := event(0, EventProgress)
	w.str(phase)
	w.u64(done)
	w.u64(total)
	return w.b
}

// EncodeRejected tells that a transaction was refused, and what it was.
func EncodeRejected(t Transaction) []byte {
	w := event(0, EventRejected)
	w.u64(t.Counter)
	w.str(t.Code)
	w.str(t.Message)
	w.ops(t.Ops)
	w.u64(t.ID)
	w.u64(t.Created)
	w.joins(t.Ops)
	return w.b
}

// ReplyTransactions is one reply of syncPending and syncRejected.
func ReplyTransactions(id uint32, kind Kind, list []Transaction) []byte {
	w := writer{b: Reply(id, kind)}
	w.u32(uint32(len(list)))
	for _, t := range list {
		w.u64(t.ID)
		w.u64(t.Counter)
		w.u64(t.Created)
		w.str(t.Code)
		w.str(t.Message)
		w.ops(t.Ops)
		w.joins(t.Ops)
	}
	return w.b
}

func (w *writer) ops(ops []Op) {
	w.u32(uint32(len(ops)))
	for _, op := range ops {
		w.str(op.Kind)
		w.str(op.Table)
		w.values(op.Key)
		w.strs(op.Columns)
		w.values(op.Cells)
	}
}

func (w *writer) joins(ops []Op) {
	for _, op := range ops {
		w.strs(op.Joins)
	}
}

// ReplyFlag is the whole reply of syncRetry and syncDiscard.
func ReplyFlag(id uint32, v bool) []byte {
	w := writer{b: Reply(id, KindResult)}
	w.flag(v)
	return w.b
}

// ReplyKeys is the whole reply of syncDangling.
func ReplyKeys(id uint32, keys []Key) []byte {
	w := writer{b: Reply(id, KindResult)}
	w.u32(uint32(len(keys)))
	for _, k := range keys {
		w.str(k.Table)
		w.values(k.Key)
	}
	return w.b
}

// ReplyText is the whole reply of syncExport.
func ReplyText(id uint32, text string) []byte {
	w := writer{b: Reply(id, KindResult)}
	w.str(text)
	return w.b
}

// ReplyQuarantined is a message of syncQuarantined's reply.
func ReplyQuarantined(id uint32, kind Kind, rows []Quarantined) []byte {
	w := writer{b: Reply(id, kind)}
	w.u32(uint32(len(rows)))
	for _, row := range rows {
		w.str(row.Table)
		w.values(row.Key.Key)
		w.str(row.Code)
		w.str(row.Constraint)
		w.strs(row.Columns)
		w.values(row.Cells)
	}
	return w.b
}

// EncodeConflict tells of a conflict.
func EncodeConflict(c Conflict) []byte {
	w := event(0, EventConflict)
	w.u64(c.Counter)
	w.str(c.Kind)
	w.str(c.Table)
	w.values(c.Key.Key)
	w.str(c.Code)
	w.str(c.Constraint)
	return w.b
}

// EncodeAsk asks the page for a token.
func EncodeAsk(ask uint32) []byte {
	w := event(0, EventToken)
	w.u32(ask)
	return w.b
}

// EncodeStorage tells a changed class of storage.
func EncodeStorage(storage string) []byte {
	w := event(0, EventStorage)
	w.str(storage)
	return w.b
}

// ResultOf reads a reply without its id, if it is one that ReplyResult makes.
func ResultOf(reply []byte) (Result, bool) {
	if len(reply) != 17 || Kind(reply[0]) != KindResult {
		return Result{}, false
	}
	r := reader{b: reply, at: 1}
	return r.result(), true
}
