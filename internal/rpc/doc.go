// Package rpc is the language between a page and the worker that leads its
// database: requests, replies, events and rows, as bytes. It knows neither
// JavaScript nor the database; web/src/rpc/codec.ts is its other half, and
// testdata holds vectors that both read.
//
// # Primitives
//
// Integers are little-endian. u8, u16, u32, u64, i64 and f64 are what they
// say; bool is a u8 of 0 or 1; bytes is a u32 length and that many bytes;
// string is bytes of valid UTF-8; list<X> is a u32 count and that many X.
//
//	value   = u8 tag, then: 0 NULL: nothing; 1 INTEGER: i64; 2 REAL: f64;
//	          3 TEXT: string; 4 BLOB: bytes
//	params  = u8 kind, then: 0 none; 1 positional: list<value>;
//	          2 named: list<string name, value>
//	stmt    = string sql, params
//	write   = u64 counter, u64 ack            names one write of this tab; the
//	          counter is 1, 2, … in the order of the calls, 0 for a mere read;
//	          the tab knows the outcome of every write up to ack
//	error   = string code, string message, string op, string sql
//	result  = i64 changes, i64 last insert rowid
//
// A decoder ignores bytes after what it knows: messages grow at their end.
//
// # Requests: page to leader
//
//	u32 id, u8 method, payload
//
// The page chooses ids, from 1, and uses none twice on one connection. A
// transaction, a bulk load, an import or a live query is named by the id of the
// request that began it.
//
//	 1 hello       u16 version, string session, u32 migrations, bool token
//	 2 ping        -
//	 3 cancel      u32 id                  has no reply of its own
//	 4 close       -
//	 5 outcome     write                   what was replied, or would have been
//	 6 within      u32 milliseconds, u8 method, payload     a request with a limit
//	10 exec        write, stmt             result
//	11 query       write, stmt             rows
//	12 batch       write, list<stmt>       list<result>
//	13 bulkBegin   write, string sql       result, after bulkEnd
//	14 bulkRows    u32 id, u32 rows, u32 columns, rows*columns values, row by row
//	15 bulkEnd     u32 id
//	16 iterate     stmt, u32 rows, u32 credit     rows: see below
//	17 credit      u32 id, u32 more                has no reply of its own
//	20 txBegin     write                   replied when it is this tab's turn
//	21 txExec      u32 id, stmt            result
//	22 txQuery     u32 id, stmt            rows
//	23 txBatch     u32 id, list<stmt>      list<result>
//	24 txCommit    u32 id
//	25 txRollback  u32 id
//	30 liveStart   stmt                    an empty result, then live events
//	31 liveStop    u32 id
//	32 ack         u32 id, u8 event        has no reply: see Events
//	40 export      -                       chunks of the file, a last one as result
//	41 importBegin write, u64 size         replied after importEnd; all bits set:
//	                                       not known yet
//	42 importPart  u32 id, bytes (the rest of the message, without a length): of an
//	               SQLite file, or of SQL text in UTF-8
//	43 importEnd   u32 id
//	44 exportFile  -                       u64 size, of a copy that stays until
//	                                       exportEnd
//	45 exportPart  u32 id, u64 from        bytes (the rest of the message): 1 MiB,
//	                                       but at the end
//	46 exportEnd   u32 id
//	50 syncStatus  -                       status
//	51 syncNow     -
//	52 syncPause   bool persist
//	53 syncResume  -
//	54 syncDigest  -                       u64 seq, 32 bytes
//	55 token       u32 ask, string token, error (code empty: there is a token)
//	56 syncPending  -                      list<transaction>, in chunks
//	57 syncRejected -                      list<transaction>, in chunks
//	58 syncRetry    u64 id                 bool: there was such a transaction
//	59 syncDiscard  u64 id                 bool: there was such a transaction
//	60 syncDangling u32 limit              list<string table, list<value> key>
//	61 syncExport   -                      string
//	62 syncQuarantined u32 limit           list<string table, list<value> key,
//	                                       string code, string constraint,
//	                                       list<string> columns, list<value> cells>,
//	                                       in chunks
//	63 syncAccept   bool upload
//	70 health      bool full               chunks of u64 done, u64 total; then a
//	                                       health report
//
// bulkRows and importPart are replied when the leader has taken them; the page
// keeps at most two of them unanswered, so no queue grows. The whole load
// fails with the first part that fails.
//
// A request within a limit fails with HEDDLE_TIMEOUT that long after it came, at
// the latest: also in the middle of a statement.
//
// Rows that are iterated over come in chunks of at most so many rows (0: as the
// leader likes), one for each credit; the leader stops, and keeps its place,
// where there is none left. The result, with the last rows, needs no credit.
//
// # Once
//
// The reply to a write is kept in the database, in the write's own transaction,
// until the tab acknowledges it or has died. So a tab whose leader went away
// sends its unanswered writes to the next one, in order and with the same
// counters: it replies from what was kept, or does them. outcome asks about a
// write that is not to be done: the end of a transaction or a load whose
// beginning went with the leader. The error HEDDLE_TX_LOST says that it has not
// happened and will not.
//
// # Replies: leader to page
//
//	u32 id, u8 kind, payload
//
//	kind 0 result  the last message for this id
//	kind 1 error   the last message for this id: an error; with id 0 it ends
//	               the connection: the leader cannot serve
//	kind 2 chunk   more follow
//	kind 3 event   u8 event, payload
//
// # Rows
//
// The reply to a query is one rows block in each chunk and in the result; the
// first block carries the columns. A block holds at most 4,096 rows and, unless
// a single row is larger, about 256 KiB. It lies column by column:
//
//	u8 flags (1: columns follow), [list<string> columns], u16 columns, u32 rows,
//	u32 text bytes, u32 blob bytes, then for each column
//	  u8 form, padding to a multiple of 8 bytes from the message's start, data
//	then all text, then all blobs, each column by column
//
//	form 0 all NULL: no data
//	form 1 i32 each
//	form 2 f64 each: REAL, and INTEGER up to 2^53
//	form 3 i64 each
//	form 4 TEXT: u32 length each, in UTF-16 code units
//	form 5 BLOB: u32 length each, in bytes
//	form 6 mixed: u8 tag each, padding to 8, then 8 bytes each: i64, f64, or a
//	       u32 length as in forms 4 and 5 and four zero bytes
//
// A form of 1 to 5 with bit 128 set has NULLs: a bitmap of one bit a row (row 0
// in the lowest bit of the first byte, 1 = NULL), padded to 8 bytes, stands
// before the data, and a NULL's own place holds zero.
//
// The text is valid UTF-8 without exception: the packer turns each invalid byte
// sequence into U+FFFD as the WHATWG decoder would, so that one TextDecoder
// call (with ignoreBOM: true) decodes the whole block and the lengths hold. An
// INTEGER beyond 2^53 makes its column form 3 or 6, and a bigint in JavaScript.
//
// # Events
//
//	1 live      id: of liveStart. bool first, bool last, then, if first: bool
//	            reset, list<string> columns, u32 rows in all, list<run>, with
//	            run = u8 kind (0 copy: u32 from, u32 count; 1 new: u32 count);
//	            then a rows block without columns. New runs take their rows from
//	            the blocks of the update in order. Copies refer to the result
//	            before; reset: there is none.
//	2 liveError id: of liveStart. error. The query stays subscribed unless the
//	            reply to liveStart itself was an error.
//	3 status    id 0. status
//	4 progress  id 0. string phase, u64 done, u64 total (0: unknown)
//	5 rejected  id 0. u64 counter, string code, string message, list<op>, u64
//	            id, u64 created, then the joins of each op
//	6 conflict  id 0. u64 counter, string kind, string table, list<value> key,
//	            string code, string constraint
//	7 token     id 0. u32 ask: the leader wants a token for the server
//	8 storage   id 0. string storage
//	9 recovered id 0. string file, string reason, u64 pending, u64 rejected,
//	            u64 rows, list<string> tables, bool lost
//
//	health = u64 pages, u64 trees, list<string> problems, bool checksums, u32
//	         page size, u64 bytes, u64 bytes of the log, string last exit
//
//	status = string state, u64 seq, u64 pending, error (code empty: none), u64
//	         repairs, bool incomplete, string polling; always the last of its
//	         message
//	op     = string kind, string table, list<value> key,
//	         list<string> columns, list<value> cells
//	joins  = list<string>, one for each cell; none where all are "last"
//	transaction = u64 id, u64 counter, u64 created (Unix milliseconds), string
//	         code (empty: pending), string message, list<op>, then the joins of
//	         each op
//
// After a live, liveError, status or progress event the leader sends no further
// one of the same id and event before the page's ack; it keeps one, merged,
// meanwhile. So a tab that sleeps costs no more than one result.
//
// The reply to hello is u16 version, string leader id, string storage, u32
// migrations, u64 number of the last commit, bool sync, status.
package rpc
