// Package client is the network half of sync: it sends the pending transactions
// of a replica, follows the space's log and hands its entries and snapshots to
// the replica. It runs no SQL: all that is kept is package replica's.
//
// It is portable: it runs in the browser's worker and in native programs, over
// a store.DB and a Doer (package nethttp has the native one).
//
// Tested by run_test.go (the loop, exactly, with a scripted server), follow_test.go
// (streams and polls), fault_test.go and net_test.go (a real server), mutate_test.go
// (pushes that almost make sense), and by package sim.
package client
