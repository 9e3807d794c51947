// Package leader serves the tabs of one database: it opens the store, live
// queries, announcements and sync, and answers each tab's requests in the
// language of package rpc. It is portable: a worker drives it in the browser, a
// test drives it natively.
//
//	l, err := leader.Open(ctx, config, env)   // config: rpc.DecodeOpenConfig of the page's bytes
//	s := l.Connect(peer, tab)                 // once a tab; peer.Send takes replies and never blocks
//	s.Handle(message, false)                  // each message of that tab, in order; does not block
//	s.Close()                                 // the tab is gone
//	l.SetOnline(bool); l.SetStorage("persistent")
//	l.Close(ctx)
//
// # Order
//
// A tab's writes run in the order in which they arrived, and so do its reads. A
// read sees every write that the tab sent before it, unless that write waits
// for an interactive transaction or a bulk load to end: then the read does not
// wait with it, and reads the state before. So code inside a transaction may
// await a plain query without blocking itself. The statements of a transaction
// run in order among themselves.
//
// An iteration takes its snapshot in its place among the reads, and then goes on
// in a goroutine of its own, at the pace of its page.
//
// Writes of one tab that wait at the same time, and only change rows, share a
// transaction and its flush. Each is a savepoint of it: it fails alone, and is
// recorded and announced by itself. If the transaction cannot be committed, each
// runs again in a transaction of its own.
//
// # Limits
//
// A request may have a deadline, which interrupts its statement or its wait.
//
// An interactive transaction that receives nothing for Bounds.TxIdle is rolled
// back; its next request fails with HEDDLE_TX_CLOSED. A tab may have MaxQueued
// requests waiting; more fail with HEDDLE_BUSY and write nothing. Events that
// repeat (live, status, progress) wait for the page's ack and are merged
// meanwhile.
package leader
