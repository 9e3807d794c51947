package member

import (
	"slices"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/sync/replica"
	"heddle.dev/heddle/sync/seal"
	"heddle.dev/heddle/sync/wire"
)

// A snapshot counts the transactions of each client, with the digest of the last seal. A
// device that was closed between sending its transactions and their entries tells by the
// digests that it has kept which of them are counted.

// sent is a transaction that was sealed, maybe in an earlier process.
type sent struct{ digest, prev, plain seal.Hash }

// ordinal names a transaction.
type ordinal struct {
	client  wire.ClientID
	counter uint64
}

// sealedAs returns what was sealed under a counter. m.mu is held.
func (m *Member) sealedAs(n ordinal) (one sent, is bool) {
	if made := m.made[n.counter]; made != nil && m.client == n.client {
		return sent{made.digest, made.prev, made.plain}, true
	}
	one, is = m.sent[n]
	return one, is
}

// Sending implements client.Sealer.
func (m *Member) Sending(author wire.ClientID, first uint64) func(replica.Conn) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.client != author || m.made[first] == nil {
		return nil
	}
	seals, through := slices.Clone(m.made[first].prev[:]), first-1
	for one := m.made[first]; one != nil; one = m.made[through+1] {
		seals = append(append(seals, one.digest[:]...), one.plain[:]...)
		through++
	}
	decided, _ := m.log.Client(author)
	return func(c replica.Conn) error {
		err := c.Exec(`DELETE FROM heddle_seal_sent WHERE client = ? AND through <= ?`, author[:], int64(decided))
		if err != nil {
			return err
		}
		return c.Exec(`INSERT OR REPLACE INTO heddle_seal_sent(client, first, through, seals) VALUES(?, ?, ?, ?)`,
			author[:], int64(first), int64(through), seals)
	}
}

// readSent reads what Sending has kept.
func readSent(c replica.Conn) (map[ordinal]sent, error) {
	all := map[ordinal]sent{}
	err := c.Query(`SELECT client, first, seals FROM heddle_seal_sent`, nil, func(s *sqlite3.Stmt) error {
		n := ordinal{counter: uint64(s.ColumnInt64(1))}
		copy(n.client[:], s.ColumnRawBlob(0))
		var one sent
		for seals := s.ColumnRawBlob(2)[copy(one.prev[:], s.ColumnRawBlob(2)):]; len(seals) > 0; n.counter++ {
			seals = seals[copy(one.digest[:], seals):]
			seals = seals[copy(one.plain[:], seals):]
			all[n] = one
			one.prev = one.digest
		}
		return nil
	})
	return all, err
}
