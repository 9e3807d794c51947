package jsbridge

import (
	"context"
	"io/fs"
	"math"
	"strings"
	"unsafe"

	"heddle.dev/heddle/internal/errcode"
)

// OPFS is a directory whose files the worker opened before Go needed them; the
// calls cross by go:wasmimport, with addresses and no copies. It never waits.
// web/src/worker/opfs.ts has the other half.
//
// It is an opfs.Directory, but for the type that Open returns: opfs.From.
type OPFS struct{ number int32 }

// OpenedOPFS returns the directory of that number; the worker's own is 0.
func OpenedOPFS(number int) *OPFS { return &OPFS{int32(number)} }

// Open returns the handle of a file that the worker opened, and fs.ErrNotExist
// for any other.
func (d *OPFS) Open(name string) (*OPFSHandle, error) {
	b := []byte(name)
	n := opfsOpen(d.number, unsafe.Pointer(unsafe.SliceData(b)), int32(len(b)))
	switch {
	case math.IsNaN(n):
		return nil, opfsError("open")
	case n < 0:
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return &OPFSHandle{int32(n)}, nil
}

// Remove empties a file durably: with its handle open it cannot go away, and a
// file of length 0 is none.
func (d *OPFS) Remove(name string) error {
	h, err := d.Open(name)
	if err != nil {
		return err
	}
	if err := h.Truncate(0); err != nil {
		return err
	}
	return h.Flush()
}

// Exists reports whether there is such a file with something in it.
func (d *OPFS) Exists(name string) (bool, error) {
	b := []byte(name)
	n := opfsOpen(d.number, unsafe.Pointer(unsafe.SliceData(b)), int32(len(b)))
	switch {
	case math.IsNaN(n):
		return false, opfsError("exists")
	case n < 0:
		return false, nil
	}
	size, err := (&OPFSHandle{int32(n)}).Size()
	return size > 0, err
}

// Check reports with errcode.StorageLost that the worker has found the files
// removed. The worker looks by itself, every few seconds.
func (d *OPFS) Check(context.Context) error {
	if opfsLost(d.number) != 0 {
		return errcode.New(errcode.StorageLost, "jsbridge: opfs",
			"the database's files were removed: the site's data was cleared")
	}
	return nil
}

// OPFSHandle is a FileSystemSyncAccessHandle. The counts it returns are the
// browser's, unchecked.
type OPFSHandle struct{ number int32 }

// ReadAt reads at off.
func (h *OPFSHandle) ReadAt(p []byte, off int64) (int, error) {
	return opfsCount(opfsRead(h.number, unsafe.Pointer(unsafe.SliceData(p)), int32(len(p)), float64(off)), "read")
}

// WriteAt writes at off.
func (h *OPFSHandle) WriteAt(p []byte, off int64) (int, error) {
	return opfsCount(opfsWrite(h.number, unsafe.Pointer(unsafe.SliceData(p)), int32(len(p)), float64(off)), "write")
}

// Truncate sets the length.
func (h *OPFSHandle) Truncate(size int64) error {
	_, err := opfsCount(opfsTruncate(h.number, float64(size)), "truncate")
	return err
}

// Size returns the length.
func (h *OPFSHandle) Size() (int64, error) {
	n, err := opfsCount(opfsSize(h.number), "size")
	return int64(n), err
}

// Flush waits for the device.
func (h *OPFSHandle) Flush() error {
	_, err := opfsCount(opfsFlush(h.number), "flush")
	return err
}

// Close does nothing: the worker closes the handles that it opened.
func (h *OPFSHandle) Close() error { return nil }

// opfsCount makes an int of a count, whatever it is, and an error of NaN.
func opfsCount(n float64, op string) (int, error) {
	switch {
	case math.IsNaN(n):
		return 0, opfsError(op)
	case n < -1<<52 || n > 1<<52:
		return -1, nil
	}
	return int(n), nil
}

// opfsError is what the last call threw. InvalidStateError means that the
// browser closed the handle, NotFoundError that the files are gone.
func opfsError(op string) error {
	var b [512]byte
	n := opfsLastError(unsafe.Pointer(&b[0]), int32(len(b)))
	name, message, _ := strings.Cut(string(b[:n]), "\n")
	err := &Error{Name: name, Message: message}
	op = "jsbridge: opfs " + op
	switch name {
	case "InvalidStateError":
		return errcode.Wrap(err, errcode.Closed, op)
	case "NotFoundError":
		return errcode.Wrap(err, errcode.StorageLost, op)
	}
	return err
}

//go:wasmimport opfs open
func opfsOpen(directory int32, name unsafe.Pointer, n int32) float64

//go:wasmimport opfs lost
func opfsLost(directory int32) int32

//go:wasmimport opfs read
func opfsRead(handle int32, p unsafe.Pointer, n int32, at float64) float64

//go:wasmimport opfs write
func opfsWrite(handle int32, p unsafe.Pointer, n int32, at float64) float64

//go:wasmimport opfs truncate
func opfsTruncate(handle int32, size float64) float64

//go:wasmimport opfs size
func opfsSize(handle int32) float64

//go:wasmimport opfs flush
func opfsFlush(handle int32) float64

//go:wasmimport opfs error
func opfsLastError(p unsafe.Pointer, n int32) int32
