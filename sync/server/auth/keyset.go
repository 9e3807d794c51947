package auth

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"heddle.dev/heddle/internal/errcode"
)

// KeyOptions say where a KeySet has its keys from.
type KeyOptions struct {
	Files    []string     // key files, see ParseKeys
	URLs     []string     // JWKS documents; https, or http of this machine
	Issuer   string       // what "iss" must be, "" for anything
	Audience string       // what "aud" must hold, "" for anything
	Client   *http.Client // fetches URLs; nil for one with a timeout of 10 s
	Logger   *slog.Logger // nil logs nothing
	// Now tells the time; nil for time.Now.
	Now func() time.Time
}

// KeySet is a Verifier with several keys, which change while it works: Refresh
// reads them again.
type KeySet struct {
	o       KeyOptions
	sources []*keySource

	busy chan struct{} // holds one token: the right to refresh

	mu      sync.Mutex
	keys    []*Key
	version uint64
}

// keySource is a file or a URL, with what was read of it last.
type keySource struct {
	file File   // of a file
	url  string // of a URL

	data  []byte
	keys  []*Key
	tried time.Time // when the URL was last asked
	ill   bool      // and failed
}

// OpenKeys reads all keys once. It fails where one source cannot be read.
func OpenKeys(ctx context.Context, o KeyOptions) (*KeySet, error) {
	const op = "server: open token keys"
	if o.Client == nil {
		o.Client = &http.Client{Timeout: fetchTime, CheckRedirect: checkRedirect}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &KeySet{o: o, busy: make(chan struct{}, 1)}
	for _, name := range o.Files {
		s.sources = append(s.sources, &keySource{file: File{Name: name}})
	}
	for _, address := range o.URLs {
		u, err := url.Parse(address)
		if err != nil || !safeURL(u) {
			return nil, errcode.New(errcode.BadParam, op,
				fmt.Sprintf("%q is not the URL of a JWKS document: it begins with https://", address))
		}
		s.sources = append(s.sources, &keySource{url: address})
	}
	if len(s.sources) == 0 {
		return nil, errcode.New(errcode.BadParam, op, "there is no key")
	}
	return s, s.Refresh(ctx, true)
}

// safeURL reports whether what is read from a URL comes from whom it names.
func safeURL(u *url.URL) bool {
	return u.Host != "" && (u.Scheme == "https" || u.Scheme == "http" && LocalHost(u.Hostname()))
}

func checkRedirect(r *http.Request, via []*http.Request) error {
	if len(via) > 3 || !safeURL(r.URL) {
		return errors.New("redirected too often, or to where nothing is safe")
	}
	return nil
}

// Verify returns what a token grants, by any of the keys that take its
// algorithm and its "kid". For a "kid" that no key has, or a token without, the
// JWKS documents are fetched, at most once in 30 seconds.
func (s *KeySet) Verify(ctx context.Context, token string) (Grant, error) {
	unknown := false
	find := func(id string) []*Key {
		s.mu.Lock()
		defer s.mu.Unlock()
		unknown = id == "" || !slices.ContainsFunc(s.keys, func(k *Key) bool { return k.id == id })
		return s.keys
	}
	g, err := verify(token, find)
	if err != nil && unknown && s.fetch(ctx) {
		g, err = verify(token, find)
	}
	if err != nil {
		return Grant{}, err
	}
	return g, s.addressed(&g)
}

// addressed refuses a token of another issuer, or for another audience.
func (s *KeySet) addressed(g *Grant) error {
	if s.o.Issuer != "" && g.Claims["iss"] != s.o.Issuer {
		return errcode.New(errcode.Unauthorized, opVerify, "the token is of another issuer")
	}
	if s.o.Audience == "" {
		return nil
	}
	all, _ := g.Claims["aud"].([]any)
	if g.Claims["aud"] != s.o.Audience && !slices.Contains(all, any(s.o.Audience)) {
		return errcode.New(errcode.Unauthorized, opVerify, "the token is for another audience")
	}
	return nil
}

// Version changes whenever the keys do.
func (s *KeySet) Version() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.version
}

// fetch asks the URLs again, where that is due, and reports whether that brought
// other keys.
func (s *KeySet) fetch(ctx context.Context) bool {
	before := s.Version()
	select {
	case s.busy <- struct{}{}:
		defer func() { <-s.busy }()
	case <-ctx.Done():
		return false
	}
	if s.Version() == before { // else another request has just done it
		s.read(ctx, func(k *keySource) bool { return k.url != "" && s.o.Now().Sub(k.tried) >= fetchAgain })
	}
	return s.Version() != before
}

// Refresh reads files that have changed and URLs that were not asked for a while;
// with all, everything. The keys of a source that cannot be read stay.
func (s *KeySet) Refresh(ctx context.Context, all bool) error {
	select {
	case s.busy <- struct{}{}:
		defer func() { <-s.busy }()
	case <-ctx.Done():
		return ctx.Err()
	}
	return s.read(ctx, func(k *keySource) bool {
		if k.url == "" {
			return k.file.Changed() || all
		}
		since := s.o.Now().Sub(k.tried)
		return all || since >= fetchEvery || k.ill && since >= fetchAgain
	})
}

// read reads the sources that are due.
func (s *KeySet) read(ctx context.Context, due func(*keySource) bool) error {
	var errs []error
	changed := false
	for _, k := range s.sources {
		if !due(k) {
			continue
		}
		k.tried = s.o.Now()
		other, err := s.readSource(ctx, k)
		k.ill = err != nil
		if err != nil {
			s.o.Logger.Error("token keys cannot be read: those of before stay", "from", k.name(), "error", err)
			errs = append(errs, fmt.Errorf("%s: %w", k.name(), err))
		}
		changed = changed || other
	}
	if changed {
		s.mu.Lock()
		s.keys = nil
		for _, k := range s.sources {
			s.keys = append(s.keys, k.keys...)
		}
		s.version++
		s.o.Logger.Info("token keys were read", "keys", len(s.keys))
		s.mu.Unlock()
	}
	return errcode.Wrap(errors.Join(errs...), errcode.BadParam, "server: read token keys")
}

func (k *keySource) name() string { return k.url + k.file.Name }

// readSource reads one source and reports whether its keys are others now.
func (s *KeySet) readSource(ctx context.Context, k *keySource) (changed bool, err error) {
	var data []byte
	parse := ParseKeys
	if k.url == "" {
		data, err = k.file.Read(maxKeyFile)
	} else {
		data, err = s.get(ctx, k.url)
		parse = func(data []byte) ([]*Key, error) { return parseJWKS(data, false) }
	}
	if err != nil || k.keys != nil && bytes.Equal(data, k.data) {
		return false, err
	}
	keys, err := parse(data)
	if err != nil {
		return false, err
	}
	k.data, k.keys = data, keys
	return true, nil
}

func (s *KeySet) get(ctx context.Context, address string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/jwk-set+json, application/json")
	res, err := s.o.Client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("it answers with status %d", res.StatusCode)
	}
	return readUpTo(res.Body, maxKeyFile)
}

// File is a file that is read again when it has changed. It is for one goroutine.
type File struct {
	Name string
	info os.FileInfo // as it was when it was read
}

// Changed reports whether the file is another than the one that was read, as far
// as its name, time and size tell.
func (f *File) Changed() bool {
	info, err := os.Stat(f.Name)
	if err != nil || f.info == nil {
		return f.info != nil || err == nil
	}
	return !os.SameFile(info, f.info) || !info.ModTime().Equal(f.info.ModTime()) || info.Size() != f.info.Size()
}

// Read reads the file, which has no more than most bytes.
func (f *File) Read(most int64) ([]byte, error) {
	info, err := os.Stat(f.Name) // before it is read: what changes meanwhile is read again
	f.info = info
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("it is not a regular file")
	}
	in, err := os.Open(f.Name)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	return readUpTo(in, most)
}

func readUpTo(in io.Reader, most int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(in, most+1))
	if err == nil && int64(len(data)) > most {
		err = fmt.Errorf("it has more than %d bytes", most)
	}
	return data, err
}

// LocalHost reports whether a host is this machine.
func LocalHost(name string) bool {
	ip := net.ParseIP(name)
	return name == "localhost" || strings.HasSuffix(name, ".localhost") || ip != nil && ip.IsLoopback()
}
