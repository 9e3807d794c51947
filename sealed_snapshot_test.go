package heddle

import (
	"crypto/rand"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"heddle.dev/heddle/internal/await"
	"heddle.dev/heddle/sync/logstore"
	"heddle.dev/heddle/sync/server"
)

// newSnapshotSpace is a sealed space whose server asks for snapshots soon, and cuts the log nearly whole.
func newSnapshotSpace(t *testing.T) *sealedSpace {
	t.Helper()
	s := newSealedSpaceWith(t, cutSoon)
	s.bounds.Tell = time.Millisecond
	return s
}

func cutSoon(o *server.Options) { o.Limits.SealedKept, o.Limits.SealedEntries = 4, 20 }

// follow has devices follow the log until something is so.
func (s *sealedSpace) follow(what string, so func() bool, all ...*DB) {
	s.t.Helper()
	for _, db := range all {
		s.must(db.Sync().Resume(s.t.Context()))
	}
	await.Poll(s.t, what, so)
	for _, db := range all {
		s.must(db.Sync().Pause(s.t.Context(), false))
	}
}

func (s *sealedSpace) hasSnapshot() bool { _, n := s.meta(); return n > 0 }

// isCut says whether the log is cut behind the newest snapshot.
func (s *sealedSpace) isCut() bool { m, _ := s.meta(); return m.Horizon > 0 }

// writeDays writes a row in each of some transactions.
func (s *sealedSpace) writeDays(db *DB, from, to int) {
	s.t.Helper()
	for i := from; i < to; i++ {
		s.write(db, fmt.Sprintf("day %04d", i), fmt.Sprintf("what was on day %d", i))
	}
	s.now(db)
}

const largeRows = 25

// largeSnapshot writes as many rows as make a snapshot of several chunks, and waits for that.
func (s *sealedSpace) largeSnapshot(db *DB) {
	s.t.Helper()
	text := make([]byte, 200<<10)
	for i := range largeRows {
		_, _ = rand.Read(text)
		_, err := db.Exec(s.t.Context(), `INSERT INTO diary VALUES(?, ?)`, fmt.Sprint(i), text)
		s.must(err)
	}
	s.now(db)
	s.follow("a snapshot", s.hasSnapshot, db)
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
	s.follow("a snapshot", s.hasSnapshot, ada)
	s.writeDays(ada, 30, 35)
	phone := s.added(ada, "Ada's phone", RoleWrite)
	s.now(phone)
	s.same(35, ada, phone)
	s.writeDays(phone, 35, 40)
	s.now(ada)
	s.same(40, ada, phone)
}

// A device is closed between sending its transactions and their entries, and a snapshot counts them: it knows them by
// what it has kept of their seals, and gives none of them back to the app.
func TestSealed_closedBeforeSnapshot(t *testing.T) {
	var deaf atomic.Bool // nobody hears what becomes of a push
	s := newSealedSpaceOn(t, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/push") && deaf.Load() {
				h.ServeHTTP(httptest.NewRecorder(), r)
				panic(http.ErrAbortHandler)
			}
			h.ServeHTTP(w, r)
		})
	}, cutSoon)
	s.bounds.Tell = time.Millisecond
	key, file := s.key("Ada's laptop"), filepath.Join(t.TempDir(), "ada.db")
	ada := s.open(key, file)
	s.writeDays(ada, 0, 2)
	phone, desk := s.added(ada, "phone", RoleWrite), s.added(ada, "desk", RoleWrite)
	s.now(phone, desk)
	for i := range 3 {
		s.write(ada, fmt.Sprintf("sent %d", i), "ada")
	}
	deaf.Store(true)
	if err := ada.Sync().Now(t.Context()); err == nil {
		t.Fatal("the answer has come")
	}
	deaf.Store(false)
	s.must(ada.Close())
	s.writeDays(phone, 2, 40)
	s.follow("a proved snapshot", s.isCut, phone, desk)

	ada = s.open(key, file)
	rejected := 0
	defer ada.Sync().OnRejected(func(Rejected) { rejected++ })()
	s.write(ada, "later", "ada")
	s.now(ada, phone, desk)
	s.same(44, ada, phone, desk)
	if n := ada.Sync().Status().Pending; rejected > 0 || n > 0 {
		t.Errorf("%d rejected, %d pending", rejected, n)
	}
}

// Several pulls of a new device at once apply a snapshot once.
func TestSealed_snapshotOnce(t *testing.T) {
	var mu sync.Mutex
	var open atomic.Bool // until then a device that is opened gets nothing of it before it is paused
	asked := map[string]int{}
	s := newSealedSpaceOn(t, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !strings.HasSuffix(r.URL.Path, "/chunk") || r.Method != http.MethodGet {
				h.ServeHTTP(w, r)
				return
			}
			given := httptest.NewRecorder()
			if given.Code = http.StatusServiceUnavailable; open.Load() {
				given.Code = http.StatusOK
				h.ServeHTTP(given, r)
			}
			if given.Code == http.StatusOK {
				mu.Lock()
				asked[r.URL.RawQuery]++
				mu.Unlock()
			}
			maps.Copy(w.Header(), given.Header())
			w.WriteHeader(given.Code)
			w.Write(given.Body.Bytes())
		})
	}, cutSoon)
	s.bounds.Tell = time.Millisecond
	_, ada := s.found()
	s.largeSnapshot(ada)
	phone := s.added(ada, "phone", RoleWrite)
	open.Store(true)
	s.must(phone.Sync().Resume(t.Context())) // which follows the log
	s.now(phone)
	s.same(largeRows, ada, phone)
	mu.Lock()
	defer mu.Unlock()
	for chunk, n := range asked {
		if n > 1 {
			t.Errorf("%s was fetched %d times", chunk, n)
		}
	}
	if len(asked) < 2 {
		t.Errorf("%d chunks", len(asked))
	}
}

// The status says that a snapshot comes, also after an attempt that has failed.
func TestSealed_snapshotBootstrapping(t *testing.T) {
	var down atomic.Bool
	s := newSealedSpaceOn(t, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if down.Load() {
				http.Error(w, "down", http.StatusServiceUnavailable)
				return
			}
			h.ServeHTTP(w, r)
		})
	}, cutSoon)
	s.bounds.Tell = time.Millisecond
	_, ada := s.found()
	s.largeSnapshot(ada)
	phone := s.added(ada, "phone", RoleWrite)
	down.Store(true)
	failed, coming := make(chan struct{}, 1), make(chan struct{}, 1)
	defer phone.Sync().OnStatus(func(status Status) {
		signal := failed
		switch {
		case status.State == StateBootstrapping:
			signal = coming
		case status.LastError == nil:
			return
		}
		select {
		case signal <- struct{}{}:
		default:
		}
	})()
	s.must(phone.Sync().Resume(t.Context()))
	await.Event(t, failed, "an attempt that fails")
	down.Store(false)
	s.must(phone.Sync().Resume(t.Context()))
	await.Event(t, coming, "that a snapshot comes")
}

// The status says of the last snapshot which other members have confirmed it, also when the database is opened again.
func TestSealed_snapshotStatus(t *testing.T) {
	s := newSnapshotSpace(t)
	key, file := s.key("Ada's laptop"), filepath.Join(t.TempDir(), "ada")
	ada := s.open(key, file)
	s.writeDays(ada, 0, 30)
	s.says(ada, SnapshotStatus{})
	s.follow("a snapshot that is read back", func() bool { return s.snapshot(ada).Proved }, ada)
	at := s.snapshot(ada).Seq
	if at < 20 {
		t.Errorf("the snapshot stands at entry %d", at)
	}
	phone := s.added(ada, "Ada's phone", RoleWrite)
	s.now(phone)
	s.says(phone, SnapshotStatus{Seq: at, Proved: true})
	s.follow("word of the phone", func() bool { return s.snapshot(ada).Confirmed == 1 }, ada, phone)
	s.says(ada, SnapshotStatus{Seq: at, Proved: true, Confirmed: 1, Devices: 1})
	tablet := s.added(ada, "Ada's tablet", RoleRead)
	s.now(tablet, ada, phone)
	s.follow("word of the tablet", func() bool {
		return s.snapshot(ada).Confirmed == 2 && s.snapshot(phone).Confirmed == 1
	}, ada, phone, tablet)
	s.must(ada.Close())
	ada = s.open(key, file)
	s.says(ada, SnapshotStatus{Seq: at, Proved: true, Confirmed: 2, Devices: 2})
	for _, m := range mustMembers(s, ada) {
		if m.Name == "Ada's tablet" {
			s.must(ada.Sync().RemoveDevices(t.Context(), m.ID))
		}
	}
	s.now(ada)
	s.says(ada, SnapshotStatus{Seq: at, Proved: true, Confirmed: 1, Devices: 1})
}

func (s *sealedSpace) snapshot(db *DB) SnapshotStatus { return db.Sync().Status().Snapshot }

// says demands what a device's status says of a snapshot.
func (s *sealedSpace) says(db *DB, want SnapshotStatus) {
	s.t.Helper()
	if got := s.snapshot(db); got != want {
		s.t.Errorf("the status says %+v, want %+v", got, want)
	}
}

// The log is cut once another device has read a snapshot back. Devices that come then, and those that were away, go on.
func TestSealed_cut(t *testing.T) {
	s := newSnapshotSpace(t)
	_, ada := s.found()
	s.write(ada, "monday", "a secret")
	s.now(ada)
	phone, away := s.added(ada, "Ada's phone", RoleWrite), s.added(ada, "Ada's tablet", RoleWrite)
	s.now(phone, away)
	_, err := ada.Exec(t.Context(), `DELETE FROM diary WHERE day = 'monday'`)
	s.must(err)
	s.writeDays(ada, 0, 30)
	s.write(away, "tuesday", "rain") // not sent
	s.follow("a proved snapshot", s.isCut, ada, phone)
	s.now(phone)
	s.same(30, ada, phone)

	s.now(away)
	s.now(ada, phone)
	s.same(31, ada, phone, away)

	fresh := s.added(phone, "Bob's laptop", RoleWrite)
	s.now(fresh)
	s.writeDays(fresh, 30, 60)
	s.now(ada, phone, away)
	s.same(61, ada, phone, away, fresh)
	before, _ := s.meta()
	cutOn := func() bool { m, _ := s.meta(); return m.Horizon > before.Horizon+20 }
	s.follow("a second snapshot", cutOn, ada, phone, fresh)
	last := s.added(fresh, "Bob's phone", RoleRead)
	s.now(last)
	s.same(61, last, ada)
}

// Where there is one device it reads its own snapshot back.
func TestSealed_cutAlone(t *testing.T) {
	s := newSnapshotSpace(t)
	key, ada := s.found()
	s.writeDays(ada, 0, 30)
	s.follow("a proved snapshot", s.isCut, ada)
	again := s.open(key, "") // the same device, with an empty database
	s.now(again)
	s.same(30, ada, again)
}

// A server that is put back, with a log that is cut, is followed by an admin's word, also
// where the others have made a new snapshot behind what was lost before the admin comes.
func TestSealed_restoredCut(t *testing.T) {
	r := newRestorableWith(t, server.Limits{SealedKept: 40, SealedEntries: 20})
	r.bounds.Tell = time.Millisecond
	_, ada := r.found()
	r.writeDays(ada, 0, 60)
	phone, late := r.added(ada, "Ada's phone", RoleWrite), r.added(ada, "Ada's tablet", RoleAdmin)
	r.now(phone, late)
	r.follow("a proved snapshot", r.isCut, ada, phone)
	r.now(ada, phone, late)
	backup := r.backup()
	r.writeDays(ada, 60, 63)
	r.writeDays(late, 63, 64)
	r.now(ada) // what the phone does not hear of is no loss to it
	r.restore(backup)
	for _, db := range []*DB{ada, late} {
		wantCode(t, db.Sync().Now(t.Context()), CodeTampered)
	}
	r.writeDays(phone, 100, 130)
	r.follow("a snapshot of the log that is there", func() bool {
		m, _ := r.meta()
		return m.Horizon > 40
	}, phone)
	r.must(r.accept(ada))
	r.now(ada, phone, late, ada, phone, late)
	r.same(94, ada, phone, late)
	fresh := r.added(late, "Bob's laptop", RoleWrite)
	r.now(fresh)
	r.same(94, fresh, ada)
}

// A snapshot whose maker is removed is not started from: another one is made in its place.
func TestSealed_makerRemoved(t *testing.T) {
	s := newSnapshotSpace(t)
	_, ada := s.found()
	s.writeDays(ada, 0, 30)
	phone := s.added(ada, "Ada's phone", RoleWrite)
	s.now(phone)
	s.follow("a snapshot", s.hasSnapshot, phone)
	s.follow("its proof", s.isCut, ada)
	for _, m := range mustMembers(s, ada) {
		if !m.This {
			s.must(ada.Sync().RemoveDevices(t.Context(), m.ID))
		}
	}
	before := s.snapshots()
	s.follow("another snapshot", func() bool { return !slices.Equal(before, s.snapshots()) }, ada)
	tablet := s.added(ada, "Ada's tablet", RoleWrite)
	s.now(tablet)
	s.same(30, ada, tablet)
}

// snapshots are the names of those that the server has.
func (s *sealedSpace) snapshots() (names []string) {
	s.t.Helper()
	s.must(s.store.Read(s.t.Context(), "family", func(v logstore.View) error {
		all, err := v.Blobs("snapshot/")
		names = nil
		for _, b := range all {
			names = append(names, b.Name)
		}
		return err
	}))
	return names
}
