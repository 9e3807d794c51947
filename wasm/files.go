package main

import (
	"heddle/jsbridge"
	"heddle/opfs"
)

// directory returns where the database's files are: those that the worker
// opened, or memory if the app asked for it by name.
func directory(storage string) opfs.Directory {
	if storage == "memory" {
		return opfs.Memory()
	}
	return opfs.From(jsbridge.OpenedOPFS(0))
}
