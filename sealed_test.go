package heddle

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"heddle.dev/heddle/sync/client"
	"heddle.dev/heddle/sync/logstore/sqlitestore"
	"heddle.dev/heddle/sync/server"
)

// sealedSpace is a server with a sealed space, and where databases of it lie.
type sealedSpace struct {
	t    testing.TB
	url  string
	data string // the server's directory
	log  bytes.Buffer

	store *sqlitestore.Store

	// Of the databases that are opened next.
	bounds client.Bounds
	failed atomic.Int64 // snapshots that were made or were to be started from, and did not do
}

func newSealedSpace(t testing.TB) *sealedSpace {
	t.Helper()
	return newSealedSpaceOf(t, func(h http.Handler) http.Handler { return h })
}

// newSealedSpaceOf is one whose server is what around makes of a real one.
func newSealedSpaceOf(t testing.TB, around func(http.Handler) http.Handler) *sealedSpace {
	t.Helper()
	return newSealedSpaceOn(t, around, func(*server.Options) {})
}

// newSealedSpaceWith is one whose server has other options.
func newSealedSpaceWith(t testing.TB, change func(*server.Options)) *sealedSpace {
	t.Helper()
	return newSealedSpaceOn(t, func(h http.Handler) http.Handler { return h }, change)
}

func newSealedSpaceOn(t testing.TB, around func(http.Handler) http.Handler, change func(*server.Options)) *sealedSpace {
	t.Helper()
	s := &sealedSpace{t: t, data: t.TempDir()}
	kept, err := sqlitestore.Open(sqlitestore.Options{Dir: s.data, Files: 1})
	if err != nil {
		t.Fatal(err)
	}
	o := server.Options{Store: kept, Dev: true, Limits: server.Limits{Heads: time.Nanosecond},
		Logger: slog.New(slog.NewTextHandler(&s.log, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	change(&o)
	s.store = kept
	srv, err := server.New(o)
	if err != nil {
		t.Fatal(err)
	}
	hs := httptest.NewServer(around(srv))
	s.url = hs.URL
	t.Cleanup(func() {
		srv.Drain()
		hs.Close()
		srv.Close()
		kept.Close()
	})
	return s
}

func (s *sealedSpace) options(key *Key) *SyncOptions {
	return &SyncOptions{URL: s.url, Space: "family", Key: key, Tables: Tables{"diary": nil}, bounds: s.bounds}
}

// open opens a database that syncs by Now alone.
func (s *sealedSpace) open(key *Key, file string) *DB {
	s.t.Helper()
	db := openTest(s.t, Options{File: file, Sync: s.options(key),
		Migrations: []string{`CREATE TABLE diary(day TEXT PRIMARY KEY, text TEXT)`}})
	db.Sync().OnSnapshotFailed(func(SnapshotFailed) { s.failed.Add(1) })
	s.must(db.Sync().Pause(s.t.Context(), false))
	return db
}

func (s *sealedSpace) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *sealedSpace) now(dbs ...*DB) {
	s.t.Helper()
	for _, db := range dbs {
		s.must(db.Sync().Now(s.t.Context()))
	}
}

func (s *sealedSpace) write(db *DB, day, text string) {
	s.t.Helper()
	_, err := db.Exec(s.t.Context(), `INSERT INTO diary VALUES(?, ?)`, day, text)
	s.must(err)
}

// same demands that databases hold the same rows, so many.
func (s *sealedSpace) same(n int, dbs ...*DB) {
	s.t.Helper()
	var first *Rows
	for _, db := range dbs {
		rows, err := db.Query(s.t.Context(), `SELECT * FROM diary ORDER BY day`)
		s.must(err)
		if len(rows.Values) != n || first != nil && !reflect.DeepEqual(rows, first) {
			s.t.Fatalf("got %v, want %d rows, those of the others", rows.Values, n)
		}
		first = rows
	}
}

// key is that of a new space's founder.
func (s *sealedSpace) key(name string) *Key {
	s.t.Helper()
	key, err := NewSpace(s.t.Context(), "family", name)
	s.must(err)
	return key
}

func (s *sealedSpace) found() (*Key, *DB) {
	s.t.Helper()
	key := s.key("Ada's laptop")
	return key, s.open(key, "")
}

// added lets a second device in by what the two tell each other.
func (s *sealedSpace) added(by *DB, name string, role Role) *DB {
	s.t.Helper()
	ctx, key := s.t.Context(), NewDevice("family", name)
	request, err := key.Request(ctx)
	s.must(err)
	offer, err := by.Sync().Offer(ctx, request, role)
	s.must(err)
	accepted, err := key.Accept(ctx, offer)
	s.must(err)
	s.must(by.Sync().AddDevice(ctx, accepted))
	return s.open(key, "")
}

func TestSealed(t *testing.T) {
	s := newSealedSpace(t)
	key, ada := s.found()
	s.write(ada, "monday", "a walk to the lighthouse")
	s.now(ada)
	phone := s.added(ada, "Ada's phone", RoleWrite)
	s.now(phone)
	s.same(1, ada, phone)

	s.write(phone, "tuesday", "rain")
	s.write(ada, "wednesday", "letters")
	s.now(phone, ada, phone)
	s.same(3, ada, phone)

	members, err := phone.Sync().Members(t.Context())
	s.must(err)
	names := map[string]bool{}
	for _, m := range members {
		names[m.Name] = m.This
	}
	if want := map[string]bool{"Ada's laptop": false, "Ada's phone": true}; !reflect.DeepEqual(names, want) {
		t.Errorf("got the members %v, want %v", names, want)
	}

	s.must(ada.Sync().RotateKey(t.Context()))
	s.write(ada, "thursday", "a new key")
	s.now(ada, phone)
	s.write(phone, "friday", "with the new key")
	s.now(phone, ada)
	s.same(5, ada, phone)

	// A key outlives the program, and the database knows its log.
	data, err := json.Marshal(key)
	s.must(err)
	var again Key
	s.must(json.Unmarshal(data, &again))
	third := s.open(&again, "")
	s.now(third) // the same device, with an empty database
	s.same(5, third, ada)
}

// Two servers over one store take turns, request by request: each takes what is proved by the other's challenge.
func TestSealed_serversInTurn(t *testing.T) {
	var second *server.Server
	var requests, proved, refused atomic.Int64
	s := newSealedSpaceOn(t, func(first http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			one := first
			if requests.Add(1)%2 == 0 {
				one = second
			}
			answer := &statusWriter{ResponseWriter: w}
			one.ServeHTTP(answer, r)
			if r.Header.Get("Heddle-Device") == "" {
				return
			}
			if proved.Add(1); answer.status == http.StatusForbidden {
				refused.Add(1)
			}
		})
	}, func(o *server.Options) {
		var err error
		if second, err = server.New(*o); err != nil {
			t.Fatal(err)
		}
	})
	t.Cleanup(func() {
		second.Drain()
		second.Close()
	})
	_, ada := s.found()
	s.write(ada, "1", "ada")
	s.now(ada)
	phone := s.added(ada, "phone", RoleWrite)
	s.write(phone, "2", "phone")
	for range 3 {
		s.now(phone, ada)
	}
	s.same(2, ada, phone)
	if p, r := proved.Load(), refused.Load(); p < 10 || r > 0 {
		t.Errorf("%d requests had a proof, and %d of them were refused", p, r)
	}
}

// statusWriter notes the status of an answer.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func TestSealed_removed(t *testing.T) {
	s := newSealedSpace(t)
	_, ada := s.found()
	s.now(ada)
	phone := s.added(ada, "phone", RoleWrite)
	s.write(phone, "monday", "mine")
	s.now(phone, ada)
	members, err := ada.Sync().Members(t.Context())
	s.must(err)
	for _, m := range members {
		if !m.This {
			s.must(ada.Sync().RemoveDevices(t.Context(), m.ID))
		}
	}
	s.write(ada, "tuesday", "after the removal")
	s.write(phone, "wednesday", "kept here")
	s.now(ada)
	wantCode(t, phone.Sync().Now(t.Context()), CodeRemoved)
	s.same(2, phone)
	if n := phone.Sync().Status().Pending; n != 1 {
		t.Errorf("the removed device has %d pending, want 1", n)
	}
	s.same(2, ada)
}

// A device that follows the log learns of its removal at once: its stream ends, and it
// gets no other.
func TestSealed_removedWhileItFollows(t *testing.T) {
	s := newSealedSpace(t)
	_, ada := s.found()
	s.now(ada)
	phone := s.added(ada, "phone", RoleWrite)
	removed := make(chan struct{})
	var once sync.Once
	phone.Sync().OnStatus(func(st Status) {
		if st.LastError != nil && st.LastError.Code == CodeRemoved {
			once.Do(func() { close(removed) })
		}
	})
	live := make(chan struct{})
	var first sync.Once
	phone.Sync().OnStatus(func(st Status) {
		if st.State == StateLive {
			first.Do(func() { close(live) })
		}
	})
	s.must(phone.Sync().Resume(t.Context()))
	<-live
	for _, m := range mustMembers(s, ada) {
		if !m.This {
			s.must(ada.Sync().RemoveDevices(t.Context(), m.ID))
		}
	}
	<-removed
	wantCode(t, phone.Sync().Now(t.Context()), CodeRemoved)
}

func mustMembers(s *sealedSpace, db *DB) []Member {
	s.t.Helper()
	all, err := db.Sync().Members(s.t.Context())
	s.must(err)
	return all
}

func TestSealed_recoveryCode(t *testing.T) {
	s := newSealedSpace(t)
	_, ada := s.found()
	s.write(ada, "monday", "before all is lost")
	s.now(ada)
	code, err := ada.Sync().NewRecoveryCode(t.Context())
	s.must(err)
	s.must(ada.Sync().RotateKey(t.Context()))
	s.write(ada, "tuesday", "under another key")
	s.now(ada)

	_, err = UnlockSpace(t.Context(), s.options(nil), code[:len(code)-1]+"#", "tablet")
	wantCode(t, err, CodeBadCode)
	key, err := UnlockSpace(t.Context(), s.options(nil), code, "tablet")
	s.must(err)
	tablet := s.open(key, "")
	s.now(tablet)
	s.write(tablet, "wednesday", "from the tablet")
	s.now(tablet, ada)
	s.same(3, tablet, ada)
}

func TestSealed_passphrase(t *testing.T) {
	s := newSealedSpace(t)
	_, ada := s.found()
	s.write(ada, "monday", "before all is lost")
	s.now(ada)
	wantCode(t, ada.Sync().SetPassphrase(t.Context(), "eleven char"), CodeBadPassphrase)
	s.must(ada.Sync().SetPassphrase(t.Context(), "Z\u00fcrich liegt am See"))
	_, err := UnlockSpaceByPassphrase(t.Context(), s.options(nil), "zu\u0308rich liegt am See", "tablet")
	wantCode(t, err, CodeBadPassphrase)
	key, err := UnlockSpaceByPassphrase(t.Context(), s.options(nil), "Zu\u0308rich liegt am See", "tablet")
	s.must(err)
	tablet := s.open(key, "")
	s.now(tablet)
	s.write(tablet, "tuesday", "from the tablet")
	s.now(tablet, ada)
	s.same(2, tablet, ada)
	code, err := tablet.Sync().SetPassphraseAndCode(t.Context(), "correct horse battery")
	s.must(err)
	_, err = UnlockSpaceByPassphrase(t.Context(), s.options(nil), "correct horse battery", "phone")
	wantCode(t, err, CodeBadPassphrase)
	_, err = UnlockSpace(t.Context(), s.options(nil), code, "phone")
	wantCode(t, err, CodeBadCode)
	_, err = UnlockSpaceByBoth(t.Context(), s.options(nil), "correct horse battery", code[1:], "phone")
	wantCode(t, err, CodeBadCode)
	key, err = UnlockSpaceByBoth(t.Context(), s.options(nil), "correct horse battery", code, "phone")
	s.must(err)
	phone := s.open(key, "")
	s.now(phone, ada)
	s.same(2, phone, ada)
	phrases := 0
	for _, m := range mustMembers(s, ada) {
		if m.Passphrase && m.Code && m.Name == "" {
			phrases++
		}
	}
	if phrases != 1 {
		t.Errorf("the members are %+v", mustMembers(s, ada))
	}
}

// A plain program and a sealed space do not go together, nor the other way round.
func TestSealed_andPlain(t *testing.T) {
	s := newSealedSpace(t)
	file := filepath.Join(t.TempDir(), "sealed.db")
	key, err := NewSpace(t.Context(), "family", "laptop")
	s.must(err)
	ada, err := Open(t.Context(), Options{File: file, Sync: s.options(key),
		Migrations: []string{`CREATE TABLE diary(day TEXT PRIMARY KEY, text TEXT)`}})
	s.must(err)
	s.now(ada)
	s.must(ada.Close())
	_, err = Open(t.Context(), Options{File: file, Sync: s.options(nil),
		Migrations: []string{`CREATE TABLE diary(day TEXT PRIMARY KEY, text TEXT)`}})
	wantCode(t, err, CodeLocked)

	plain := s.open(nil, "")
	s.write(plain, "monday", "in the open")
	wantCode(t, plain.Sync().Now(t.Context()), CodeSealed)
}

// eavesdropper keeps all that goes to a server and comes from it: addresses, headers and
// bodies.
type eavesdropper struct {
	real http.Handler
	mu   sync.Mutex
	all  bytes.Buffer
}

func (e *eavesdropper) heard(parts ...any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, p := range parts {
		fmt.Fprintf(&e.all, "%s\n", p)
	}
}

func (e *eavesdropper) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	e.heard(r.Method, r.URL, fmt.Sprint(r.Header), body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	r.Header.Del("Accept-Encoding") // what is compressed could hide something
	rec := httptest.NewRecorder()
	e.real.ServeHTTP(rec, r)
	e.heard(fmt.Sprint(rec.Header()), rec.Body.Bytes())
	for name, values := range rec.Header() {
		w.Header()[name] = values
	}
	w.WriteHeader(rec.Code)
	w.Write(rec.Body.Bytes())
}

// None of what was written, of what it is called, and of keys and codes is on the
// server's disk, in its log, or on the way.
func TestSealed_canaries(t *testing.T) {
	ear := &eavesdropper{}
	s := newSealedSpaceOf(t, func(h http.Handler) http.Handler {
		ear.real = h
		return ear
	})
	key, ada := s.found()
	s.write(ada, "canary-key", "canary-value")
	s.now(ada)
	code, err := ada.Sync().NewRecoveryCode(t.Context())
	s.must(err)
	second, err := ada.Sync().SetPassphraseAndCode(t.Context(), "canary-passphrase-2")
	s.must(err)
	s.must(ada.Sync().SetPassphrase(t.Context(), "canary-passphrase"))
	unlocked, err := UnlockSpaceByPassphrase(t.Context(), s.options(nil), "canary-passphrase", "canary-tablet")
	s.must(err)
	tablet := s.open(unlocked, "")
	s.now(tablet)
	s.must(tablet.Sync().RotateKey(t.Context()))
	s.write(tablet, "canary-key-2", strings.Repeat("canary-long ", 1<<17)) // in parts
	s.now(tablet, ada)
	s.same(2, ada, tablet)
	_, err = UnlockSpace(t.Context(), s.options(nil), "0000-0000", "x")
	wantCode(t, err, CodeBadCode)

	canaries := []string{"canary", "diary", "Ada's laptop", code, strings.ReplaceAll(code, "-", ""),
		second, strings.ReplaceAll(second, "-", ""),
		string(key.k.Sign[:]), string(key.k.Box[:]), string(unlocked.k.Sign[:]), string(unlocked.k.SlotSign[:])}
	files, err := filepath.Glob(filepath.Join(s.data, "*"))
	s.must(err)
	places := map[string][]byte{"the traffic": ear.all.Bytes(), "the server's log": s.log.Bytes()}
	for _, file := range files {
		if places[filepath.Base(file)], err = os.ReadFile(file); err != nil {
			t.Fatal(err)
		}
	}
	for place, data := range places {
		if len(data) == 0 && strings.HasPrefix(place, "the ") {
			t.Errorf("there is nothing in %s", place)
		}
		for _, canary := range canaries {
			if bytes.Contains(bytes.ToLower(data), bytes.ToLower([]byte(canary))) {
				t.Errorf("%q is in %s", canary, place)
			}
		}
	}
}
