package natshints_test

import (
	"strings"
	"testing"

	"heddle.dev/heddle/internal/await"
	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/logstore"
	"heddle.dev/heddle/sync/logstore/natshints"
	"heddle.dev/heddle/sync/logstore/natshints/natstest"
	"heddle.dev/heddle/sync/logstore/storetest"
)

func open(t *testing.T, url string) *natshints.Hints {
	t.Helper()
	h, err := natshints.Open(natshints.Options{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h
}

func up(t *testing.T, b *natstest.Broker) {
	t.Helper()
	if err := b.Up(); err != nil {
		t.Fatal(err)
	}
}

func TestHints(t *testing.T) {
	storetest.RunHints(t, func(t *testing.T) *storetest.HintsSubject {
		b := natstest.New(t, "", "")
		return &storetest.HintsSubject{News: true,
			Open:      func() logstore.Hints { return open(t, b.URL()) },
			Interrupt: func() { b.Down(); up(t, b) },
		}
	})
}

// A server begins without its broker, and finds it once that is there.
func TestOpen_nobodyThere(t *testing.T) {
	b := natstest.New(t, "", "")
	url := b.URL()
	b.Down()
	early := open(t, url)
	begun := make(chan struct{}, 10)
	go early.Watch(t.Context(), func(h logstore.Hint) {
		if h.Space == "" {
			begun <- struct{}{}
		}
	})
	await.Event(t, begun, "the beginning of a watch")
	early.Send(logstore.Hint{Space: "s", Seq: 1})
	up(t, b)
	await.Event(t, begun, "the broker")
}

// Users and subjects keep apart what is not one cluster's.
func TestOpen_userAndSubject(t *testing.T) {
	b := natstest.New(t, "heddle", "p/w?")
	url := strings.Replace(b.URL(), "nats://", "nats://heddle:p%2Fw%3F@", 1)
	heard := make(chan logstore.Hint, 10)
	begun := make(chan struct{}, 10)
	go open(t, url+"/one").Watch(t.Context(), func(h logstore.Hint) {
		if h.Space == "" {
			begun <- struct{}{}
			return
		}
		heard <- h
	})
	await.Event(t, begun, "the beginning of a watch")
	two, one := open(t, url+"/two"), open(t, url+"/one")
	two.Send(logstore.Hint{Space: "s", Seq: 1})
	if err := two.Close(); err != nil { // it has sent what waits
		t.Error(err)
	}
	one.Send(logstore.Hint{Space: "s", Seq: 2})
	if h := await.Event(t, heard, "a hint"); h.Seq != 2 {
		t.Errorf("got %+v", h)
	}
}

func TestOpen_refuses(t *testing.T) {
	for name, url := range map[string]string{
		"no URL": "127.0.0.1:4222", "another's": "postgres://x", "no host": "nats://", "no port": "nats://h:secret",
		"a wildcard": "nats://h/heddle.*", "a parameter": "nats://h?credentials=x", "half a pair": "nats://h?cert=x",
		"no file": "nats://127.0.0.1:1?ca=/none",
	} {
		h, err := natshints.Open(natshints.Options{URL: url})
		if err == nil {
			h.Close()
		}
		if errcode.Of(err) != errcode.BadParam || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
