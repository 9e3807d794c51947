//go:build unix

package main

import (
	"bytes"
	"flag"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

var previous = flag.String("previous", "", "a `revision` of the repository that TestCluster begins with, as the build "+
	"before this one; without it the last tag, if there is one")

// builds are programs that run side by side in a rolling upgrade, in their order: the
// release before, if its source is there, this one (""), and one of a next version,
// whose tables have more in them (the build tag next).
func builds(t *testing.T) []string {
	t.Helper()
	next := filepath.Join(t.TempDir(), "next")
	goBuild(t, ".", "-tags=next", "-o", next, ".")
	all := []string{"", next}
	if revision := previousRevision(); revision != "" {
		all = append([]string{buildOf(t, revision)}, all...)
	}
	return all
}

// previousRevision is the release before. A clone without history has none.
func previousRevision() string {
	if *previous != "" {
		return *previous
	}
	tag, err := exec.Command("git", "describe", "--tags", "--abbrev=0", "HEAD^").Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(tag))
}

// buildOf builds the program of a revision.
func buildOf(t *testing.T, revision string) string {
	t.Helper()
	dir := t.TempDir()
	source, binary := filepath.Join(dir, "source"), filepath.Join(dir, "heddle")
	if err := os.Mkdir(source, 0o755); err != nil {
		t.Fatal(err)
	}
	archive := exec.Command("git", "archive", revision)
	archive.Dir = "../.."
	unpack := exec.Command("tar", "-x", "-C", source)
	unpack.Stdin, _ = archive.StdoutPipe()
	var said bytes.Buffer
	archive.Stderr, unpack.Stderr = &said, io.MultiWriter(&said)
	if err := archive.Start(); err != nil {
		t.Fatal(err)
	}
	err := unpack.Run()
	if err2 := archive.Wait(); err != nil || err2 != nil {
		t.Fatalf("the source of %s: %v, %v\n%s", revision, err, err2, &said)
	}
	goBuild(t, source, "-o", binary, "./cmd/heddle")
	return binary
}

func goBuild(t *testing.T, dir string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"build"}, args...)...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build %v: %v\n%s", args, err, out)
	}
}
