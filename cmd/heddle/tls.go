package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"heddle.dev/heddle/sync/server/auth"
)

// maxPEM is more than a chain of certificates has, or a key.
const maxPEM = 1 << 20

// certificate is that of --tls-cert and --tls-key. It is read again when one of the
// files has changed: a new one counts for connections that begin then.
type certificate struct {
	cert, key auth.File
	log       *slog.Logger
	now       atomic.Pointer[tls.Certificate]
}

func openCertificate(cert, key string, log *slog.Logger) (*certificate, error) {
	c := &certificate{cert: auth.File{Name: cert}, key: auth.File{Name: key}, log: log}
	return c, c.read()
}

func (c *certificate) read() error {
	cert, err := c.cert.Read(maxPEM)
	if err != nil {
		return fmt.Errorf("--tls-cert: %w", err)
	}
	key, err := c.key.Read(maxPEM)
	if err != nil {
		return fmt.Errorf("--tls-key: %w", err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return fmt.Errorf("--tls-cert %s, --tls-key %s: %w", c.cert.Name, c.key.Name, err)
	}
	c.now.Store(&pair)
	return nil
}

// Refresh reads the files again if one has changed, or at all events. Where they do
// not make a certificate the one of before stays: one file may have changed before
// the other.
func (c *certificate) Refresh(_ context.Context, all bool) error {
	if changed := c.cert.Changed() || c.key.Changed(); !changed && !all {
		return nil
	}
	if err := c.read(); err != nil {
		c.log.Error("the certificate cannot be read: that of before stays", "error", err)
		return err
	}
	c.log.Info("the certificate was read again", "expires", c.expires())
	return nil
}

func (c *certificate) expires() time.Time { return c.now.Load().Leaf.NotAfter }

func (c *certificate) config() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.now.Load(), nil }}
}
