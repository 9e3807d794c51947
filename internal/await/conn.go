package await

import (
	"errors"
	"io"
	"net"
	"testing"
)

// Disconnect sends a request to host, an address, and waits until the server ends
// the connection. It returns an error if the server does not.
func Disconnect(t testing.TB, host, request string) error {
	c, err := net.Dial("tcp", host)
	if err != nil {
		return err
	}
	defer c.Close()
	_, _ = io.WriteString(c, request) // the connection may have ended already
	c.SetReadDeadline(Deadline(t))
	_, err = io.Copy(io.Discard, c)
	if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
		return errors.New("the connection stays open")
	}
	return nil // closed, or reset
}
