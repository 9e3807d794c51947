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

// sentTimes is how often a transaction may have been sealed, for each of its seals to be kept:
// a server that refuses each does not fill the disk. The newest ones are.
const sentTimes = 32

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
	run, prev := []sent(nil), m.made[first].prev
	for one := m.made[first]; one != nil; one = m.made[first+uint64(len(run))] {
		run = append(run, sent{one.digest, prev, one.plain})
		prev = one.digest
	}
	m.sent.add(ordinal{author, first}, run)
	decided, _ := m.log.Client(author)
	return func(c replica.Conn) error {
		err := c.Exec(`DELETE FROM heddle_seal_run WHERE client = ? AND through <= ?`, author[:], int64(decided))
		if err != nil {
			return err
		}
		return keepRun(c, author, first, run)
	}
}

// keepRun keeps of a run of seals, of transactions from a counter on, what is not kept yet: those at its end.
func keepRun(c replica.Conn, author wire.ClientID, first uint64, run []sent) error {
	through := first + uint64(len(run)) - 1
	const beside = `client = ? AND first <= ? AND through >= ?`
	kept := map[seal.Hash]bool{}
	err := c.Query(`SELECT seals FROM heddle_seal_run WHERE `+beside,
		[]any{author[:], int64(through), int64(first)}, func(s *sqlite3.Stmt) error {
			for _, one := range parseRun(s.ColumnRawBlob(0)) {
				kept[one.digest] = true
			}
			return nil
		})
	if err != nil {
		return err
	}
	for len(run) > 0 && kept[run[0].digest] {
		first, run = first+1, run[1:]
	}
	if len(run) == 0 {
		return nil
	}
	if err := c.Exec(`INSERT INTO heddle_seal_run(n, client, first, through, seals)
		SELECT 1 + coalesce(max(n), 0), ?, ?, ?, ? FROM heddle_seal_run`,
		author[:], int64(first), int64(through), marshalRun(run)); err != nil {
		return err
	}
	return c.Exec(`DELETE FROM heddle_seal_run WHERE `+beside+` AND n NOT IN
		(SELECT n FROM heddle_seal_run WHERE `+beside+` ORDER BY n DESC LIMIT ?)`,
		author[:], int64(through), int64(first), author[:], int64(through), int64(first), sentTimes)
}

// marshalRun encodes seals, each of which names the one before: what the first one names, then of each its digest and
// the hash of the body. parseRun decodes them.
func marshalRun(run []sent) []byte {
	data := slices.Clone(run[0].prev[:])
	for _, one := range run {
		data = append(append(data, one.digest[:]...), one.plain[:]...)
	}
	return data
}

func parseRun(data []byte) (run []sent) {
	var one sent
	for data = data[copy(one.prev[:], data):]; len(data) > 0; one.prev = one.digest {
		data = data[copy(one.digest[:], data):]
		data = data[copy(one.plain[:], data):]
		run = append(run, one)
	}
	return run
}

// sentSeals has what was sealed of each transaction, each time.
type sentSeals map[ordinal][]sent

// add adds a run of seals, of transactions from n on.
func (all sentSeals) add(n ordinal, run []sent) {
	for _, one := range run {
		if of := all[n]; !slices.Contains(of, one) {
			all[n] = append(of, one)[max(0, len(of)+1-sentTimes):]
		}
		n.counter++
	}
}

// readSent reads what Sending has kept.
func readSent(c replica.Conn) (sentSeals, error) {
	all := sentSeals{}
	err := c.Query(`SELECT client, first, seals FROM heddle_seal_run ORDER BY n`, nil, func(s *sqlite3.Stmt) error {
		n := ordinal{counter: uint64(s.ColumnInt64(1))}
		copy(n.client[:], s.ColumnRawBlob(0))
		all.add(n, parseRun(s.ColumnRawBlob(2)))
		return nil
	})
	return all, err
}
