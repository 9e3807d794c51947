package opfs

import (
	"sync"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"
)

// locks are the locks of one database file between the connections of this
// process. No goroutine waits in here: one goroutine at a time is inside SQLite, so
// the holder of the lock could not run. Busy is answered at once and retried
// outside.
//
// https://sqlite.org/lockingv3.html
type locks struct {
	mu       sync.Mutex
	shared   int   // files at SHARED or above
	reserved *file // the one at RESERVED or above
	pending  *file // the one that waits for readers to leave
	owner    *file // the one at EXCLUSIVE
}

// lock raises f to level. f.level is guarded by l.mu.
func (l *locks) lock(f *file, level vfs.LockLevel) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if f.level >= level {
		return nil
	}
	other := func(g *file) bool { return g != nil && g != f }
	switch level {
	case vfs.LOCK_SHARED:
		if other(l.pending) || other(l.owner) {
			return sqlite3.BUSY
		}
		l.shared++

	case vfs.LOCK_RESERVED:
		if f.level != vfs.LOCK_SHARED || f.readOnly {
			return sqlite3.IOERR_LOCK
		}
		if other(l.reserved) || other(l.pending) || other(l.owner) {
			return sqlite3.BUSY
		}
		l.reserved = f

	case vfs.LOCK_EXCLUSIVE:
		if f.level < vfs.LOCK_SHARED || f.readOnly {
			return sqlite3.IOERR_LOCK
		}
		if other(l.reserved) || other(l.pending) || other(l.owner) {
			return sqlite3.BUSY
		}
		if l.shared > 1 {
			// A writer keeps new readers out and asks again. Whoever comes from
			// SHARED (to play back a hot journal) holds on to nothing: two of
			// them would keep each other out.
			if f.level >= vfs.LOCK_RESERVED {
				l.pending = f
				f.level = vfs.LOCK_PENDING
			}
			return sqlite3.BUSY
		}
		l.owner, l.pending = f, nil

	default:
		return sqlite3.IOERR_LOCK
	}
	f.level = level
	return nil
}

// unlock lowers f to level, SHARED or NONE.
func (l *locks) unlock(f *file, level vfs.LockLevel) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if level > vfs.LOCK_SHARED {
		return sqlite3.IOERR_UNLOCK
	}
	if f.level <= level {
		return nil
	}
	if l.reserved == f {
		l.reserved = nil
	}
	if l.pending == f {
		l.pending = nil
	}
	if l.owner == f {
		l.owner = nil
	}
	if level == vfs.LOCK_NONE {
		l.shared--
	}
	f.level = level
	return nil
}

// anyReserved reports whether some connection is at RESERVED or above.
func (l *locks) anyReserved() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.reserved != nil || l.pending != nil || l.owner != nil
}

func (l *locks) level(f *file) vfs.LockLevel {
	l.mu.Lock()
	defer l.mu.Unlock()
	return f.level
}
