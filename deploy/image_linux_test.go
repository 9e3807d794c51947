package deploy

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// The server runs in what the image's last stage has, as its user: the instructions
// are carried out in a folder, which is the root of the process.
func TestDockerfile(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("this needs root, for a root directory of its own")
	}
	data, err := os.ReadFile("Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	_, last, ok := strings.Cut(string(data), "FROM scratch\n")
	if !ok {
		t.Fatal("the last stage is not from scratch")
	}
	root := t.TempDir()
	for at := root; at != "/"; at = filepath.Dir(at) {
		os.Chmod(at, 0o755)
	}
	var uid, gid int
	var args []string
	for line := range strings.Lines(last) {
		instruction, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch instruction {
		case "COPY":
			copyInto(t, root, strings.Fields(rest))
		case "USER":
			user, group, _ := strings.Cut(rest, ":")
			if uid, err = strconv.Atoi(user); err == nil {
				gid, err = strconv.Atoi(group)
			}
			if err != nil || uid == 0 {
				t.Fatalf("USER %s: %v", rest, err)
			}
		case "ENTRYPOINT", "CMD":
			for _, m := range regexp.MustCompile(`"([^"]*)"`).FindAllStringSubmatch(rest, -1) {
				args = append(args, m[1])
			}
		}
	}
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

// copyInto does what COPY says, for the files that the build would have made.
func copyInto(t *testing.T, root string, args []string) {
	t.Helper()
	owner := 0
	for strings.HasPrefix(args[0], "--") {
		if user, ok := strings.CutPrefix(args[0], "--chown="); ok {
			user, _, _ = strings.Cut(user, ":")
			owner, _ = strconv.Atoi(user)
		}
		args = args[1:]
	}
	to := args[len(args)-1]
	for _, from := range args[:len(args)-1] {
		at := filepath.Join(root, to)
		if strings.HasSuffix(to, "/") {
			at = filepath.Join(at, filepath.Base(from))
		}
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		switch source := filepath.Join("..", from); {
		case from == "/out/heddle":
			err = exec.Command("cp", built(t), at).Run()
		case strings.HasPrefix(from, "/out/"):
			err = os.Mkdir(at, 0o755)
		case strings.HasPrefix(from, "/"): // of the build's image; this machine may lack it
			err = os.WriteFile(at, nil, 0o644)
		default:
			err = exec.Command("cp", source, at).Run()
		}
		if err == nil {
			err = os.Chown(at, owner, owner)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
