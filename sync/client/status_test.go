package client

import (
	"bytes"
	"testing"
)

func TestListeners_order(t *testing.T) {
	var l listeners
	var got bytes.Buffer
	remove := on(&l, func(s string) {
		got.WriteString(s)
		if s == "a" {
			l.put("b")
			l.deliver()
			l.put(1)
		}
	})
	l.put("a")
	l.put("c")
	l.deliver()
	remove()
	l.put("d")
	l.deliver()
	if got.String() != "acb" {
		t.Errorf("got %q, want %q", got.String(), "acb")
	}
}
