//go:build !js

package opfstest

import (
	"strings"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"
)

// A mutant is a way to get durability wrong. The crash test must catch it.
type mutant struct {
	name    string
	matters func(Mode) bool // the modes that rely on what it breaks
	lies    Lies
	sync    string // PRAGMA synchronous
	through bend
}

func always(Mode) bool       { return true }
func inWAL(m Mode) bool      { return m.Journal == "wal" }
func inRollback(m Mode) bool { return m.Journal != "wal" }
func byRemoval(m Mode) bool  { return m.Journal == "delete" || m.Journal == "truncate" }
func ending(suffix string) func(string) bool {
	return func(file string) bool { return strings.HasSuffix(file, suffix) }
}

var mutants = []mutant{
	{name: "flush does nothing", matters: always, lies: Lies{Flush: ending("")}},
	{name: "the log is not flushed", matters: inWAL, lies: Lies{Flush: ending("-wal")}},
	{name: "the journal is not flushed", matters: inRollback, lies: Lies{Flush: ending("-journal")}},
	{name: "the database is not flushed", matters: always, lies: Lies{Flush: ending(".db")}},
	{name: "the flush comes before the run", matters: always, lies: Lies{Late: true}},
	{name: "a removal is not flushed", matters: byRemoval, lies: Lies{Remove: true}},
	{name: "synchronous=NORMAL", matters: inWAL, sync: "NORMAL"},
	{name: "synchronous=OFF", matters: always, sync: "OFF"},
	{name: "a removal does nothing", matters: func(m Mode) bool {
		return m.Journal == "delete"
	}, through: func(v vfs.VFS) vfs.VFS { return stubborn{v} }},
	{name: "power-safe overwrite is claimed", matters: inWAL, through: claims(vfs.IOCAP_POWERSAFE_OVERWRITE, 0)},
	{name: "sequential writes are claimed", matters: inRollback, through: claims(vfs.IOCAP_SEQUENTIAL, 0)},
	{name: "sectors of 512 bytes are claimed", matters: inWAL, through: claims(0, 512)},
}

// hunt looks for an image that shows the mutant, and returns how many it took
// and what it showed; "" if none did.
func (m *mutant) hunt(mode Mode, seed uint64, images int) (opened int, how string) {
	mode.Sync = m.sync
	through := m.through
	if through == nil {
		through = straight
	}
	for w := 0; opened < images; w++ {
		h, err := record(NewDisk(m.lies), Workload{Seed: w}, mode, crashTxns, through)
		if err != nil {
			return opened, "without a loss of power: " + err.Error()
		}
		r := random(seed, mode.String())
		h.disk.Images(r, 0, 1, func(img Image) bool {
			opened++
			if err := h.judge(img, through); err != nil {
				how = err.Error()
			}
			return how == "" && opened < images
		})
		if how != "" {
			return opened, how
		}
	}
	return opened, ""
}

// stubborn removes nothing and says that it did.
type stubborn struct{ vfs.VFS }

func (stubborn) Delete(string, bool) error { return nil }

// claims is a VFS that promises more than the browser keeps.
func claims(more vfs.DeviceCharacteristic, sector int) bend {
	return func(v vfs.VFS) vfs.VFS { return boaster{v, more, sector} }
}

type boaster struct {
	vfs.VFS
	more   vfs.DeviceCharacteristic
	sector int
}

func (b boaster) Open(name string, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	f, flags, err := b.VFS.Open(name, flags)
	if err != nil {
		return nil, flags, err
	}
	return &boastful{f, b}, flags, nil
}

type boastful struct {
	vfs.File
	b boaster
}

func (f *boastful) DeviceCharacteristics() vfs.DeviceCharacteristic {
	return f.File.DeviceCharacteristics() | f.b.more
}

func (f *boastful) SectorSize() int {
	if f.b.sector > 0 {
		return f.b.sector
	}
	return f.File.SectorSize()
}

func (f *boastful) SharedMemory() vfs.SharedMemory {
	if s, ok := f.File.(vfs.FileSharedMemory); ok {
		return s.SharedMemory()
	}
	return nil
}

func (f *boastful) LockState() vfs.LockLevel {
	if s, ok := f.File.(vfs.FileLockState); ok {
		return s.LockState()
	}
	return vfs.LOCK_NONE
}

func (f *boastful) SyncSuper(super string) error {
	if s, ok := f.File.(vfs.FileSync); ok {
		return s.SyncSuper(super)
	}
	return sqlite3.NOTFOUND
}
