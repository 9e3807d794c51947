// Command release makes the archives of a release: the program heddle for each
// platform with its license, the unit of systemd, configurations of proxies and the
// page on operating, and a file of their checksums. The same tree and Go version give
// the same bytes, on any machine.
//
//	go run ./deploy/release --to DIR [--version V] [PLATFORM …]
package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// platforms are GOOS/GOARCH: those of web/release.mjs.
var platforms = []string{"darwin/amd64", "darwin/arm64", "linux/amd64", "linux/arm64", "windows/amd64", "windows/arm64"}

// beside are the files that each archive has beside the program.
var beside = []string{"LICENSE", "NOTICE", "CHANGELOG.md", "docs/OPERATING.md", "docs/DEPLOYING.md",
	"deploy/heddle.service", "deploy/nginx.conf", "deploy/Caddyfile"}

// moment is when each file of an archive was changed, for all that it says.
var moment = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

func main() {
	to := flag.String("to", "", "`folder` for the archives")
	version := flag.String("version", "dev", "the release's `name`, in those of the archives")
	root := flag.String("root", ".", "the project's `folder`")
	flag.Parse()
	if err := release(*root, *to, *version, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

// release writes the archives of some platforms, of all without any.
func release(root, to, version string, of []string) error {
	if to == "" {
		return errors.New("--to is needed")
	}
	if len(of) == 0 {
		of = platforms
	}
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	var sums bytes.Buffer
	for _, platform := range of {
		if !slices.Contains(platforms, platform) {
			return fmt.Errorf("%s is none of %s", platform, strings.Join(platforms, ", "))
		}
		name, data, err := pack(root, version, platform)
		if err != nil {
			return fmt.Errorf("%s: %w", platform, err)
		}
		if err := os.WriteFile(filepath.Join(to, name), data, 0o644); err != nil {
			return err
		}
		fmt.Fprintf(&sums, "%x  %s\n", sha256.Sum256(data), name)
		fmt.Printf("%6.1f MB  %s\n", float64(len(data))/1e6, name)
	}
	return os.WriteFile(filepath.Join(to, "SHA256SUMS"), sums.Bytes(), 0o644)
}

// file is one of an archive.
type file struct {
	name string
	mode fs.FileMode
	data []byte
}

// pack builds the program for a platform and returns its archive.
func pack(root, version, platform string) (name string, archive []byte, err error) {
	system, machine, _ := strings.Cut(platform, "/")
	program, err := build(root, system, machine)
	if err != nil {
		return "", nil, err
	}
	dir := fmt.Sprintf("heddle-%s-%s-%s", version, system, machine)
	files := []file{{dir + "/heddle", 0o755, program}}
	if system == "windows" {
		files[0].name += ".exe"
	}
	for _, path := range beside {
		data, err := os.ReadFile(filepath.Join(root, path))
		if err != nil {
			return "", nil, err
		}
		files = append(files, file{dir + "/" + filepath.Base(path), 0o644, data})
	}
	if system == "windows" {
		archive, err = zipped(files)
		return dir + ".zip", archive, err
	}
	archive, err = tarred(files)
	return dir + ".tar.gz", archive, err
}

func tarred(files []file) ([]byte, error) {
	var to bytes.Buffer
	z, err := gzip.NewWriterLevel(&to, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	w := tar.NewWriter(z)
	for _, f := range files {
		h := &tar.Header{Name: f.name, Mode: int64(f.mode), Size: int64(len(f.data)), ModTime: moment,
			Format: tar.FormatUSTAR}
		if err := w.WriteHeader(h); err != nil {
			return nil, err
		}
		if _, err := w.Write(f.data); err != nil {
			return nil, err
		}
	}
	err = errors.Join(w.Close(), z.Close())
	return to.Bytes(), err
}

func zipped(files []file) ([]byte, error) {
	var to bytes.Buffer
	w := zip.NewWriter(&to)
	for _, f := range files {
		h := &zip.FileHeader{Name: f.name, Method: zip.Deflate, Modified: moment}
		h.SetMode(f.mode)
		out, err := w.CreateHeader(h)
		if err != nil {
			return nil, err
		}
		if _, err := out.Write(f.data); err != nil {
			return nil, err
		}
	}
	err := w.Close()
	return to.Bytes(), err
}

// build builds the program without cgo, paths of this machine, or symbols.
func build(root, system, machine string) ([]byte, error) {
	dir, err := os.MkdirTemp("", "heddle-release-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	out := filepath.Join(dir, "heddle")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w -buildid=", "-o", out, "./cmd/heddle")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "GOOS="+system, "GOARCH="+machine, "CGO_ENABLED=0", "GOFLAGS=")
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return nil, err
	}
	return os.ReadFile(out)
}
