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
	"time"

	"heddle/sync/server"
)

var serveCommand = command{
	name:  "serve",
	args:  "--data DIR (--dev | --token-key FILE) [flags]",
	short: "run the sync server",
	long: `
Runs the sync server until it is interrupted; then it ends the open streams,
finishes what it has begun and closes its files. With --static it also serves a
directory of web files.

Without --dev every request needs a token that grants its space: a JSON Web
Token with a claim "spaces", signed by the key in --token-key (see heddle help
token). --dev needs none and lets everybody into every space: use it on a
machine of your own only.`,
	run: serve,
}

func serve(e *env, flags *flag.FlagSet, args []string) error {
	addr := flags.String("addr", "127.0.0.1:8787", "`address` to listen on; port 0 takes a free one")
	data := flags.String("data", "", "`directory` for the spaces; made if missing")
	static := flags.String("static", "", "also serve the web files in this `directory`")
	dev := flags.Bool("dev", false, "no tokens, any space, any origin")
	keyFile := flags.String("token-key", "", "`file` with the key that verifies tokens: a secret (HS256), or an Ed25519 key in PEM")
	var origins list
	flags.Var(&origins, "origin", "`origin` of web pages that may call, such as https://app.example; may be repeated")
	csp := flags.String("csp", "", "Content-Security-`Policy` of the web files, in place of the strict one")
	level := flags.String("log", "info", "log `level`: debug, info, warn or error")
	asJSON := flags.Bool("log-json", false, "log in JSON")
	drain := flags.Duration("drain", 10*time.Second, "how `long` requests under way may take when the server ends")
	if err := parse(flags, args, 0, ""); err != nil {
		return err
	}
	if *data == "" {
		return badUsage("--data is needed")
	}
	if *dev == (*keyFile != "") {
		return badUsage("either --dev or --token-key is needed")
	}
	var lvl slog.Level
	if err := lvl.UnmarshalText([]byte(*level)); err != nil {
		return badUsage("--log: no such level as %q", *level)
	}
	ho := &slog.HandlerOptions{Level: lvl}
	var handler slog.Handler = slog.NewTextHandler(e.stderr, ho)
	if *asJSON {
		handler = slog.NewJSONHandler(e.stderr, ho)
	}
	log := slog.New(handler)

	waits := e.bounds.defaults()
	o := server.Options{Dir: *data, Dev: *dev, Origins: origins, Logger: log, Limits: server.Limits{Request: waits.request, Decision: waits.decision}}
	if *keyFile != "" {
		data, err := os.ReadFile(*keyFile)
		if err != nil {
			return err
		}
		key, err := server.ParseKey(data)
		if err != nil {
			return err
		}
		o.Tokens = key
	}
	srv, err := server.New(o)
	if err != nil {
		return err
	}
	defer srv.Close()
	mux := http.NewServeMux()
	mux.Handle("/v1/", srv)
	mux.Handle("/healthz", srv)
	if *static != "" {
		files, err := newStatic(*static, *csp, *dev)
		if err != nil {
			return err
		}
		defer files.Close()
		mux.Handle("/", files)
	} else {
		mux.Handle("/", srv) // says that there is nothing
	}
	listener, err := net.Listen("tcp", *addr)
	if err != nil {
		return err
	}
	hs := &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: waits.header,
		IdleTimeout:       waits.idle,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(handler, slog.LevelWarn),
	}
	hs.RegisterOnShutdown(srv.Drain)
	fmt.Fprintf(e.stdout, "heddle: serving %s (data in %s)\n", serveURL(listener.Addr()), *data)
	if *dev {
		if tcp, ok := listener.Addr().(*net.TCPAddr); ok && !tcp.IP.IsLoopback() {
			log.Warn("development mode on a public address: everybody who reaches it can read and write every space", "addr", tcp.String())
		}
	}
	failed := make(chan error, 1)
	go func() { failed <- hs.Serve(listener) }()
	select {
	case err := <-failed:
		return err
	case <-e.ctx.Done():
	}
	log.Info("shutting down")
	ctx, cancel := context.WithTimeout(context.Background(), *drain)
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
