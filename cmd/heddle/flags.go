package main

import (
	"flag"
	"fmt"
	"log/slog"
	"time"

	"heddle.dev/heddle/sync/server"
	"heddle.dev/heddle/sync/server/auth"
)

// serveFlags are those of heddle serve.
type serveFlags struct {
	place
	addr, admin, static, csp, level, revoked string
	tlsCert, tlsKey                          string
	dev, asJSON                              bool
	origins, keyFiles                        list
	keys                                     auth.KeyOptions
	connections, files                       int
	checksums                                bool
	drain, grace                             time.Duration
	limits                                   server.Limits
	config                                   string
}

func (f *serveFlags) define(flags *flag.FlagSet, b *bounds) {
	flags.StringVar(&f.config, "config", "", "`file` of settings: lines such as \"max-connections = 500\", named as "+
		"flags are; what is given here counts before it")
	flags.StringVar(&f.addr, "addr", "127.0.0.1:8787", "`address` to listen on; port 0 takes a free one")
	flags.StringVar(&f.admin, "admin", "", "`address` of another listener, with /metrics, /livez, /readyz and "+
		"/debug/pprof/; for nobody but who operates the server")
	flags.StringVar(&f.tlsCert, "tls-cert", "", "`file` with the certificate for https, and those between it and its "+
		"root, in PEM")
	flags.StringVar(&f.tlsKey, "tls-key", "", "`file` with its private key, in PEM")
	f.place.define(flags, "`directory` for the spaces; made if missing")
	flags.StringVar(&f.hints, "hints", "", "`URL` by which servers over one --store hear of each other's commits: "+
		"nats://HOST:4222/SUBJECT?creds=FILE, or postgres://… of the database itself where --store is a pooler; without "+
		"it that of --store")
	flags.IntVar(&f.files, "files", defaultFiles, "how many `files` a new --data keeps its spaces in; each has a writer "+
		"of its own")
	flags.BoolVar(&f.checksums, "page-checksums", true, "new files get page checksums; =false beside Litestream")
	flags.StringVar(&f.static, "static", "", "also serve the web files in this `directory`")
	flags.BoolVar(&f.dev, "dev", false, "no tokens, any space, pages of this machine")
	flags.Var(&f.keyFiles, "token-key", "`file` with keys that verify tokens: a secret (HS256), or Ed25519, P-256 or "+
		"RSA keys in PEM or JWKS; may be repeated")
	flags.Var((*list)(&f.keys.URLs), "jwks", "`URL` of a JWKS document with keys that verify tokens; may be repeated")
	flags.StringVar(&f.keys.Issuer, "token-issuer", "", "the `issuer` that tokens must be of, their claim iss")
	flags.StringVar(&f.keys.Audience, "token-audience", "", "the `audience` that tokens must be for, their claim aud")
	flags.StringVar(&f.revoked, "revoked", "", "`file` with the tokens that no longer count")
	flags.Var(&f.origins, "origin",
		"`origin` of web pages that may call, such as https://app.example; may be repeated; * is any")
	flags.StringVar(&f.csp, "csp", "", "Content-Security-`Policy` of the web files, in place of the strict one")
	flags.StringVar(&f.level, "log", "info", "log `level`: debug, info, warn or error")
	flags.BoolVar(&f.asJSON, "log-json", false, "log in JSON")
	flags.IntVar(&f.connections, "max-connections", b.connections, "how many `connections` may be open")
	flags.DurationVar(&f.drain, "drain", defaultDrain, "how `long` the open streams take to end, one after the other, "+
		"when the server ends; with --dev none is the default")
	flags.DurationVar(&f.grace, "grace", 10*time.Second, "how `long` requests under way may take after that")
	defineLimits(flags, &f.limits)
}

// parse reads the command line, and the file that it names.
func (f *serveFlags) parse(flags *flag.FlagSet, args []string) error {
	if err := parse(flags, args, 0, ""); err != nil {
		return err
	}
	if f.config != "" {
		if err := configure(flags, f.config); err != nil {
			return err
		}
	}
	if f.dev && !given(flags, "drain") {
		f.drain = 0
	}
	return nil
}

// defaultDrain is for load balancers to learn that the server is not ready, and
// devices to go to others one after the other.
const defaultDrain = 10 * time.Second

const (
	defaultFiles = 1
	// maxFiles is more than there are processors that one server keeps busy.
	maxFiles = 64
)

// check refuses what makes no sense, before anything is opened.
func (f *serveFlags) check() error {
	if err := f.place.check(); err != nil {
		return err
	}
	if f.url != "" && (f.files != defaultFiles || !f.checksums) {
		return badUsage("--files and --page-checksums are for --data")
	}
	f.keys.Files = f.keyFiles
	tokens := len(f.keys.Files)+len(f.keys.URLs) > 0
	switch {
	case f.dev == tokens:
		return badUsage("either --dev or --token-key or --jwks is needed")
	case f.dev && f.revoked != "":
		return badUsage("--dev and --revoked do not go together: there are no tokens")
	case (f.tlsCert == "") != (f.tlsKey == ""):
		return badUsage("--tls-cert and --tls-key go together")
	case f.files <= 0 || f.files > maxFiles:
		return badUsage("--files is from 1 to %d", maxFiles)
	case f.connections <= 0:
		return badUsage("--max-connections must be more than nothing")
	case f.drain < 0 || f.grace < 0:
		return badUsage("--drain and --grace must not be negative")
	case f.static == "":
		return nil
	}
	secret := map[string]string{}
	if f.data != "" {
		secret[f.data] = "--data"
	}
	for _, name := range f.keys.Files {
		secret[name] = "--token-key"
	}
	if f.revoked != "" {
		secret[f.revoked] = "--revoked"
	}
	if f.tlsKey != "" {
		secret[f.tlsKey] = "--tls-key"
	}
	for name, which := range secret {
		in, err := inside(name, f.static)
		if err != nil {
			return fmt.Errorf("%s %s, --static %s: %w", which, name, f.static, err)
		}
		if in {
			return badUsage("%s %s lies inside --static %s: everybody could fetch it", which, name, f.static)
		}
	}
	return nil
}

func (f *serveFlags) logger(e *env) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(f.level)); err != nil {
		return nil, badUsage("--log: no such level as %q", f.level)
	}
	o := &slog.HandlerOptions{Level: level}
	if f.asJSON {
		return slog.New(slog.NewJSONHandler(e.stderr, o)), nil
	}
	return slog.New(slog.NewTextHandler(e.stderr, o)), nil
}
