package heddle

import (
	"fmt"
	"testing"

	"heddle.dev/heddle/internal/await"
	"heddle.dev/heddle/sync/logstore"
	"heddle.dev/heddle/sync/server"
)

// newSnapshotSpace is a sealed space whose server asks for snapshots soon, and cuts the log nearly whole.
func newSnapshotSpace(t *testing.T) *sealedSpace {
	t.Helper()
	return newSealedSpaceWith(t, func(o *server.Options) {
		o.Limits.SealedKept, o.Limits.SealedEntries = 4, 20
	})
}

// writeDays writes a row in each of some transactions.
func (s *sealedSpace) writeDays(db *DB, from, to int) {
	s.t.Helper()
	for i := from; i < to; i++ {
		s.write(db, fmt.Sprintf("day %04d", i), fmt.Sprintf("what was on day %d", i))
	}
	s.now(db)
}

// meta is the space as the server has it, and what it keeps beside the log.
func (s *sealedSpace) meta() (m logstore.Meta, blobs int) {
	s.t.Helper()
	s.must(s.store.Read(s.t.Context(), "family", func(v logstore.View) (err error) {
		all, err := v.Blobs("snapshot/")
		if blobs = len(all); err == nil {
			m, err = v.Meta()
		}
		return err
	}))
	return m, blobs
}

// A device that follows makes a snapshot when the server asks, and a new one starts from it.
func TestSealed_snapshot(t *testing.T) {
	s := newSnapshotSpace(t)
	_, ada := s.found()
	s.writeDays(ada, 0, 30)
	s.must(ada.Sync().Resume(t.Context()))
	t.Cleanup(func() { t.Log(s.log.String()[max(0, s.log.Len()-3000):]) })
	await.Poll(t, "a snapshot", func() bool { _, n := s.meta(); return n == 1 })
	s.must(ada.Sync().Pause(t.Context(), false))
	s.writeDays(ada, 30, 35)
	phone := s.added(ada, "Ada's phone", RoleWrite)
	s.now(phone)
	s.same(35, ada, phone)
	s.writeDays(phone, 35, 40)
	s.now(ada)
	s.same(40, ada, phone)
}
