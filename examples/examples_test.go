// Package examples holds the test of the Go examples, which are modules of
// their own: so they see of Heddle what any other program sees.
package examples

import (
	"bufio"
	"bytes"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"heddle.dev/heddle/internal/await"
)

// program builds an example and returns the program's path.
func program(t *testing.T, name string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name+".exe")
	cmd := exec.CommandContext(await.Context(t), "go", "build", "-o", file, ".")
	cmd.Dir = name
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build in examples/%s: %v\n%s", name, err, out)
	}
	return file
}

// start runs a program until the test ends, and returns its output by line.
func start(t *testing.T, file string, args ...string) *bufio.Scanner {
	t.Helper()
	cmd := exec.CommandContext(await.Context(t), file, args...)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Wait() }) // the context has killed it
	return bufio.NewScanner(out)
}

func TestGoServerAndClients(t *testing.T) {
	serverFile, clientFile, dir := program(t, "go-server"), program(t, "go-client"), t.TempDir()
	lines := start(t, serverFile, "-addr", "127.0.0.1:0", "-data", filepath.Join(dir, "spaces"))
	if !lines.Scan() {
		t.Fatal("the server has printed no address")
	}
	flags := func(device string) []string {
		return []string{"-server", lines.Text(), "-db", filepath.Join(dir, device+".db")}
	}
	client := func(device string, args ...string) (stdout, stderr string, err error) {
		cmd := exec.CommandContext(await.Context(t), clientFile, append(flags(device), args...)...)
		var problems bytes.Buffer
		cmd.Stderr = &problems
		out, err := cmd.Output()
		return string(out), problems.String(), err
	}
	works := func(device string, args ...string) string {
		t.Helper()
		out, problems, err := client(device, args...)
		if err != nil {
			t.Fatalf("%s %q: %v\n%s", device, args, err, problems)
		}
		return out
	}

	watched := start(t, clientFile, append(flags("tablet"), "watch")...)
	works("laptop", "add", "hello from the laptop")
	_, problems, err := client("phone", "add", strings.Repeat("x", 281))
	if err == nil || !strings.Contains(problems, "APP_NOTE_TOO_LONG") {
		t.Errorf("a note of 281 characters: got %v, %q, want the code of the server's rule", err, problems)
	}
	works("phone", "add", strings.Repeat("x", 280))

	laptop, phone := works("laptop", "list"), works("phone", "list")
	want := "hello from the laptop\n" + strings.Repeat("x", 280) + "\ndigest at entry 3: "
	if laptop != phone || !strings.HasPrefix(laptop, want) {
		t.Errorf("got\n%s on the laptop and\n%s on the phone, want on both\n%s…", laptop, phone, want)
	}
	for watched.Scan() && watched.Text() != "notes: 2" {
	}
	if watched.Text() != "notes: 2" {
		t.Error("the device that watches has not seen two notes")
	}
}
