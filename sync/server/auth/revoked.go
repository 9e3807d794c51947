package auth

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"heddle.dev/heddle/internal/errcode"
)

// Revocations is a file of tokens that no longer count, one on a line:
//
//	jti NAME            the token of that name
//	sub NAME            all tokens of that subject
//	before TIME NAME    those of that subject that were issued before a time (RFC 3339)
//
// Empty lines, and lines that begin with #, say nothing. Its method Revoked is for
// Options.Revoked.
type Revocations struct {
	log  *slog.Logger
	file File

	mu       sync.Mutex
	tokens   map[string]bool
	subjects map[string]time.Time // tokens issued before it; zero for all
}

const maxRevocations = 16 << 20 // bytes of the file

// OpenRevocations reads a file of revocations.
func OpenRevocations(name string, log *slog.Logger) (*Revocations, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	r := &Revocations{log: log, file: File{Name: name}}
	return r, r.read()
}

// Refresh reads the file again if it has changed. What was read before stays where
// it cannot be read.
func (r *Revocations) Refresh() error {
	if !r.file.Changed() {
		return nil
	}
	err := r.read()
	if err != nil {
		r.log.Error("the revoked tokens cannot be read: those of before stay", "file", r.file.Name, "error", err)
	}
	return err
}

func (r *Revocations) read() error {
	const op = "server: read revoked tokens"
	data, err := r.file.Read(maxRevocations)
	if err != nil {
		return errcode.Wrap(err, errcode.BadParam, op)
	}
	tokens, subjects, err := parseRevocations(data)
	if err != nil {
		return &errcode.Error{Code: errcode.BadParam, Op: op, Msg: r.file.Name + ": " + err.Error(), Err: err}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tokens, r.subjects = tokens, subjects
	return nil
}

func parseRevocations(data []byte) (tokens map[string]bool, subjects map[string]time.Time, err error) {
	tokens, subjects = map[string]bool{}, map[string]time.Time{}
	n := 0
	for line := range bytes.Lines(data) {
		n++
		text := strings.TrimSpace(string(line))
		if text == "" || text[0] == '#' {
			continue
		}
		kind, name, _ := strings.Cut(text, " ")
		name = strings.TrimSpace(name)
		var before time.Time
		if kind == "before" {
			when, rest, _ := strings.Cut(name, " ")
			if before, err = time.Parse(time.RFC3339, when); err != nil {
				return nil, nil, fmt.Errorf("line %d: %q is not a time such as 2006-01-02T15:04:05Z", n, when)
			}
			name = strings.TrimSpace(rest)
		}
		switch {
		case name == "":
			return nil, nil, fmt.Errorf("line %d: a name is missing", n)
		case kind == "jti":
			tokens[name] = true
		case kind == "sub", kind == "before":
			if had, ok := subjects[name]; !ok || !had.IsZero() && (before.IsZero() || before.After(had)) {
				subjects[name] = before
			}
		default:
			return nil, nil, fmt.Errorf("line %d begins with none of jti, sub and before", n)
		}
	}
	return tokens, subjects, nil
}

// Revoked reports whether a token is in the file. One that does not say when it
// was issued counts as issued before any time.
func (r *Revocations) Revoked(g *Grant) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.tokens[g.ID] {
		return true
	}
	before, ok := r.subjects[g.Subject]
	return ok && (before.IsZero() || g.Issued.Before(before))
}
