package main

import (
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path"
	"strings"
	"time"

	"heddle.dev/heddle/internal/accept"
)

// mediaTypes are those of web files. Go's own table depends on the machine, and
// a browser compiles WebAssembly only if it comes as application/wasm.
var mediaTypes = map[string]string{
	".css":         "text/css; charset=utf-8",
	".db":          "application/vnd.sqlite3",
	".gif":         "image/gif",
	".htm":         "text/html; charset=utf-8",
	".html":        "text/html; charset=utf-8",
	".ico":         "image/x-icon",
	".jpeg":        "image/jpeg",
	".jpg":         "image/jpeg",
	".js":          "text/javascript; charset=utf-8",
	".json":        "application/json",
	".map":         "application/json",
	".md":          "text/markdown; charset=utf-8",
	".mjs":         "text/javascript; charset=utf-8",
	".pdf":         "application/pdf",
	".png":         "image/png",
	".svg":         "image/svg+xml",
	".ts":          "text/plain; charset=utf-8",
	".txt":         "text/plain; charset=utf-8",
	".wasm":        "application/wasm",
	".webmanifest": "application/manifest+json",
	".webp":        "image/webp",
	".woff2":       "font/woff2",
	".xml":         "application/xml",
}

// strictCSP is enough for Heddle, also for the worker's own response, with no
// COOP or COEP. blob: is for a module that was imported from another origin.
const strictCSP = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self' blob:; style-src " +
	"'self'; " +
	"img-src 'self' data: blob:; font-src 'self'; manifest-src 'self'; connect-src %s; base-uri 'none'; form-action " +
	"'self'; frame-ancestors 'none'"

// static serves a directory's files: never one outside it (links included), none
// whose name begins with a dot, no listings. Where name.br or name.gz stand
// beside a file and the browser takes them, they are sent.
type static struct {
	root *os.Root
	csp  string
	time time.Duration // for a piece of an answer
}

func newStatic(dir, csp string, dev bool, time time.Duration) (*static, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("--static: %w", err)
	}
	if csp == "" {
		connect := "'self'"
		if dev { // a page may sync with a server on another port
			connect = "'self' http: https:"
		}
		csp = fmt.Sprintf(strictCSP, connect)
	}
	return &static{root, csp, time}, nil
}

func (s *static) Close() error { return s.root.Close() }

// encodings in order of preference, with the ending of the file beside.
var encodings = []struct{ name, ending string }{{"br", ".br"}, {"gzip", ".gz"}}

func (s *static) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "this takes GET", http.StatusMethodNotAllowed)
		return
	}
	clean := path.Clean("/" + r.URL.Path)
	if strings.HasSuffix(r.URL.Path, "/") {
		clean = path.Join(clean, "index.html")
	}
	name := strings.TrimPrefix(clean, "/")
	if strings.Contains("/"+name, "/.") || !fs.ValidPath(name) {
		http.NotFound(w, r)
		return
	}
	info, err := s.root.Stat(name)
	if err != nil { // it is not there, or its name leaves the directory
		http.NotFound(w, r)
		return
	}
	if info.IsDir() {
		u := *r.URL
		u.Path = clean + "/"
		http.Redirect(w, r, u.RequestURI(), http.StatusMovedPermanently)
		return
	}
	if !info.Mode().IsRegular() { // it is not opened: a pipe would wait for a writer
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	if t := mediaTypes[strings.ToLower(path.Ext(name))]; t != "" {
		h.Set("Content-Type", t)
	} else {
		h.Set("Content-Type", "application/octet-stream")
	}
	h.Set("Content-Security-Policy", s.csp)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-cache") // kept, but revalidated: an old worker does not fit a new page
	h.Add("Vary", "Accept-Encoding")
	file, kind := name, ""
	for _, e := range encodings {
		if accept.Encoding(r.Header.Get("Accept-Encoding"), e.name) {
			if i, err := s.root.Stat(name + e.ending); err == nil && i.Mode().IsRegular() &&
				!i.ModTime().Before(info.ModTime()) {
				file, kind, info = name+e.ending, e.name, i
				break
			}
		}
	}
	f, err := s.root.Open(file)
	if err != nil {
		http.NotFound(w, r)
		return
	}
	defer f.Close()
	if kind != "" {
		h.Set("Content-Encoding", kind)
	}
	h.Set("ETag", fmt.Sprintf(`"%x-%x%s"`, info.ModTime().UnixNano(), info.Size(), kind))
	http.ServeContent(newSlowWriter(w, s.time), r, "", info.ModTime(), f)
}
