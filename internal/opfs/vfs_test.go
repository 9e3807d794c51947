package opfs

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"

	"heddle.dev/heddle/internal/errcode"
)

const rw = vfs.OPEN_READWRITE | vfs.OPEN_CREATE

func openFile(t *testing.T, v *VFS, name string, flags vfs.OpenFlag) vfs.File {
	t.Helper()
	f, _, err := v.Open(name, flags)
	if err != nil {
		t.Fatalf("open %s: %v", name, err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// TestLocks_table walks three connections through the states of
// https://sqlite.org/lockingv3.html
func TestLocks_table(t *testing.T) {
	const (
		none      = vfs.LOCK_NONE
		shared    = vfs.LOCK_SHARED
		reserved  = vfs.LOCK_RESERVED
		pending   = vfs.LOCK_PENDING
		exclusive = vfs.LOCK_EXCLUSIVE
	)
	type step struct {
		who  int
		to   vfs.LockLevel // below the present level: unlock
		ok   bool
		then [3]vfs.LockLevel
	}
	for name, steps := range map[string][]step{
		"readers": {
			{0, shared, true, [3]vfs.LockLevel{shared}},
			{1, shared, true, [3]vfs.LockLevel{shared, shared}},
			{0, none, true, [3]vfs.LockLevel{none, shared}},
		},
		"one writer, readers beside it until it commits": {
			{0, shared, true, [3]vfs.LockLevel{shared}},
			{0, reserved, true, [3]vfs.LockLevel{reserved}},
			{1, shared, true, [3]vfs.LockLevel{reserved, shared}},
			{1, reserved, false, [3]vfs.LockLevel{reserved, shared}},
			{0, exclusive, false, [3]vfs.LockLevel{pending, shared}},
			{2, shared, false, [3]vfs.LockLevel{pending, shared}},
			{1, none, true, [3]vfs.LockLevel{pending}},
			{2, shared, false, [3]vfs.LockLevel{pending}},
			{0, exclusive, true, [3]vfs.LockLevel{exclusive}},
			{2, shared, false, [3]vfs.LockLevel{exclusive}},
			{0, shared, true, [3]vfs.LockLevel{shared}},
			{2, shared, true, [3]vfs.LockLevel{shared, none, shared}},
		},
		"two at a hot journal": {
			{0, shared, true, [3]vfs.LockLevel{shared}},
			{1, shared, true, [3]vfs.LockLevel{shared, shared}},
			{0, exclusive, false, [3]vfs.LockLevel{shared, shared}},
			{1, none, true, [3]vfs.LockLevel{shared}},
			{0, exclusive, true, [3]vfs.LockLevel{exclusive}},
			{1, shared, false, [3]vfs.LockLevel{exclusive}},
			{0, none, true, [3]vfs.LockLevel{}},
		},
		"pending gives up": {
			{0, shared, true, [3]vfs.LockLevel{shared}},
			{1, shared, true, [3]vfs.LockLevel{shared, shared}},
			{0, reserved, true, [3]vfs.LockLevel{reserved, shared}},
			{0, exclusive, false, [3]vfs.LockLevel{pending, shared}},
			{1, exclusive, false, [3]vfs.LockLevel{pending, shared}},
			{0, none, true, [3]vfs.LockLevel{none, shared}},
			{2, shared, true, [3]vfs.LockLevel{none, shared, shared}},
			{1, reserved, true, [3]vfs.LockLevel{none, reserved, shared}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			v := New(Memory())
			var f [3]vfs.FileLockState
			for i := range f {
				f[i] = openFile(t, v, "test.db", rw).(vfs.FileLockState)
			}
			for i, s := range steps {
				var err error
				if s.to < f[s.who].LockState() {
					err = f[s.who].Unlock(s.to)
				} else {
					err = f[s.who].Lock(s.to)
				}
				if s.ok != (err == nil) || !s.ok && err != sqlite3.BUSY {
					t.Fatalf("step %d: %d to %d: %v", i, s.who, s.to, err)
				}
				writing := false
				for j := range f {
					if got := f[j].LockState(); got != s.then[j] {
						t.Fatalf("step %d: %d is at %d, want %d", i, j, got, s.then[j])
					}
					writing = writing || s.then[j] >= reserved
				}
				for j := range f {
					if got, err := f[j].CheckReservedLock(); got != writing || err != nil {
						t.Fatalf("step %d: %d: reserved %v, %v, want %v", i, j, got, err, writing)
					}
				}
			}
			// Closing gives up what is held.
			for i := range f {
				f[i].Close()
			}
			last := openFile(t, v, "test.db", rw)
			for _, level := range []vfs.LockLevel{shared, reserved, exclusive} {
				if err := last.Lock(level); err != nil {
					t.Fatalf("after closing: %v", err)
				}
			}
		})
	}
}

func TestVFS_sharesHandle(t *testing.T) {
	v := New(Memory())
	a, b := openFile(t, v, "test.db", rw), openFile(t, v, "/test.db", rw)
	if _, err := a.WriteAt([]byte("in the run"), 0); err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 10)
	if n, err := b.ReadAt(p, 0); err != nil || string(p[:n]) != "in the run" {
		t.Fatalf("the other connection reads %q, %v", p[:n], err)
	}
	if ok, err := v.Access("test.db", vfs.ACCESS_EXISTS); !ok || err != nil {
		t.Fatalf("access: %v, %v", ok, err)
	}
	if err := v.Delete("test.db", true); err != nil {
		t.Fatal(err)
	}
	if ok, _ := v.Access("test.db", vfs.ACCESS_EXISTS); ok {
		t.Fatal("deleted while open, and there")
	}
	if size, err := b.Size(); size != 0 || err != nil {
		t.Fatalf("size %d, %v", size, err)
	}
	wantCode(t, v.Delete("other", false), sqlite3.IOERR_DELETE_NOENT)
}

// loggingDirectory opens one file, which it keeps.
type loggingDirectory struct {
	*MemoryDirectory
	h *logging
}

func (d loggingDirectory) Open(string) (Handle, error) { return d.h, nil }

// TestVFS_deleteIsDurable deletes a file that is open, with a run that was not
// handed over: an old journal must not come back.
func TestVFS_deleteIsDurable(t *testing.T) {
	h := &logging{}
	v := New(loggingDirectory{Memory(), h})
	f := openFile(t, v, "test.db-journal", rw|vfs.OPEN_MAIN_JOURNAL)
	for range 2 {
		if _, err := f.WriteAt([]byte("journal"), 0); err != nil {
			t.Fatal(err)
		}
		if err := f.Sync(vfs.SYNC_FULL); err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt([]byte("more"), 7); err != nil {
			t.Fatal(err)
		}
		h.took()
		if err := v.Delete("test.db-journal", false); err != nil {
			t.Fatal(err)
		}
		if got := h.took(); got != "truncate 0+0; flush 0+0" {
			t.Fatalf("got %q", got)
		}
	}
	if _, err := f.WriteAt([]byte("journal"), 0); err != nil {
		t.Fatal(err)
	}
	if err := f.Sync(vfs.SYNC_FULL); err != nil {
		t.Fatal(err)
	}
	for _, op := range []string{"truncate", "flush"} {
		h.fail = func(got string, _ int) (int, error, bool) { return 0, errors.New("boom"), got == op }
		wantCode(t, v.Delete("test.db-journal", false), sqlite3.IOERR_DELETE)
	}
}

func TestVFS_openFlags(t *testing.T) {
	dir := Memory()
	v := New(dir)
	if _, _, err := v.Open("test.db", vfs.OPEN_READWRITE); err == nil {
		t.Fatal("opened what is not there")
	}
	f := openFile(t, v, "super", rw|vfs.OPEN_EXCLUSIVE|vfs.OPEN_DELETEONCLOSE|vfs.OPEN_SUPER_JOURNAL)
	if _, err := f.WriteAt([]byte("x"), 0); err != nil {
		t.Fatal(err)
	}
	if _, _, err := v.Open("super", rw|vfs.OPEN_EXCLUSIVE); err == nil {
		t.Fatal("created what is there")
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if names := dir.Names(); len(names) != 0 {
		t.Fatalf("left behind: %v", names)
	}
	ro, _, err := v.Open("test.db", vfs.OPEN_READONLY)
	if err == nil {
		ro.Close()
		t.Fatal("opened for reading what is not there")
	}
	// Temporary files never reach the directory.
	for _, flags := range []vfs.OpenFlag{vfs.OPEN_TEMP_DB, vfs.OPEN_TRANSIENT_DB, vfs.OPEN_TEMP_JOURNAL,
		vfs.OPEN_SUBJOURNAL, vfs.OPEN_MAIN_DB} {
		name := "named"
		if flags == vfs.OPEN_MAIN_DB {
			name = ""
		}
		f, out, err := v.Open(name, rw|flags)
		if err != nil || out&vfs.OPEN_MEMORY == 0 {
			t.Fatalf("%x: %v, flags %x", flags, err, out)
		}
		if _, err := f.WriteAt([]byte("x"), 9); err != nil {
			t.Fatal(err)
		}
	}
	if names := dir.Names(); len(names) != 0 {
		t.Fatalf("temporary files in the directory: %v", names)
	}
}

// moving is a directory whose files can be taken away.
type moving struct {
	*MemoryDirectory
	err error
}

func (m *moving) Check(context.Context) error { return m.err }

func TestVFS_check(t *testing.T) {
	dir := &moving{MemoryDirectory: Memory()}
	for _, d := range []Directory{dir, From[Handle](dir)} {
		dir.err = nil
		v := New(d)
		f := openFile(t, v, "test.db", rw)
		if _, err := f.WriteAt([]byte("before"), 0); err != nil {
			t.Fatal(err)
		}
		dir.err = errors.New("cannot tell")
		if err := v.Check(t.Context()); err == nil || v.lostErr() != nil {
			t.Fatalf("got %v: not knowing is not losing", err)
		}
		if err := f.Sync(vfs.SYNC_FULL); err != nil {
			t.Fatal(err)
		}
		dir.err = errcode.New(errcode.StorageLost, "test", "gone")
		if err := v.Check(t.Context()); errcode.Of(err) != errcode.StorageLost {
			t.Fatalf("got %v", err)
		}
		dir.err = nil // it stays lost
		if err := v.Check(t.Context()); errcode.Of(err) != errcode.StorageLost {
			t.Fatalf("got %v", err)
		}
		_, err := f.WriteAt([]byte("after"), 0)
		wantCode(t, err, sqlite3.IOERR_VNODE)
		wantCode(t, f.Sync(vfs.SYNC_FULL), sqlite3.IOERR_VNODE)
		wantCode(t, f.Truncate(0), sqlite3.IOERR_VNODE)
		wantCode(t, v.Delete("test.db", false), sqlite3.IOERR_VNODE)
		p := make([]byte, 6)
		if _, err := f.ReadAt(p, 0); err != nil || string(p) != "before" {
			t.Fatalf("read %q, %v", p, err)
		}
		if moved, err := f.(vfs.FileHasMoved).HasMoved(); !moved || err != nil {
			t.Fatalf("moved: %v, %v", moved, err)
		}
	}
}

// TestFile_claims fails when a flag claims of a browser what it does not
// state.
func TestFile_claims(t *testing.T) {
	f := openFile(t, New(Memory()), "test.db", rw|vfs.OPEN_MAIN_DB)
	if got := f.DeviceCharacteristics(); got != vfs.IOCAP_SUBPAGE_READ {
		t.Errorf("characteristics: got %x", got)
	}
	if got := f.SectorSize(); got != 4096 {
		t.Errorf("sector: got %d", got)
	}
}

func TestEncode(t *testing.T) {
	for _, c := range [][2]string{
		{"notes", "notes"}, {"Notes", "=4eotes"}, {"a.b", "a=2eb"}, {"..", "=2e=2e"}, {"a/b", "a=2fb"}, {"a=2fb", "a=3d2fb"},
		{"ä", "=c3=a4"}, {"my-notes_2", "my-notes_2"}, {" ", "=20"}, {"\x00", "=00"},
	} {
		if got, err := Encode(c[0]); err != nil || got != c[1] {
			t.Errorf("%q: got %q, %v, want %q", c[0], got, err, c[1])
		}
	}
	for _, bad := range []string{"", fmt.Sprintf("%0201d", 1)} {
		if got, err := Encode(bad); errcode.Of(err) != errcode.BadParam {
			t.Errorf("%q: got %q, %v", bad, got, err)
		}
	}
	if got, err := URI("My notes", "opfs"); err != nil || got != "file:=4dy=20notes.db?vfs=opfs" {
		t.Errorf("got %q, %v", got, err)
	}
}

// only is a directory in which no other names can be opened.
type only struct {
	Directory
	names map[string]bool
}

func (o only) Open(name string) (Handle, error) {
	if !o.names[name] {
		return nil, fmt.Errorf("%s was not opened before", name)
	}
	return o.Directory.Open(name)
}

// TestDraft: a file that is written in one go needs no file for its journal.
func TestDraft(t *testing.T) {
	v := New(only{Memory(), map[string]bool{"a": true, "b": true}})
	const name = "opfs-draft"
	vfs.Register(name, v)
	c, err := sqlite3.Open("file:a?vfs=" + name + "&_pragma=journal_mode(memory)")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Exec(`CREATE TABLE t(a); INSERT INTO t VALUES(randomblob(100000))`); err != nil {
		t.Fatal(err)
	}
	if err := c.Exec(`VACUUM INTO 'file:b?vfs=` + name + `'`); err == nil {
		t.Fatal("the journal was opened, which cannot be: the test shows nothing")
	}
	end := v.Draft("b")
	if err := c.Exec(`VACUUM INTO 'file:b?vfs=` + name + `'`); err != nil {
		t.Fatal(err)
	}
	end()
	if len(v.drafts) != 0 {
		t.Error("the draft stays one")
	}
}
