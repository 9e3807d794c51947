package heddle

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"heddle.dev/heddle/sync/logstore/sqlitestore"
	"heddle.dev/heddle/sync/server"
)

// restorable is a space whose server can be put back to a backup.
type restorable struct {
	*sealedSpace
	limits server.Limits
	refuse atomic.Bool // everything that is pushed
	real   atomic.Pointer[http.Handler]
	stop   func()
}

func newRestorable(t *testing.T) *restorable {
	t.Helper()
	return newRestorableWith(t, server.Limits{})
}

func newRestorableWith(t *testing.T, limits server.Limits) *restorable {
	t.Helper()
	limits.Heads = time.Nanosecond
	r := &restorable{limits: limits}
	r.sealedSpace = newSealedSpaceOf(t, func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) { (*r.real.Load()).ServeHTTP(w, q) })
	})
	r.bounds.Tell = time.Nanosecond // each Now tells where the log is
	r.data = t.TempDir()
	r.start()
	t.Cleanup(func() { r.stop() })
	return r
}

func (r *restorable) start() {
	r.t.Helper()
	kept, err := sqlitestore.Open(sqlitestore.Options{Dir: r.data, Files: 1})
	r.must(err)
	srv, err := server.New(server.Options{Store: kept, Dev: true, Limits: r.limits,
		Decide: func(context.Context, *server.Decision) error {
			if r.refuse.Load() {
				return NewError("TEST_NO", "decide", "not now")
			}
			return nil
		}})
	r.must(err)
	r.store = kept
	h := http.Handler(srv)
	r.real.Store(&h)
	r.stop = func() {
		srv.Drain()
		srv.Close()
		kept.Close()
	}
}

func (r *restorable) copy(from, to string) {
	r.t.Helper()
	r.must(os.RemoveAll(to))
	r.must(os.CopyFS(to, os.DirFS(from)))
}

// backup returns where one is.
func (r *restorable) backup() string {
	r.t.Helper()
	r.stop()
	dir := filepath.Join(r.t.TempDir(), "backup")
	r.copy(r.data, dir)
	r.start()
	return dir
}

func (r *restorable) restore(backup string) {
	r.t.Helper()
	r.stop()
	r.copy(backup, r.data)
	r.start()
}

func (r *restorable) accept(db *DB) error { return db.Sync().Accept(r.t.Context(), false) }

// What a restored server has lost comes back by an admin's word, and by nothing else.
func TestSealed_restored(t *testing.T) {
	s := newRestorable(t)
	_, ada := s.found()
	s.write(ada, "1", "ada")
	s.now(ada)
	phone := s.added(ada, "phone", RoleWrite)
	s.now(phone, ada)
	s.write(phone, "2", "phone, in the backup")
	s.now(phone, ada)
	backup := s.backup()
	s.write(phone, "3", "phone, lost")
	s.write(ada, "4", "ada, lost")
	s.now(phone, ada)
	s.must(ada.Sync().RotateKey(t.Context())) // a Change that is lost
	s.now(phone, ada)
	s.write(phone, "5", "phone, lost, under the new key")
	s.now(phone, ada)
	s.same(5, ada, phone)

	s.restore(backup)
	for _, db := range []*DB{ada, phone} {
		wantCode(t, db.Sync().Now(t.Context()), CodeTampered)
	}
	s.same(5, ada, phone) // what is here stays
	wantCode(t, s.accept(phone), CodeNotAllowed)
	s.write(phone, "6", "phone, meanwhile")
	s.must(s.accept(ada))
	for range 3 {
		s.now(ada, phone)
	}
	s.same(6, ada, phone)
	if e := ada.Sync().member.Standing().Epoch; e != 2 { // the word's own
		t.Errorf("the rotation that was lost is back: epoch %d", e)
	}
	s.write(phone, "7", "phone, after")
	s.now(phone, ada)
	s.same(7, ada, phone)
	// A word counts once: the next loss needs another.
	s.restore(backup)
	wantCode(t, phone.Sync().Now(t.Context()), CodeTampered)
	s.must(s.accept(ada))
	for range 3 {
		s.now(ada, phone)
	}
	s.same(7, ada, phone)
}

// A rejected transaction keeps its number where the replica starts over, and no later one
// gets it.
func TestSealed_restoredAfterRejection(t *testing.T) {
	for _, waits := range []bool{false, true} {
		s := newRestorable(t)
		_, ada := s.found()
		s.write(ada, "1", "kept")
		s.now(ada)
		rejected := 0
		defer ada.Sync().OnRejected(func(Rejected) { rejected++ })()
		refused := func(day string) {
			s.write(ada, day, "refused")
			s.refuse.Store(true)
			s.now(ada)
			s.refuse.Store(false)
		}
		backup := s.backup()
		refused("2")
		s.restore(backup)
		wantCode(t, ada.Sync().Now(t.Context()), CodeTampered)
		if waits {
			s.write(ada, "3", "meanwhile")
		}
		s.must(s.accept(ada))
		s.now(ada)
		refused("4")
		s.write(ada, "5", "after")
		s.now(ada)
		if status := ada.Sync().Status(); rejected != 2 || status.Pending != 0 {
			t.Errorf("%d rejections, status %+v", rejected, status)
		}
	}
}

// A server is put back again before a device has all of the log that it has started over with: the entry that it was
// to reach is another one.
func TestSealed_restoredBeforePull(t *testing.T) {
	s := newRestorable(t)
	_, ada := s.found()
	s.write(ada, "1", "in the backup")
	s.now(ada)
	phone, desk := s.added(ada, "phone", RoleWrite), s.added(ada, "desk", RoleWrite)
	s.now(ada, phone, desk)
	backup := s.backup()
	s.write(ada, "2", "lost at once")
	s.now(ada)
	s.restore(backup)
	s.write(phone, "3", "ada starts over with it")
	s.now(phone)
	wantCode(t, ada.Sync().Now(t.Context()), CodeTampered)

	real := *s.real.Load()
	offline := http.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if ada.Sync().Status().Seq == 0 { // it has started over
			http.Error(w, "offline", http.StatusServiceUnavailable)
			return
		}
		real.ServeHTTP(w, r)
	}))
	s.real.Store(&offline)
	s.must(s.accept(ada))
	wantCode(t, ada.Sync().Now(t.Context()), CodeServer)
	s.restore(backup)
	s.write(desk, "4", "in its place")
	s.now(desk)

	wantCode(t, ada.Sync().Now(t.Context()), CodeTampered)
	s.must(s.accept(ada))
	for range 3 {
		s.now(ada)
		for _, db := range []*DB{phone, desk} {
			_ = db.Sync().Now(t.Context()) // the phone has lost its entry: it follows ada's word once that is there
		}
	}
	s.now(ada, phone, desk)
	s.same(4, ada, phone, desk)
}

// A removal that was lost is made again by the admin who says yes, before anything else.
func TestSealed_restoredRemoval(t *testing.T) {
	s := newRestorable(t)
	_, ada := s.found()
	s.now(ada)
	phone := s.added(ada, "phone", RoleWrite)
	tablet := s.added(ada, "tablet", RoleWrite)
	s.write(tablet, "1", "tablet")
	s.now(tablet, phone, ada)
	backup := s.backup()
	for _, m := range mustMembers(s.sealedSpace, ada) {
		if m.Name == "tablet" {
			s.must(ada.Sync().RemoveDevices(t.Context(), m.ID))
		}
	}
	s.now(ada, phone)
	s.restore(backup)
	wantCode(t, phone.Sync().Now(t.Context()), CodeTampered)
	s.must(s.accept(ada))
	s.now(ada, phone)
	wantCode(t, tablet.Sync().Now(t.Context()), CodeRemoved)
	for _, m := range mustMembers(s.sealedSpace, phone) {
		if m.Name == "tablet" {
			t.Error("the tablet is a member again")
		}
	}
}

// An admin who has lost nothing says it for a device that has; not where that one knows a
// removal that was lost, until that is made again.
func TestSealed_restoredBeyondAdmin(t *testing.T) {
	for _, removed := range []bool{false, true} {
		s := newRestorable(t)
		_, ada := s.found()
		s.now(ada)
		phone := s.added(ada, "phone", RoleWrite)
		tablet := s.added(ada, "tablet", RoleWrite)
		s.now(phone, tablet, ada)
		id := tablet.Sync().member.ID()
		backup := s.backup()
		s.write(phone, "1", "phone, lost")
		s.now(phone)
		if removed { // a device of its own user
			s.must(phone.Sync().RemoveDevices(t.Context(), id))
		}
		s.restore(backup)
		s.now(ada) // it has seen nothing of that
		wantCode(t, phone.Sync().Now(t.Context()), CodeTampered)
		s.must(s.accept(ada))
		if removed {
			wantCode(t, phone.Sync().Now(t.Context()), CodeTampered)
			s.same(1, phone) // what it has stays
			s.must(ada.Sync().RemoveDevices(t.Context(), id))
		}
		for range 2 {
			s.now(phone, ada)
		}
		s.same(1, ada, phone)
	}
}

// Two admins say the same of two losses, in the same place of the log: both count.
func TestSealed_restoredTwiceAlike(t *testing.T) {
	s := newRestorable(t)
	_, ada := s.found()
	s.now(ada)
	phone, tablet := s.added(ada, "phone", RoleWrite), s.added(ada, "tablet", RoleAdmin)
	s.now(phone, tablet, ada)
	backup := s.backup()
	s.write(phone, "1", "phone, lost twice")
	s.now(phone)
	s.restore(backup)
	wantCode(t, phone.Sync().Now(t.Context()), CodeTampered)
	s.must(s.accept(ada)) // which has lost nothing itself
	s.now(phone, ada)
	s.same(1, phone, ada)

	s.restore(backup)
	wantCode(t, phone.Sync().Now(t.Context()), CodeTampered)
	s.must(s.accept(tablet)) // the same for this one
	s.now(phone, ada, tablet)
	s.same(1, phone, ada, tablet)
}

// A server that has lost all begins anew by the founder's word.
func TestSealed_restoredToNothing(t *testing.T) {
	s := newRestorable(t)
	empty := s.backup()
	_, ada := s.found()
	for _, day := range []string{"1", "2", "3"} {
		s.write(ada, day, "ada")
	}
	s.now(ada)
	s.restore(empty)
	wantCode(t, ada.Sync().Now(t.Context()), CodeTampered)
	s.must(s.accept(ada))
	s.now(ada)
	s.same(3, ada)
}

// A device that has written more than it keeps of it gives back what was lost, and
// nothing twice: it is still the author that it was.
func TestSealed_restoredLong(t *testing.T) {
	s := newRestorable(t)
	_, ada := s.found()
	s.now(ada)
	for i := range 1100 {
		s.write(ada, fmt.Sprint(i), "ada")
	}
	s.now(ada)
	id := ada.Sync().client.ClientID()
	backup := s.backup()
	for i := range 3 {
		s.write(ada, fmt.Sprint("lost ", i), "ada")
	}
	s.now(ada)
	s.restore(backup)
	wantCode(t, ada.Sync().Now(t.Context()), CodeTampered)
	s.must(s.accept(ada))
	s.now(ada)
	s.same(1103, ada)
	if got := ada.Sync().client.ClientID(); got != id {
		t.Errorf("it writes as %x, and was %x", got, id)
	}
	if st := ada.Sync().Status(); st.Pending != 0 || st.Seq != 1+1103+1 { // the first Change, and the word
		t.Errorf("got %+v", st)
	}
}

// A device that has begun with a snapshot knows no chain hash from before it. A server that was put back to before it
// is followed all the same: by that device's word, where it is an admin's, and by that of an admin who knows more.
func TestSealed_restoredBeforeSnapshot(t *testing.T) {
	for _, admin := range []string{"of the whole log", "of a snapshot"} {
		t.Run(admin, func(t *testing.T) {
			s := newRestorableWith(t, server.Limits{SealedKept: 20, SealedEntries: 20})
			s.bounds.Tell = time.Millisecond
			_, ada := s.found()
			s.now(ada)
			desk := s.added(ada, "desk", RoleWrite)
			tablet, phone := s.added(ada, "tablet", RoleAdmin), s.added(ada, "phone", RoleWrite)
			s.writeDays(ada, 0, 5)
			backup := s.backup()
			s.writeDays(ada, 5, 60)
			s.now(desk)
			s.follow("a proved snapshot", s.isCut, ada, desk)
			s.now(tablet, phone)
			s.writeDays(phone, 60, 62)
			s.now(tablet, ada, desk)
			s.same(62, ada, tablet, phone, desk)

			s.restore(backup)
			for _, db := range []*DB{ada, tablet, phone, desk} {
				wantCode(t, db.Sync().Now(t.Context()), CodeTampered)
			}
			by := map[string]*DB{"of the whole log": ada, "of a snapshot": tablet}[admin]
			s.must(s.accept(by))
			for range 2 {
				s.now(by, ada, tablet, phone, desk)
			}
			s.same(62, ada, tablet, phone, desk)
		})
	}
}

// An admin whose device has begun with a snapshot says for a device that has left the log long before that what it has
// lost is lost. That does not cover a removal which the other one knows.
func TestSealed_restoredLongBehind(t *testing.T) {
	for _, removed := range []bool{false, true} {
		t.Run(fmt.Sprint("removed ", removed), func(t *testing.T) {
			s := newRestorableWith(t, server.Limits{SealedKept: 20, SealedEntries: 20})
			s.bounds.Tell = time.Millisecond
			_, ada := s.found()
			s.now(ada)
			desk := s.added(ada, "desk", RoleWrite)
			tablet, phone := s.added(ada, "tablet", RoleAdmin), s.added(ada, "phone", RoleWrite)
			pad := s.added(ada, "pad", RoleWrite)
			s.now(phone, ada)
			backup := s.backup()
			s.writeDays(phone, 0, 1)
			if removed { // a device of its own user
				s.must(phone.Sync().RemoveDevices(t.Context(), pad.Sync().member.ID()))
			}
			s.restore(backup)
			s.writeDays(ada, 1, 60)
			s.now(desk)
			s.follow("a proved snapshot", s.isCut, ada, desk)
			s.now(tablet)
			wantCode(t, phone.Sync().Now(t.Context()), CodeTampered)
			s.must(s.accept(tablet))
			if removed {
				wantCode(t, phone.Sync().Now(t.Context()), CodeTampered)
				s.same(1, phone) // what it has stays
				s.must(tablet.Sync().RemoveDevices(t.Context(), pad.Sync().member.ID()))
			}
			for range 2 {
				s.now(phone, ada, tablet, desk)
			}
			s.same(60, ada, tablet, phone, desk)
		})
	}
}
