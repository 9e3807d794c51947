package main

import (
	"bytes"
	"flag"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"heddle.dev/heddle/sync/server"
	"heddle.dev/heddle/sync/wire"
)

// configured reads a command line with a file of settings.
func configured(t *testing.T, text string, args ...string) (*serveFlags, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "heddle.conf")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	f, b := &serveFlags{}, bounds{}.defaults()
	flags := flag.NewFlagSet("serve", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	f.define(flags, &b)
	return f, f.parse(flags, append(args, "--config", file))
}

func TestConfig(t *testing.T) {
	f, err := configured(t, `
# The sync server of the notes.
data = /var/lib/heddle
token-key = /etc/heddle/one.pem
token-key = /etc/heddle/two.pem
origin    = https://a.example, https://b.example
log-json  = true
max-connections = 7

limit-body = 1MiB
limit-store = 3s
limit-rate = 2.5
limit-subject-streams = none
drain = 1m
`, "--max-connections", "8", "--origin", "https://c.example")
	if err != nil {
		t.Fatal(err)
	}
	if f.data != "/var/lib/heddle" || !f.asJSON || f.drain != time.Minute ||
		!reflect.DeepEqual(f.keyFiles, list{"/etc/heddle/one.pem", "/etc/heddle/two.pem"}) {
		t.Errorf("got %+v", f)
	}
	if f.connections != 8 || !reflect.DeepEqual(f.origins, list{"https://c.example"}) {
		t.Errorf("the command line does not count: got %d, %v", f.connections, f.origins)
	}
	want := server.Limits{Body: 1 << 20, Store: 3 * time.Second, Rate: 2.5, SubjectStreams: -1}
	if f.limits != want {
		t.Errorf("got %+v, want %+v", f.limits, want)
	}
}

func TestConfig_wrong(t *testing.T) {
	for text, want := range map[string]string{
		"data = x\nlimit-boddy = 1":            `heddle.conf:2: there is no setting "limit-boddy"; is "limit-body" meant?`,
		"quite-another = 1":                    `heddle.conf:1: there is no setting "quite-another"` + "\n",
		"data = x\n\n# y\ndata = z":            "heddle.conf:4: data is set a second time: it was in line 1",
		"dev":                                  `heddle.conf:1: "dev" is not of the form: name = value`,
		"dev = perhaps":                        "heddle.conf:1: dev = perhaps: parse error",
		"config = other":                       `there is no setting "config"`,
		"limit-body = 12 apples":               "limit-body = 12 apples: it has to be a number of bytes such as",
		"limit-body = 9223372036854775807KiB":  "it has to be a number of bytes",
		"limit-body = 0":                       "it has to be more than 0\n",
		"limit-body = none":                    "it has to be a number of bytes",
		"limit-rate = 0":                       `it has to be more than 0, or "none"`,
		"limit-rate = NaN":                     "it has to be a number",
		"limit-ops = 1.5":                      "it has to be a whole number",
		"limit-store = 5":                      "it has to be a time such as 30s",
		"limit-store = -5s":                    "it has to be more than 0",
		"data = " + strings.Repeat("x", 1<<17): "heddle.conf:1: bufio.Scanner: token too long",
		"data = x\ntls-cert = c":               "",
	} {
		_, err := configured(t, text)
		if want == "" {
			if err != nil {
				t.Errorf("%q: %v", text, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error()+"\n", want) {
			t.Errorf("%.40q: got %v, want %q", text, err, want)
		}
	}
	if code, _, problems := heddle(t, "serve", "--config", filepath.Join(t.TempDir(), "none")); code != exitFailed ||
		!strings.Contains(problems, "no such file") {
		t.Errorf("exit %d, %s", code, problems)
	}
}

// Each limit of the sync server's has a flag, with its default in the help.
func TestLimits_eachHasAFlag(t *testing.T) {
	var l server.Limits
	flags := flag.NewFlagSet("", flag.ContinueOnError)
	defineLimits(flags, &l)
	flags.VisitAll(func(f *flag.Flag) {
		if f.DefValue == "" || f.Value.String() != f.DefValue {
			t.Errorf("--%s has the default %q, and is %q", f.Name, f.DefValue, f.Value)
		}
		if err := f.Value.Set(f.DefValue); err != nil {
			t.Errorf("--%s does not take its default: %v", f.Name, err)
		}
		if f.Value.String() != f.DefValue {
			t.Errorf("--%s is %q, set to %q", f.Name, f.Value, f.DefValue)
		}
	})
	v := reflect.ValueOf(l)
	for i := range v.NumField() {
		if v.Field(i).IsZero() {
			t.Errorf("server.Limits.%s has no flag", v.Type().Field(i).Name)
		}
	}
}

// A limit of the file is one of the server's.
func TestServe_limits(t *testing.T) {
	file := filepath.Join(t.TempDir(), "heddle.conf")
	text := "dev = true\nlimit-subject-streams = 1\ndata = " + t.TempDir() + "\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	url, _ := serving(t, "--config", file)
	stream(t, t.Context(), url, "s")
	res, err := http.Post(url+"v1/spaces/s/pull", wire.MediaType, bytes.NewReader((&wire.PullRequest{}).Marshal()))
	if err != nil {
		t.Fatal(err)
	}
	if res.Body.Close(); res.StatusCode != 429 {
		t.Errorf("a second stream: got %s", res.Status)
	}
}
