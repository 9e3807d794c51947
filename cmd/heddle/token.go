package main

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"heddle.dev/heddle/sync/server/auth"
	"heddle.dev/heddle/sync/wire"
)

var tokenCommand = command{
	name:  "token",
	args:  "--token-key FILE (--space SPACE … | --read SPACE … | --new-key) [flags]",
	short: "mint a token that grants spaces",
	long: `
Prints a token for clients of a server that was started with the same
--token-key. The key is a secret of at least 32 bytes (HS256), or a private key
in PEM or JWKS: Ed25519 (EdDSA), P-256 (ES256) or RSA (RS256); the server then
needs the public key alone. Of several keys in FILE the first that can sign does.

Give each user a --subject of its own: what a device writes belongs to the
subject of its token, and no other may write under its id.

With --new-key it writes a fresh random secret to FILE, which must not exist.

Your own backend can mint tokens as well: a JSON Web Token with the claims
"sub" (the user), "exp" and "spaces", a list of names to read and write, or an
object of names with "r" or "rw"; "*" stands for all spaces that are not named.
A claim "quota" is an object such as {"rows": 1000, "devices": 5}: see --quota.
A "jti" lets one token be revoked.`,
	run: token,
}

func token(e *env, flags *flag.FlagSet, args []string) error {
	file := flags.String("token-key", "", "`file` with the key")
	var spaces list
	flags.Var(&spaces, "space", "a `space` to grant; may be repeated; * grants all")
	var reads list
	flags.Var(&reads, "read", "a `space` to grant for reading only; may be repeated")
	id := flags.String("id", "", "`name` of the token, its claim jti, by which it can be revoked")
	claims := map[string]any{}
	for name, claim := range map[string]string{"issuer": "iss", "audience": "aud"} {
		flags.Func(name, "`"+name+"` of the token, its claim "+claim, func(s string) error { claims[claim] = s; return nil })
	}
	subject := flags.String("subject", "heddle-token", "for `whom` the token is")
	var quota auth.Quota
	flags.Func("quota", "a `limit` in place of the server's own, such as rows=1000, bytes=64MiB, devices=5, streams=3, "+
		"rate=2.5, or one =none; may be repeated", func(s string) error { return setQuota(&quota, s) })
	ttl := flags.Duration("ttl", 24*time.Hour, "how `long` it is valid")
	newKey := flags.Bool("new-key", false, "write a new secret to the key file")
	if err := parse(flags, args, 0, ""); err != nil {
		return err
	}
	switch {
	case *file == "":
		return badUsage("--token-key is needed")
	case *newKey && len(spaces)+len(reads) > 0:
		return badUsage("--new-key and --space do not go together")
	case *newKey:
		return writeKey(e, *file)
	case len(spaces)+len(reads) == 0:
		return badUsage("--space or --read is needed")
	case *ttl <= 0:
		return badUsage("--ttl must be more than nothing")
	}
	granted := auth.Spaces(auth.Read, reads...)
	maps.Copy(granted, auth.Spaces(auth.ReadWrite, spaces...))
	for s := range granted {
		if s != "*" && !wire.ValidSpace(s) {
			return badUsage("--space: %q cannot be a space's name", s)
		}
	}
	keys, err := readKeys(*file)
	if err != nil {
		return err
	}
	key := keys[max(0, slices.IndexFunc(keys, (*auth.Key).CanSign))]
	t, err := key.Mint(auth.Grant{Subject: *subject, ID: *id, Claims: claims, Spaces: granted,
		Quota: quota, Expires: time.Now().Add(*ttl)})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(e.stdout, t)
	return err
}

// setQuota reads a flag of the form name=value.
func setQuota(q *auth.Quota, s string) error {
	name, text, _ := strings.Cut(s, "=")
	if text == "none" {
		return q.Set(name, text)
	}
	if name == "bytes" {
		n, err := parseSize(text)
		if err != nil {
			return err
		}
		return q.Set(name, float64(n))
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return errors.New("it is not of the form rows=1000")
	}
	return q.Set(name, n)
}

func readKeys(file string) ([]*auth.Key, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return auth.ParseKeys(data)
}

func writeKey(e *env, file string) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	secret := make([]byte, 48)
	rand.Read(secret) // never fails
	_, err = fmt.Fprintln(f, base64.RawURLEncoding.EncodeToString(secret))
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(e.stdout, "a new secret is in %s; keep it to yourself\n", file)
	return err
}
