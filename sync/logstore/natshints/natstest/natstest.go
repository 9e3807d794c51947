// Package natstest has a NATS server for tests, inside their process.
package natstest

import (
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"heddle.dev/heddle/internal/await"
)

// Broker is a NATS server, at one address all its life.
type Broker struct {
	t testing.TB
	o server.Options
	s *server.Server
}

// New starts a server that is there for one test. user and password may be empty.
func New(t testing.TB, user, password string) *Broker {
	t.Helper()
	b := &Broker{t: t, o: server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true,
		Username: user, Password: password}}
	b.Up()
	t.Cleanup(b.Down)
	return b
}

// Up starts it again.
func (b *Broker) Up() {
	b.t.Helper()
	o := b.o
	s, err := server.NewServer(&o)
	if err != nil {
		b.t.Fatal(err)
	}
	s.Start()
	await.Poll(b.t, "the NATS server", func() bool { return s.ReadyForConnections(20 * time.Millisecond) })
	b.s, b.o.Port = s, o.Port
}

// Down ends it, with the connections.
func (b *Broker) Down() {
	b.s.Shutdown()
	b.s.WaitForShutdown()
}

// URL is where it listens.
func (b *Broker) URL() string { return b.s.ClientURL() }
