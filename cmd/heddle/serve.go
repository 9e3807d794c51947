package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"heddle.dev/heddle/sync/logstore"
	"heddle.dev/heddle/sync/logstore/sqlitestore"
	"heddle.dev/heddle/sync/server"
	"heddle.dev/heddle/sync/server/auth"
)

var serveCommand = command{
	name:  "serve",
	args:  "--data DIR (--dev | --token-key FILE … | --jwks URL …) [flags]",
	short: "run the sync server",
	long: `
Runs the sync server until it is interrupted; then it ends the open streams,
finishes what it has begun and closes its files. With --static it also serves a
directory of web files, in which neither data nor keys may lie.

Without --dev every request needs a token that grants its space: a JSON Web
Token with a claim "spaces", signed by one of the keys of --token-key (see
heddle help token) or --jwks. Key files are read again when they change; JWKS
documents every 15 minutes, for a token of a key that they did not have, and at
SIGHUP. So keys are rotated without a restart: add the new one, sign with it,
and remove the old one when its last token has expired.

A file of --revoked has one line for each token that no longer counts: "jti
NAME" for one token, "sub NAME" for all of a subject, "before TIME NAME" for
those of a subject issued before a time such as 2026-01-02T03:04:05Z. It is read
again when it changes. Streams of such tokens, and of removed keys, end within
a second.

--dev needs no tokens and lets everybody into every space: use it on a machine
of your own only. It answers pages of that machine, and of each --origin.`,
	run: serve,
}

// serveFlags are those of heddle serve.
type serveFlags struct {
	addr, data, static, csp, level, revoked string
	dev, asJSON                             bool
	origins, keyFiles                       list
	keys                                    auth.KeyOptions
	connections, files                      int
	checksums                               bool
	drain                                   time.Duration
}

func (f *serveFlags) define(flags *flag.FlagSet, b *bounds) {
	flags.StringVar(&f.addr, "addr", "127.0.0.1:8787", "`address` to listen on; port 0 takes a free one")
	flags.StringVar(&f.data, "data", "", "`directory` for the spaces; made if missing")
	flags.IntVar(&f.files, "files", 1, "how many `files` a new --data keeps its spaces in; each has a writer of its own")
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
	flags.DurationVar(&f.drain, "drain", 10*time.Second, "how `long` requests under way may take when the server ends")
}

// maxFiles is more than there are processors that one server keeps busy.
const maxFiles = 64

// check refuses what makes no sense, before anything is opened.
func (f *serveFlags) check() error {
	f.keys.Files = f.keyFiles
	tokens := len(f.keys.Files)+len(f.keys.URLs) > 0
	switch {
	case f.data == "":
		return badUsage("--data is needed")
	case f.dev == tokens:
		return badUsage("either --dev or --token-key or --jwks is needed")
	case f.dev && f.revoked != "":
		return badUsage("--dev and --revoked do not go together: there are no tokens")
	case f.files <= 0 || f.files > maxFiles:
		return badUsage("--files is from 1 to %d", maxFiles)
	case f.connections <= 0:
		return badUsage("--max-connections must be more than nothing")
	case f.static == "":
		return nil
	}
	secret := map[string]string{f.data: "--data"}
	for _, name := range f.keys.Files {
		secret[name] = "--token-key"
	}
	if f.revoked != "" {
		secret[f.revoked] = "--revoked"
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

func serve(e *env, flags *flag.FlagSet, args []string) error {
	f, b := &serveFlags{}, e.bounds.defaults()
	f.define(flags, &b)
	if err := parse(flags, args, 0, ""); err != nil {
		return err
	}
	log, err := f.logger(e)
	if err != nil {
		return err
	}
	if err := f.check(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(e.ctx)
	defer cancel()
	store, err := sqlitestore.Open(sqlitestore.Options{Dir: f.data, Files: f.files, Bare: !f.checksums, Logger: log})
	if err != nil {
		return err
	}
	defer store.Close()
	srv, err := f.open(ctx, store, &b, log)
	if err != nil {
		return err
	}
	defer srv.Close()
	routes, files, err := f.routes(srv, &b)
	if err != nil {
		return err
	}
	if files != nil {
		defer files.Close()
	}
	mux := http.NewServeMux()
	for _, r := range routes {
		mux.Handle(r.pattern, r.handler)
	}
	listener, err := net.Listen("tcp", f.addr)
	if err != nil {
		return err
	}
	hs := b.server(mux, log)
	hs.RegisterOnShutdown(srv.Drain)
	fmt.Fprintf(e.stdout, "heddle: serving %s (data in %s)\n", serveURL(listener.Addr()), f.data)
	if f.dev {
		if tcp, ok := listener.Addr().(*net.TCPAddr); ok && !tcp.IP.IsLoopback() {
			log.Warn("development mode on a public address: everybody who reaches it can read and write every space", "addr",
				tcp.String())
		}
	}
	failed := make(chan error, 1)
	go func() { failed <- hs.Serve(&limited{Listener: listener, most: f.connections, log: log}) }()
	select {
	case err := <-failed:
		return err
	case <-e.ctx.Done():
	}
	return errors.Join(f.shutDown(hs, srv, log), store.Close())
}

// open opens the sync server, with the keys and revocations that it needs.
func (f *serveFlags) open(
	ctx context.Context, store logstore.Store, b *bounds, log *slog.Logger,
) (*server.Server, error) {
	o := server.Options{Store: store, Dev: f.dev, Origins: f.origins, Logger: log, Limits: b.limits()}
	if !f.dev {
		f.keys.Logger = log
		keys, err := auth.OpenKeys(ctx, f.keys)
		if err != nil {
			return nil, err
		}
		o.Tokens = keys
		go refresh(ctx, keys.Refresh)
	}
	if f.revoked != "" {
		revoked, err := auth.OpenRevocations(f.revoked, log)
		if err != nil {
			return nil, err
		}
		o.Revoked = revoked.Revoked
		go refresh(ctx, func(context.Context, bool) error { return revoked.Refresh() })
	}
	return server.New(o)
}

// refresh reads again what has changed, and at SIGHUP all. Failures are logged
// where they occur.
func refresh(ctx context.Context, read func(ctx context.Context, all bool) error) {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	tick := time.NewTicker(refreshEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			read(ctx, false)
		case <-hangup:
			read(ctx, true)
		case <-ctx.Done():
			return
		}
	}
}

// route is a pattern of http.ServeMux and what answers there.
type route struct {
	pattern string
	handler http.Handler
}

// routes returns all that the command serves.
func (f *serveFlags) routes(srv *server.Server, b *bounds) ([]route, *static, error) {
	all := []route{{"/v1/", srv}, {"/healthz", srv}}
	if f.static == "" {
		return append(all, route{"/", srv}), nil, nil // says that there is nothing
	}
	files, err := newStatic(f.static, f.csp, f.dev, b.request)
	return append(all, route{"/", files}), files, err
}

// shutDown ends the streams and waits for the requests under way.
func (f *serveFlags) shutDown(hs *http.Server, srv *server.Server, log *slog.Logger) error {
	log.Info("shutting down")
	ctx, cancel := context.WithTimeout(context.Background(), f.drain)
	defer cancel()
	if err := hs.Shutdown(ctx); err != nil {
		hs.Close()
		if !errors.Is(err, context.DeadlineExceeded) {
			return err
		}
		log.Warn("some requests were cut off")
	}
	return srv.Close()
}

// serveURL is an address as one would type it into a browser.
func serveURL(a net.Addr) string {
	host, port, err := net.SplitHostPort(a.String())
	if err != nil {
		return a.String()
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return "http://" + net.JoinHostPort(host, port) + "/"
}
