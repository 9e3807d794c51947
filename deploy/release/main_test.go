package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// Two runs give the same bytes, and what they pack runs.
func TestRelease(t *testing.T) {
	platform := runtime.GOOS + "/" + runtime.GOARCH
	if !slices.Contains(platforms, platform) {
		t.Skipf("there is no release for %s", platform)
	}
	one, two := t.TempDir(), t.TempDir()
	for _, to := range []string{one, two} {
		if err := release("../..", to, "v1", []string{platform}); err != nil {
			t.Fatal(err)
		}
	}
	names, err := filepath.Glob(filepath.Join(one, "*"))
	if err != nil || len(names) != 2 {
		t.Fatalf("got %v, %v", names, err)
	}
	var archive []byte
	for _, name := range names {
		a, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(filepath.Join(two, filepath.Base(name)))
		if err != nil || !bytes.Equal(a, b) {
			t.Errorf("%s differs, %v", filepath.Base(name), err)
		}
		if filepath.Base(name) != "SHA256SUMS" {
			archive = a
		}
	}
	sums, err := os.ReadFile(filepath.Join(one, "SHA256SUMS"))
	if err != nil || !strings.HasPrefix(string(sums), fmt.Sprintf("%x  heddle-v1-", sha256.Sum256(archive))) {
		t.Errorf("SHA256SUMS has %s, %v", sums, err)
	}
	program := filepath.Join(t.TempDir(), "heddle.exe")
	if err := os.WriteFile(program, unpack(t, archive)["heddle"], 0o700); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(program, "version").CombinedOutput()
	if err != nil || !strings.HasPrefix(string(out), "heddle ") {
		t.Errorf("it says %s, %v", out, err)
	}
	if err := release("../..", t.TempDir(), "v1", []string{"plan9/386"}); err == nil {
		t.Error("a platform that is none is packed")
	}
}

// unpack returns an archive's files by their names, without the folder and ".exe".
func unpack(t *testing.T, archive []byte) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	add := func(name string, r io.Reader) {
		t.Helper()
		_, name, ok := strings.Cut(name, "/")
		data, err := io.ReadAll(r)
		if err != nil || !ok {
			t.Fatalf("%s: %v", name, err)
		}
		files[strings.TrimSuffix(name, ".exe")] = data
	}
	if runtime.GOOS == "windows" {
		r, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range r.File {
			in, err := f.Open()
			if err != nil {
				t.Fatal(err)
			}
			add(f.Name, in)
		}
		return files
	}
	z, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		t.Fatal(err)
	}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if err == io.EOF {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		add(h.Name, r)
	}
}

// The archive for Windows has the same files.
func TestZipped(t *testing.T) {
	files := []file{{"heddle/heddle.exe", 0o755, []byte("program")}, {"heddle/LICENSE", 0o644, []byte("text")}}
	a, err := zipped(files)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := zipped(files); err != nil || !bytes.Equal(a, b) {
		t.Errorf("two runs differ, %v", err)
	}
	r, err := zip.NewReader(bytes.NewReader(a), int64(len(a)))
	if err != nil || len(r.File) != 2 || r.File[0].Mode() != 0o755 || r.File[1].Name != "heddle/LICENSE" {
		t.Errorf("got %+v, %v", r, err)
	}
}
