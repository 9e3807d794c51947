// Package natstest has a NATS server for tests and benchmarks, inside their process.
package natstest

import (
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// startWait is for a server to take connections.
const startWait = 2 * time.Minute

// Broker is a NATS server, at one address all its life.
type Broker struct {
	o server.Options
	s *server.Server
}

// New starts a server for one test. user and password may be empty.
func New(t testing.TB, user, password string) *Broker {
	t.Helper()
	b, err := Start(user, password)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Down)
	return b
}

// Start starts a server, which the caller ends.
func Start(user, password string) (*Broker, error) {
	b := &Broker{o: server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true,
		Username: user, Password: password}}
	return b, b.Up()
}

// Up starts it again.
func (b *Broker) Up() error {
	o := b.o
	s, err := server.NewServer(&o)
	if err != nil {
		return err
	}
	s.Start()
	if !s.ReadyForConnections(startWait) {
		s.Shutdown()
		return errors.New("natstest: the server takes no connections")
	}
	b.s, b.o.Port = s, o.Port
	return nil
}

// Down ends it, with the connections.
func (b *Broker) Down() {
	b.s.Shutdown()
	b.s.WaitForShutdown()
}

// URL is where it listens.
func (b *Broker) URL() string { return b.s.ClientURL() }
