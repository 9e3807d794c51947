package store

import (
	"fmt"
	"strings"

	"heddle.dev/heddle/internal/errcode"
)

// MaxNotified bounds the notifications of one transaction, in bytes of channels
// and payloads.
const MaxNotified = 32 << 10

// Notification is what a transaction tells the subscribers of its commit.
type Notification struct{ Channel, Payload string }

// notified are the notifications of an open transaction. Those that come after a
// savepoint go when the transaction is rolled back to it.
type notified struct {
	list       []Notification
	size       int
	savepoints []savepoint
}

type savepoint struct {
	name string
	n    int // notifications before it
}

// Notify adds a notification to the transaction's [Commit]. A transaction that
// changed nothing else is a commit then too.
func (tx *Tx) Notify(channel, payload string) error {
	const op = "store: notify"
	return tx.run(op, "", func() error {
		n := &tx.c.capture.notified
		if n.size+len(channel)+len(payload) > MaxNotified {
			return errcode.New(errcode.TooBig, op,
				fmt.Sprintf("the notifications of one transaction have %d bytes at most", MaxNotified))
		}
		n.size += len(channel) + len(payload)
		n.list = append(n.list, Notification{channel, payload})
		tx.notified = true
		return nil
	})
}

// savepoint follows a SAVEPOINT statement that is about to run: what it does,
// as the authorizer names it, and the savepoint.
func (n *notified) savepoint(does, name string) {
	at := len(n.savepoints) - 1
	for does != "BEGIN" && at >= 0 && !strings.EqualFold(n.savepoints[at].name, name) {
		at--
	}
	switch {
	case does == "BEGIN":
		n.savepoints = append(n.savepoints, savepoint{name, len(n.list)})
	case at < 0: // SQLite will say that there is none
	case does == "ROLLBACK":
		n.list = n.list[:n.savepoints[at].n]
		n.savepoints = n.savepoints[:at+1]
	default:
		n.savepoints = n.savepoints[:at]
	}
}
