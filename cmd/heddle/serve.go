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
	"heddle.dev/heddle/sync/server/metrics"
	"heddle.dev/heddle/sync/server/traces"
)

var serveCommand = command{
	name:  "serve",
	args:  placeArgs + " (--dev | --token-key FILE … | --jwks URL …) [flags]",
	short: "run the sync server",
	long: `
Runs the sync server until it is interrupted; then it ends the open streams one
after the other, finishes what it has begun and closes its files. A second signal
ends it at once. With --static it also serves a directory of web files, in which
neither data nor keys may lie.

The spaces are in a directory (--data), which one server at a time uses, or in
PostgreSQL (--store), over which any number of equal servers may run: a device
may come to any of them, each time to another one.

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

Without --tls-cert it speaks HTTP/1.1 and HTTP/2 in clear, for a proxy before it;
with it both over TLS. The certificate is read again when its files change.

Traces of requests go to the collector that OTEL_EXPORTER_OTLP_ENDPOINT names, by
OTLP over HTTP in JSON.

--dev needs no tokens and lets everybody into every space: use it on a machine
of your own only. It answers pages of that machine, and of each --origin.`,
	run: serve,
}

func serve(e *env, flags *flag.FlagSet, args []string) error {
	f, b := &serveFlags{}, e.bounds.defaults()
	f.define(flags, &b)
	if err := f.parse(flags, args); err != nil {
		return err
	}
	b.set(&f.limits)
	log, err := f.logger(e)
	if err != nil {
		return err
	}
	if err := f.check(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(e.ctx)) // keys are looked after while it drains
	defer cancel()
	kept, err := f.place.open(e.ctx, sqlitestore.Options{Files: f.files, Bare: !f.checksums}, log)
	if err != nil {
		return err
	}
	defer kept.Close()
	m := metrics.New()
	told := []server.Observer{m}
	spans, err := openTraces(ctx, log)
	if err != nil {
		return err
	}
	if spans != nil {
		told = append(told, traces.New(spans))
		defer flushSpans(spans)
	}
	srv, err := f.open(ctx, e.before(m.Store(kept)), server.Observers(told...), &b, log)
	if err != nil {
		return err
	}
	defer srv.Close()
	m.Watch(srv)
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
	listener, err := f.listen(log)
	if err != nil {
		return err
	}
	hs := b.server(traces.Continue(mux), log)
	hs.RegisterOnShutdown(srv.Drain)
	cert, err := f.certificate(ctx, log)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	failed := make(chan error, 2)
	if f.admin != "" {
		admin, err := newAdmin(f.admin, srv, m, listener, cert, &b, log)
		if err != nil {
			return errors.Join(err, listener.Close())
		}
		defer admin.Close()
		fmt.Fprintf(e.stdout, "heddle: admin at %s\n", serveURL("http", admin.listener.Addr()))
		go func() { failed <- admin.Serve(admin.listener) }()
	}
	scheme := "http"
	if cert != nil {
		scheme, hs.TLSConfig = "https", cert.config()
	}
	fmt.Fprintf(e.stdout, "heddle: serving %s (data in %s)\n", serveURL(scheme, listener.Addr()), where(kept, f.data))
	go func() {
		if cert != nil {
			failed <- hs.ServeTLS(listener, "", "")
		} else {
			failed <- hs.Serve(listener)
		}
	}()
	select {
	case err := <-failed:
		return err
	case <-e.ctx.Done():
	}
	return errors.Join(f.shutDown(hs, srv, log), kept.Close())
}

// before is what a server sees of a store.
func (e *env) before(s logstore.Store) logstore.Store {
	if e.store == nil {
		return s
	}
	return e.store(s)
}

// certificate opens that of the flags, nil without them, and keeps it fresh.
func (f *serveFlags) certificate(ctx context.Context, log *slog.Logger) (*certificate, error) {
	if f.tlsCert == "" {
		return nil, nil
	}
	cert, err := openCertificate(f.tlsCert, f.tlsKey, log)
	if err != nil {
		return nil, err
	}
	go refresh(ctx, cert.Refresh)
	return cert, nil
}

// listen opens the listener for devices.
func (f *serveFlags) listen(log *slog.Logger) (*limited, error) {
	l, err := net.Listen("tcp", f.addr)
	if err != nil {
		return nil, err
	}
	if tcp, ok := l.Addr().(*net.TCPAddr); ok && f.dev && !tcp.IP.IsLoopback() {
		log.Warn("development mode on a public address: everybody who reaches it can read and write every space", "addr",
			tcp.String())
	}
	return &limited{Listener: l, most: f.connections, log: log}, nil
}

// open opens the sync server, with the keys and revocations that it needs.
func (f *serveFlags) open(
	ctx context.Context, store logstore.Store, told server.Observer, b *bounds, log *slog.Logger,
) (*server.Server, error) {
	o := server.Options{Store: store, Dev: f.dev, Origins: f.origins, Observer: told, Logger: log, Limits: f.limits}
	if f.url != "" {
		o.Recheck = recheckEvery
	}
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

// shutDown ends the streams, one after the other while others still come in and are
// told so, and waits for the requests under way.
func (f *serveFlags) shutDown(hs *http.Server, srv *server.Server, log *slog.Logger) error {
	log.Info("draining", "time", f.drain)
	hs.SetKeepAlivesEnabled(false)
	srv.DrainOver(context.Background(), f.drain)
	log.Info("shutting down")
	ctx, cancel := context.WithTimeout(context.Background(), f.grace)
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
func serveURL(scheme string, a net.Addr) string {
	host, port, err := net.SplitHostPort(a.String())
	if err != nil {
		return a.String()
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return scheme + "://" + net.JoinHostPort(host, port) + "/"
}
