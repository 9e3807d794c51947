package main

import (
	"errors"
	"os"
	"path/filepath"
)

// inside reports whether a file or directory, which need not be there yet, lies
// in a directory, whatever links lead to either.
func inside(name, dir string) (bool, error) {
	top, err := os.Stat(dir)
	if err != nil {
		return false, err
	}
	name, err = existing(name)
	if err != nil {
		return false, err
	}
	for {
		info, err := os.Stat(name)
		if err != nil {
			return false, err
		}
		if os.SameFile(info, top) {
			return true, nil
		}
		parent := filepath.Dir(name)
		if parent == name {
			return false, nil
		}
		name = parent
	}
}

// existing returns the path without links of what name is, or of the nearest
// directory above that is there.
func existing(name string) (string, error) {
	name, err := filepath.Abs(name)
	if err != nil {
		return "", err
	}
	for {
		real, err := filepath.EvalSymlinks(name)
		if err == nil || !errors.Is(err, os.ErrNotExist) {
			return real, err
		}
		link, err := os.Readlink(name)
		switch {
		case err != nil:
			name = filepath.Dir(name)
		case filepath.IsAbs(link):
			name = link
		default: // a link to what is not there yet
			name = filepath.Join(filepath.Dir(name), link)
		}
	}
}
