// Package rpc is the language between a page and the worker that leads its
// database: requests, replies, events and rows, as bytes. It knows neither
// JavaScript nor the database. web/src/rpc is its other half; testdata holds
// vectors that both read.
//
// messages.spec declares each method, each event and each shape once. The
// generator in gen makes of it messages.gen.go, web/src/rpc/messages.gen.ts, and
// for tests rpctest/messages.gen.go. Written by hand are the primitives, rows and
// live updates.
//
// # Primitives
//
// Integers are little-endian. u8, u16, u32, u64, i64 and f64 are what they
// say; bool is a u8 of 0 or 1; bytes is a u32 length and that many bytes;
// string is bytes of valid UTF-8; []X is a u32 count and that many X; ?X is a
// bool, and an X if it is true.
//
//	value   = u8 tag, then: 0 NULL: nothing; 1 INTEGER: i64; 2 REAL: f64;
//	          3 TEXT: string; 4 BLOB: bytes
//	params  = u8 kind, then: 0 none; 1 positional: []value;
//	          2 named: []{string name, value}
//	stmt    = string sql, params
//	error   = string code, string message, string op, string sql; none if the
//	          code is empty
//	result  = i64 changes, i64 last insert rowid
//	rows    = u32 rows, u32 columns, rows*columns values, row by row
//	rest    = the bytes up to the message's end
//
// A decoder ignores bytes after those that it knows: messages grow at their end.
//
// # Requests: page to leader
//
//	u32 id, u8 method, u8 flags, u32 deadline, u64 write, u64 ack, body
//
// The header is made when the request is sent, and again when it is sent to
// another leader; the body stays as it is. The page chooses ids, from 1, and uses
// none twice on one connection. A transaction, a bulk load, an import or a live
// query is named by the id of the request that began it: the field target. flags
// is 0.
//
// deadline is how many milliseconds the request may take, 0 without limit. It
// fails with HEDDLE_TIMEOUT that long after it came, at the latest: also in the
// middle of a statement.
//
// write names one write of this tab: 1, 2, … in the order of the calls, 0 for a
// read. The tab knows the outcome of every write up to ack.
//
// # Once
//
// The reply to a write is kept in the database, in the write's own transaction,
// until the tab acknowledges it or has died. So a tab whose leader went away
// sends its unanswered writes to the next one, in order and with the same
// numbers: the next leader replies from what was kept, or does them. outcome asks
// about a write that is not to be done: the end of a transaction or a load whose
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
// bulkRows and importPart are replied when the leader has taken them; the page
// keeps at most two of them unanswered, so that no queue grows. The whole load
// fails with the first part that fails.
//
// An iteration's chunks need a credit each. The leader stops, and keeps its
// place, where there is none left. The result, with the last rows, needs none.
//
// After a live, status or progress event the leader sends no other one before the
// page's ack. It keeps one, merged, meanwhile: a tab that sleeps costs no more than
// one result of each query.
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
// # Live queries
//
//	Live = u64 commit, bool last, then parts up to the message's end
//	part = u32 query, u8 kind, then
//	  0 update: bool reset, []string columns, u32 rows in all, []run; then a rows
//	            block without columns
//	  1 rows:   a further block of that query's update
//	  2 error:  error; the query stays subscribed
//	run  = u8 kind (0 copy: u32 from, u32 count; 1 new: u32 count)
//
// A live event tells what became of a page's live queries up to a commit: whatever
// is not in it is as it was. It is one or more messages, the last of which says so:
// the page shows all of it at once. New runs take their rows from the blocks of the
// update in order. Copies refer to the result before; reset: there is none.
package rpc
