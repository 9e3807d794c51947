package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/wire"
)

var digestCommand = command{
	name:  "digest",
	args:  "--server URL --space SPACE [flags]",
	short: "ask a server for the digest of a space",
	long: `
Prints the digest of a space's folded state, as the server has it: the number
that db.sync.digest() gives on every device at the same seq. Without --seq it
is that of the log's end. The server has one for each seq that was the log's end
after a commit, and keeps those of the last 10,000 entries.`,
	run: digest,
}

func digest(e *env, flags *flag.FlagSet, args []string) error {
	base := flags.String("server", "", "the server's `URL`, such as http://127.0.0.1:8787")
	space := flags.String("space", "", "the `space`'s name")
	seq := flags.String("seq", "", "the `number` of an entry of the log")
	token := flags.String("token", "", "a `token` that grants the space; HEDDLE_TOKEN if absent")
	asJSON := flags.Bool("json", false, "print JSON")
	timeout := flags.Duration("timeout", 30*time.Second, "how `long` to wait for the answer")
	if err := parse(flags, args, 0, ""); err != nil {
		return err
	}
	u, err := url.Parse(*base)
	switch {
	case *base == "":
		return badUsage("--server is needed")
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return badUsage("--server: %q is not an http or https URL", *base)
	case !wire.ValidSpace(*space):
		return badUsage("--space: %q cannot be a space's name", *space)
	}
	u = u.JoinPath("v1", "spaces", *space, "digest")
	if *seq != "" {
		if _, err := strconv.ParseUint(*seq, 10, 63); err != nil {
			return badUsage("--seq: %q is not a number", *seq)
		}
		u.RawQuery = "seq=" + *seq
	}
	req, err := http.NewRequestWithContext(e.ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return err
	}
	if *token == "" {
		*token = os.Getenv("HEDDLE_TOKEN")
	}
	if *token != "" {
		req.Header.Set("Authorization", "Bearer "+*token)
	}
	res, err := (&http.Client{Timeout: *timeout}).Do(req)
	if err != nil {
		return errcode.New(errcode.Network, "ask server", err.Error())
	}
	defer res.Body.Close()
	data, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return errcode.New(errcode.Network, "ask server", err.Error())
	}
	if t, _, _ := strings.Cut(res.Header.Get("Content-Type"), ";"); t != wire.MediaType {
		return errcode.New(errcode.Protocol, "ask server",
			fmt.Sprintf("%s answers %s, but not as a Heddle server", u, res.Status))
	}
	if res.StatusCode != http.StatusOK {
		refused, err := wire.UnmarshalError(data)
		if err != nil {
			return err
		}
		return errcode.New(refused.Code, "server", refused.Message)
	}
	d, err := wire.UnmarshalDigestResponse(data)
	if err != nil {
		return err
	}
	if *asJSON {
		return json.NewEncoder(e.stdout).Encode(map[string]any{
			"space": *space, "seq": d.Seq, "rows": d.Rows, "digest": fmt.Sprintf("%x", d.Digest),
			"chain": fmt.Sprintf("%x", d.Chain), "epoch": fmt.Sprintf("%x", d.Epoch)})
	}
	_, err = fmt.Fprintf(e.stdout, "space   %s\nseq     %d\nrows    %d\ndigest  %x\nchain   %x\nepoch   %x\n", *space,
		d.Seq, d.Rows, d.Digest, d.Chain, d.Epoch)
	return err
}
