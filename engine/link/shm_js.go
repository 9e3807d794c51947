package sqlite3_wasm

import (
	"encoding/binary"
	"strings"
)

// SharedMemoryVFS names the VFS whose main databases have WAL shared memory. So
// do those of a VFS whose name begins with it and a hyphen.
const SharedMemoryVFS = "opfs"

// Shared memory is a plain block of Go memory a region, which all connections
// see since they live in one linear memory, and a table of lock states.
//
// https://sqlite.org/c3ref/io_methods.html, https://sqlite.org/walformat.html

const (
	shmLocks = 8 // SQLITE_SHM_NLOCK

	shmUnlock    = 1
	shmLock      = 2
	shmShared    = 4
	shmExclusive = 8

	openMainDB = 0x100

	codeCantOpen     = 14
	codeIOErrShmSize = 10 | 19<<8
)

// shmNode is the shared memory of one database file.
type shmNode struct {
	path    string // the VFS's name and the file's
	refs    int
	regions [][]byte
	shared  [shmLocks]int // how many hold the lock shared; -1: one holds it exclusively
}

// shmFile is one connection's part in it.
type shmFile struct {
	node      *shmNode
	joined    bool
	shared    uint8 // locks it holds shared
	exclusive uint8 // locks it holds exclusively
}

var shmNodes = map[string]*shmNode{}

func (m *Module) xgo_open(pVfs, zName, pFile, flags, pOutFlags, pOutVFS int32) int32 {
	if m.isOS(pVfs) {
		return codeCantOpen
	}
	rc := m.env.Xgo_open(pVfs, zName, pFile, flags, pOutFlags, pOutVFS)
	if rc != 0 || flags&openMainDB == 0 || zName == 0 {
		return rc
	}
	name := m.vfsName(pVfs)
	if name != SharedMemoryVFS && !strings.HasPrefix(name, SharedMemoryVFS+"-") {
		return rc
	}
	const methodsWithSharedMemory = 1
	binary.LittleEndian.PutUint32((*m.memory)[uint32(pOutVFS):], m.load32(pOutVFS)|methodsWithSharedMemory)
	if m.shared == nil {
		m.shared = map[int32]*shmFile{}
	}
	path := name + "\x00" + m.text(zName)
	node := shmNodes[path]
	if node == nil {
		node = &shmNode{path: path}
	}
	m.shared[pFile] = &shmFile{node: node}
	return rc
}

func (m *Module) xgo_close(pFile int32) int32 {
	m.shmClose(pFile)
	return m.env.Xgo_close(pFile)
}

func (m *Module) shmClose(pFile int32) {
	if f := m.shared[pFile]; f != nil {
		f.leave()
		delete(m.shared, pFile)
	}
}

// join makes the file one of those that keep the shared memory alive.
func (f *shmFile) join() {
	if f.joined {
		return
	}
	if node := shmNodes[f.node.path]; node != nil {
		f.node = node
	} else {
		shmNodes[f.node.path] = f.node
	}
	f.node.refs++
	f.joined = true
}

// leave drops what the file holds. With the last one go the regions: SQLite
// reads the log again when the database is next opened.
func (f *shmFile) leave() {
	if !f.joined {
		return
	}
	for i := range shmLocks {
		f.unlock(i)
	}
	f.joined = false
	f.node.refs--
	if f.node.refs == 0 {
		delete(shmNodes, f.node.path)
		f.node = &shmNode{path: f.node.path}
	}
}

func (f *shmFile) unlock(i int) {
	bit := uint8(1) << i
	switch {
	case f.exclusive&bit != 0:
		f.exclusive &^= bit
		f.node.shared[i] = 0
	case f.shared&bit != 0:
		f.shared &^= bit
		f.node.shared[i]--
	}
}

func (m *Module) xgo_shm_map(pFile, region, size, extend, pp int32) int32 {
	f := m.shared[pFile]
	if f == nil {
		return m.env.Xgo_shm_map(pFile, region, size, extend, pp)
	}
	f.join()
	var at uint32
	for int(region) >= len(f.node.regions) && extend != 0 {
		b := make([]byte, (int(size)+blockAlign-1)&^(blockAlign-1))
		extendReach(b)
		f.node.regions = append(f.node.regions, b)
	}
	if int(region) < len(f.node.regions) {
		if len(f.node.regions[region]) < int(size) {
			return codeIOErrShmSize
		}
		at = address(f.node.regions[region])
	}
	binary.LittleEndian.PutUint32((*m.memory)[uint32(pp):], at)
	return 0
}

func (m *Module) xgo_shm_lock(pFile, offset, n, flags int32) int32 {
	f := m.shared[pFile]
	if f == nil {
		return m.env.Xgo_shm_lock(pFile, offset, n, flags)
	}
	f.join()
	if offset < 0 || n < 1 || offset+n > shmLocks {
		return codeError
	}
	first, end := int(offset), int(offset+n)
	switch flags {
	case shmUnlock | shmShared, shmUnlock | shmExclusive:
		for i := first; i < end; i++ {
			f.unlock(i)
		}
	case shmLock | shmShared:
		for i := first; i < end; i++ {
			if f.node.shared[i] < 0 && f.exclusive&(1<<i) == 0 {
				return codeBusy
			}
		}
		for i := first; i < end; i++ {
			if (f.shared|f.exclusive)&(1<<i) == 0 {
				f.node.shared[i]++
				f.shared |= 1 << i
			}
		}
	case shmLock | shmExclusive:
		for i := first; i < end; i++ {
			others := f.node.shared[i]
			if f.shared&(1<<i) != 0 {
				others--
			}
			if others != 0 && f.exclusive&(1<<i) == 0 {
				return codeBusy
			}
		}
		for i := first; i < end; i++ {
			f.node.shared[i] = -1
			f.shared &^= 1 << i
			f.exclusive |= 1 << i
		}
	default:
		return codeError
	}
	return 0
}

func (m *Module) xgo_shm_barrier(pFile int32) {
	if m.shared[pFile] == nil {
		m.env.Xgo_shm_barrier(pFile)
	}
}

func (m *Module) xgo_shm_unmap(pFile, deleteFlag int32) int32 {
	f := m.shared[pFile]
	if f == nil {
		return m.env.Xgo_shm_unmap(pFile, deleteFlag)
	}
	f.leave()
	return 0
}

// isOS tells whether a VFS is go-sqlite3's own, over the files of package os:
// under js each of its methods would wait for JavaScript inside SQLite, which
// crashes the worker, so none of them is called.
func (m *Module) isOS(pVfs int32) bool { return pVfs == 0 || m.vfsName(pVfs) == "os" }

func (m *Module) vfsName(pVfs int32) string {
	const zNameOffset = 16
	return m.text(m.load(pVfs + zNameOffset))
}

func (m *Module) xgo_access(pVfs, zPath, flags, pResOut int32) int32 {
	if m.isOS(pVfs) {
		return codeCantOpen
	}
	return m.env.Xgo_access(pVfs, zPath, flags, pResOut)
}

func (m *Module) xgo_delete(pVfs, zPath, syncDir int32) int32 {
	if m.isOS(pVfs) {
		return codeCantOpen
	}
	return m.env.Xgo_delete(pVfs, zPath, syncDir)
}

func (m *Module) xgo_full_pathname(pVfs, zRelative, nFull, zFull int32) int32 {
	if m.isOS(pVfs) {
		return codeCantOpen
	}
	return m.env.Xgo_full_pathname(pVfs, zRelative, nFull, zFull)
}

func (m *Module) load32(at int32) uint32 {
	return binary.LittleEndian.Uint32((*m.memory)[uint32(at):])
}

func (m *Module) load(at int32) int32 { return int32(m.load32(at)) }

// text returns the NUL-terminated string at an address.
func (m *Module) text(at int32) string {
	b := (*m.memory)[uint32(at):]
	for i, c := range b {
		if c == 0 {
			return string(b[:i])
		}
	}
	panic("sqlite3_wasm: a string does not end")
}
