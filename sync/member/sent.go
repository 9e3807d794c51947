package member

import (
	"slices"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/sync/replica"
	"heddle.dev/heddle/sync/seal"
	"heddle.dev/heddle/sync/wire"
)

// A snapshot counts the transactions of each client, with the digest of the last seal. A
// device that has not had the entries of what it sent tells by the digests that it has kept
// which of its transactions are counted. One may have been sealed several times, since the
// server refused it, or the device was closed: the log may have any of those.

// sentRuns is how many runs of seals are kept that the log may have: a server that refuses
// each does not fill the disk.
const sentRuns = 32

// sent is a transaction that was sealed, maybe in an earlier process.
type sent struct{ digest, prev, plain seal.Hash }

// ordinal names a transaction.
type ordinal struct {
	client  wire.ClientID
	counter uint64
}

// sealedAs returns what was sealed under a counter, and has the digest. m.mu is held.
func (m *Member) sealedAs(n ordinal, digest seal.Hash) (one sent, is bool) {
	if made := m.made[n.counter]; made != nil && m.client == n.client && made.digest == digest {
		return sent{made.digest, made.prev, made.plain}, true
	}
	for _, one := range m.sent[n] {
		if one.digest == digest {
			return one, true
		}
	}
	return sent{}, false
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
	m.sent.add(ordinal{author, first}, seals)
	decided, _ := m.log.Client(author)
	return func(c replica.Conn) error {
		err := c.Exec(`DELETE FROM heddle_seal_sent WHERE client = ? AND (through <= ? OR
			first = ? AND substr(?, 1, length(seals)) = seals)`, author[:], int64(decided), int64(first), seals)
		if err != nil {
			return err
		}
		if err := c.Exec(`INSERT INTO heddle_seal_sent(n, client, first, through, seals)
			SELECT 1 + coalesce(max(n), 0), ?, ?, ?, ? FROM heddle_seal_sent`,
			author[:], int64(first), int64(through), seals); err != nil {
			return err
		}
		return c.Exec(`DELETE FROM heddle_seal_sent WHERE n <= (SELECT max(n) FROM heddle_seal_sent) - ?`, sentRuns)
	}
}

// sentSeals has what was sealed of each transaction, each time.
type sentSeals map[ordinal][]sent

// add adds a run of seals of one client, as Sending keeps it: what the first one names as the one before, then of each
// its digest and the hash of the body.
func (all sentSeals) add(n ordinal, seals []byte) {
	var one sent
	for seals = seals[copy(one.prev[:], seals):]; len(seals) > 0; n.counter++ {
		seals = seals[copy(one.digest[:], seals):]
		seals = seals[copy(one.plain[:], seals):]
		if !slices.Contains(all[n], one) {
			all[n] = append(all[n], one)
			all[n] = all[n][max(0, len(all[n])-sentRuns):]
		}
		one.prev = one.digest
	}
}

// readSent reads what Sending has kept.
func readSent(c replica.Conn) (sentSeals, error) {
	all := sentSeals{}
	err := c.Query(`SELECT client, first, seals FROM heddle_seal_sent ORDER BY n`, nil, func(s *sqlite3.Stmt) error {
		n := ordinal{counter: uint64(s.ColumnInt64(1))}
		copy(n.client[:], s.ColumnRawBlob(0))
		all.add(n, s.ColumnRawBlob(2))
		return nil
	})
	return all, err
}
