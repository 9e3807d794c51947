package deploy

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// buildah builds images without a daemon, in a place of its own.
type buildah struct {
	t     *testing.T
	store []string
}

func newBuildah(t *testing.T) *buildah {
	t.Helper()
	if _, err := exec.LookPath("buildah"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip("there is no buildah: install Debian's package")
	}
	if os.Getuid() != 0 {
		t.Skip("this needs root, for a root directory of its own")
	}
	dir := t.TempDir()
	for at := dir; at != "/"; at = filepath.Dir(at) {
		os.Chmod(at, 0o755) // for the image's user
	}
	return &buildah{t, []string{"--root", filepath.Join(dir, "root"), "--runroot", filepath.Join(dir, "run"),
		"--storage-driver", "vfs"}}
}

func (b *buildah) run(args ...string) string {
	b.t.Helper()
	cmd := exec.Command("buildah", append(b.store, args...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		b.t.Fatalf("buildah %v: %v\n%s%s", args, err, out, &stderr)
	}
	return strings.TrimSpace(string(out))
}

// The image's last stage is built, and its program runs as the image says, in the
// image's files. What the first stage would have made is there already: that one needs
// an image of Go, and compiles what other tests run as well.
func TestDockerfile(t *testing.T) {
	b := newBuildah(t)
	made := t.TempDir()
	for name, from := range map[string]string{"out/heddle": built(t), "out/data/": "", "out/tmp/": "",
		"etc/ssl/certs/ca-certificates.crt": ""} {
		to := filepath.Join(made, name)
		err := os.MkdirAll(filepath.Dir(to), 0o755)
		switch {
		case strings.HasSuffix(name, "/"):
			err = os.MkdirAll(to, 0o755)
		case from == "":
			err = os.WriteFile(to, nil, 0o644) // whose content is not looked at
		case err == nil:
			err = exec.Command("cp", from, to).Run()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	b.run("bud", "--isolation", "chroot", "--build-context", "build="+made, "-f", "Dockerfile", "-t", "heddle", "..")
	var image struct {
		OCIv1 struct {
			Config struct {
				User, StopSignal string
				Entrypoint, Cmd  []string
				Volumes          map[string]struct{}
			}
		}
	}
	if err := json.Unmarshal([]byte(b.run("inspect", "--type", "image", "heddle")), &image); err != nil {
		t.Fatal(err)
	}
	config := &image.OCIv1.Config
	if _, ok := config.Volumes["/data"]; !ok || config.StopSignal != "SIGTERM" {
		t.Errorf("got %+v", config)
	}
	user, group, _ := strings.Cut(config.User, ":")
	uid, err1 := strconv.Atoi(user)
	gid, err2 := strconv.Atoi(group)
	if err1 != nil || err2 != nil || uid == 0 {
		t.Fatalf("the user is %s", config.User)
	}
	container := b.run("from", "--pull-never", "heddle")
	root := b.run("mount", container)
	defer b.run("umount", container)
	want := []string{"LICENSE", "NOTICE", "etc/ssl/certs/ca-certificates.crt", "heddle"}
	if got := filesIn(t, root); !slices.Equal(got, want) {
		t.Errorf("the image has %q, want %q", got, want)
	}
	args := append(config.Entrypoint, config.Cmd...)
	for i, a := range args {
		switch a {
		case ":8787", ":9787":
			args[i] = "127.0.0.1:0"
		case "--token-key":
			args = append(args[:i:i], "--dev")
		}
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir, cmd.Env = "/", []string{}
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root,
		Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	addr := serving(t, cmd)
	client := certify(t, filepath.Join(t.TempDir(), "c"), filepath.Join(t.TempDir(), "k"))
	for counter, size := range []int{10, 3 << 20} {
		res := post(t, client, "http://"+addr+"/v1/spaces/s/push", transaction(uint64(counter+1), size))
		if res.Body.Close(); res.StatusCode != 200 {
			t.Errorf("a push: got %s", res.Status)
		}
	}
	if files, err := filepath.Glob(filepath.Join(root, "data", "*.db")); err != nil || len(files) == 0 {
		t.Errorf("nothing is in /data: %v", err)
	}
}

// filesIn lists the files below a directory.
func filesIn(t *testing.T, root string) (all []string) {
	t.Helper()
	err := fs.WalkDir(os.DirFS(root), ".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			all = append(all, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
