//go:build unix

package deploy

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"heddle.dev/heddle/sync/wire"
)

// The tokens of both backends open what they say to the server, which has the public
// key alone, and nothing else.
func TestTokens(t *testing.T) {
	dir := t.TempDir()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	keyFile, publicFile := filepath.Join(dir, "key.pem"), filepath.Join(dir, "public.pem")
	writePEM(t, keyFile, "PRIVATE KEY", func() ([]byte, error) { return x509.MarshalPKCS8PrivateKey(private) })
	writePEM(t, publicFile, "PUBLIC KEY", func() ([]byte, error) { return x509.MarshalPKIXPublicKey(public) })
	addr := serving(t, exec.Command(built(t), "serve", "--addr", "127.0.0.1:0", "--data", t.TempDir(), "--token-key",
		publicFile))
	program := filepath.Join(dir, "backend")
	if out, err := exec.Command("go", "build", "-o", program, "./tokens").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for name, cmd := range map[string]*exec.Cmd{
		"Node": exec.Command("node", "tokens/backend.mjs", keyFile), "Go": exec.Command(program, keyFile),
	} {
		t.Run(name, func(t *testing.T) {
			cmd.Env = append(os.Environ(), "PORT=0")
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			run(t, cmd)
			line, err := bufio.NewReader(out).ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			url := strings.TrimSpace(line)
			if status, _ := ask(t, "GET", url, nil); status != 401 {
				t.Errorf("nobody gets %d", status)
			}
			status, token := ask(t, "GET", url, nil, "Cookie", "user=ann")
			if status != 200 {
				t.Fatalf("ann gets %d", status)
			}
			client := wire.ClientID{byte(len(name))}
			push := (&wire.PushRequest{Client: client, Parts: wire.SplitBody(1, (&wire.Body{}).Marshal())}).Marshal()
			pull := (&wire.PullRequest{}).Marshal()
			for _, test := range []struct {
				path string
				body []byte
				want int
			}{{"user-ann/push", push, 200}, {"user-ann/pull?wait=0", pull, 200}, {"news/pull?wait=0", pull, 200},
				{"news/push", push, 403}, {"user-bob/pull?wait=0", pull, 403}} {
				got, _ := ask(t, "POST", "http://"+addr+"/v1/spaces/"+test.path, test.body, "Authorization", "Bearer "+token)
				if got != test.want {
					t.Errorf("%s: got %d, want %d", test.path, got, test.want)
				}
			}
		})
	}
}

func writePEM(t *testing.T, file, kind string, marshal func() ([]byte, error)) {
	t.Helper()
	der, err := marshal()
	if err == nil {
		err = os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func ask(t *testing.T, method, url string, body []byte, header ...string) (int, string) {
	t.Helper()
	req, err := http.NewRequest(method, url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", wire.MediaType)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(data)
}
