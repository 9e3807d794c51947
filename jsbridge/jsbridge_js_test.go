package jsbridge

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/hack-pad/safejs"
)

// eval runs JavaScript that is an expression.
func eval(t testing.TB, expression string) safejs.Value {
	t.Helper()
	f, err := construct("Function", "return ("+expression+")")
	if err != nil {
		t.Fatal(err)
	}
	v, err := f.Invoke()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestAwait(t *testing.T) {
	v, err := Await(t.Context(), eval(t, `new Promise(ok => setTimeout(() => ok("late"), 1))`))
	if err != nil || text(v) != "late" {
		t.Errorf("a promise that resolves: got %q, %v", text(v), err)
	}

	_, err = Await(t.Context(), eval(t, `Promise.reject(new DOMException("no room", "QuotaExceededError"))`))
	var thrown *Error
	if !errors.As(err, &thrown) || thrown.Name != "QuotaExceededError" || thrown.Message != "no room" {
		t.Errorf("a promise that rejects: got %v", err)
	}
	if !errors.Is(err, &Error{Name: "QuotaExceededError"}) || errors.Is(err, &Error{Name: "AbortError"}) {
		t.Errorf("errors.Is does not tell names apart: %v", err)
	}

	_, err = Await(t.Context(), eval(t, `Promise.reject("text")`))
	if err == nil || err.Error() != "text" {
		t.Errorf("a rejection with a string: got %v", err)
	}
}

func TestAwait_cancelled(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	time.AfterFunc(time.Millisecond, func() { cancel(why) })
	settle := eval(t, `(() => { let settle; const p = new Promise(ok => settle = ok); p.settle = settle; return p })()`)
	if _, err := Await(ctx, settle); !errors.Is(err, why) {
		t.Errorf("got %v, want the context's cause", err)
	}
	// The promise settles after its waiter left: no released function is called.
	if _, err := settle.Call("settle", 1); err != nil {
		t.Error(err)
	}
	if _, err := Await(t.Context(), settle); err != nil {
		t.Error(err)
	}
}

func TestCallback_panic(t *testing.T) {
	quiet := eval(t, `(() => { const e = console.error; console.error = m => { globalThis.lastError = m }; `+
		`return () => { console.error = e } })()`)
	f, err := callback(func([]safejs.Value) { panic("at the wall") })
	if err != nil {
		t.Fatal(err)
	}
	defer f.Release()
	if _, err := f.Value().Invoke(); err != nil {
		t.Errorf("the panic reached JavaScript: %v", err)
	}
	if _, err := quiet.Invoke(); err != nil {
		t.Fatal(err)
	}
	if m := text(eval(t, `globalThis.lastError`)); !strings.Contains(m, "at the wall") {
		t.Errorf("console.error got %q", m)
	}
}

func TestThrown_real(t *testing.T) {
	_, err := safejs.Global().Call("decodeURIComponent", "%")
	var e *Error
	if !errors.As(thrown(err), &e) || e.Name != "URIError" || e.Message == "" {
		t.Errorf("a real throw: got %#v", thrown(err))
	}
}

func TestBytes(t *testing.T) {
	want := []byte{0, 1, 2, 255}
	u8, err := uint8Array(want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := bytesOf(u8)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("Uint8Array: got %v, %v", got, err)
	}
	buffer, _ := u8.Get("buffer")
	if got, err = bytesOf(buffer); err != nil || !bytes.Equal(got, want) {
		t.Errorf("ArrayBuffer: got %v, %v", got, err)
	}
	if got, err = bytesOf(eval(t, `new Uint8Array([9, 8, 7, 6]).subarray(1, 3)`)); err != nil ||
		!bytes.Equal(got, []byte{8, 7}) {
		t.Errorf("part of a buffer: got %v, %v", got, err)
	}
	if _, err := bytesOf(safejs.Null()); err == nil {
		t.Error("null has bytes")
	}
}

func TestChannel(t *testing.T) {
	a, err := NewChannel("jsbridge test")
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	b, err := NewChannel("jsbridge test")
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	got := make(chan []byte, 10)
	own := make(chan []byte, 10)
	receive := func(c *Channel, to chan<- []byte) {
		stop, err := listen(c.channel, "message", func(event safejs.Value) {
			data, _ := event.Get("data")
			p, _ := bytesOf(data)
			to <- p
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(stop)
	}
	receive(b, got)
	receive(a, own)
	for i := range 3 {
		if err := a.Post([]byte{byte(i), 7}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 3 {
		if p := <-got; !bytes.Equal(p, []byte{byte(i), 7}) {
			t.Errorf("message %d: got %v", i, p)
		}
	}
	if len(own) != 0 {
		t.Error("the sender heard itself")
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Errorf("closing twice: %v", err)
	}
	if err := b.Post(nil); !errors.Is(err, &Error{Name: "InvalidStateError"}) {
		t.Errorf("posting after the end: got %v", err)
	}
}

func TestFetch(t *testing.T) {
	r, err := Fetch(t.Context(), &Request{Method: "GET", URL: "data:text/plain,hello"})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	p, err := io.ReadAll(r.Body)
	if err != nil || string(p) != "hello" || r.Status != 200 || r.Header("Content-Type") != "text/plain" {
		t.Errorf("got %q, %v, status %d, type %q", p, err, r.Status, r.Header("content-type"))
	}
	if r.Header("x-missing") != "" {
		t.Error("a missing header has a value")
	}
	_, err = Fetch(t.Context(), &Request{Method: "GET", URL: "nonsense:"})
	var e *Error
	if !errors.As(err, &e) || e.Name != "TypeError" {
		t.Errorf("a bad URL: got %v", err)
	}
}

// The browser does not say that CORS is in the way: the error names what to do.
func TestFetch_foreign(t *testing.T) {
	defer eval(t, `(() => {
		globalThis.location = { origin: "https://app.example" }
		return () => { delete globalThis.location }
	})()`).Invoke()
	for url, want := range map[string]bool{"nonsense://sync.example/": true, "https://app.example/v1/": false} {
		stop := eval(t, `(() => {
			const real = globalThis.fetch
			globalThis.fetch = async () => { throw new TypeError("Failed to fetch") }
			return () => { globalThis.fetch = real }
		})()`)
		_, err := Fetch(t.Context(), &Request{Method: "GET", URL: url})
		stop.Invoke()
		var e *Error
		if !errors.As(err, &e) || e.Name != "TypeError" ||
			strings.Contains(err.Error(), "--origin https://app.example") != want {
			t.Errorf("%s: got %v", url, err)
		}
	}
}

// fake replaces fetch with one that streams: two pieces, then waits for the signal.
const fake = `(() => {
	const real = globalThis.fetch
	globalThis.fetch = async (url, init) => {
		globalThis.seen = init
		return new Response(new ReadableStream({
			start(c) {
				c.enqueue(new Uint8Array([1, 2, 3]))
				setTimeout(() => init.signal.aborted || c.enqueue(new Uint8Array([4])), 1)
				init.signal.addEventListener("abort", () => c.error(init.signal.reason))
			},
		}), { status: 202 })
	}
	return () => { globalThis.fetch = real }
})()`

func TestFetch_stream(t *testing.T) {
	restore := eval(t, fake)
	defer restore.Invoke()
	ctx, cancel := context.WithCancel(t.Context())
	r, err := Fetch(ctx, &Request{Method: "POST", URL: "http://x/", Header: map[string]string{"Authorization": "Bearer t"},
		Body: []byte("body")})
	if err != nil {
		t.Fatal(err)
	}
	if r.Status != 202 {
		t.Errorf("status %d", r.Status)
	}
	p := make([]byte, 4)
	if _, err := io.ReadFull(r.Body, p); err != nil || !bytes.Equal(p, []byte{1, 2, 3, 4}) {
		t.Errorf("got %v, %v", p, err)
	}
	sent := text(eval(t,
		`new TextDecoder().decode(seen.body) + " " + seen.headers.Authorization + " " + seen.credentials`))
	if sent != "body Bearer t omit" {
		t.Errorf("sent %q", sent)
	}
	time.AfterFunc(time.Millisecond, cancel)
	if _, err := r.Body.Read(p); !errors.Is(err, context.Canceled) {
		t.Errorf("reading on after the end of the context: %v", err)
	}
	if err := r.Body.Close(); err != nil {
		t.Error(err)
	}
	if aborted, _ := eval(t, `seen.signal.aborted`).Bool(); !aborted {
		t.Error("the request was not aborted")
	}
}

func TestFetch_close(t *testing.T) {
	restore := eval(t, fake)
	defer restore.Invoke()
	r, err := Fetch(t.Context(), &Request{Method: "GET", URL: "http://x/"})
	if err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
	r.Body.Close()
	if aborted, _ := eval(t, `seen.signal.aborted`).Bool(); !aborted {
		t.Error("closing the body left the request running")
	}
	if _, err := r.Body.Read(make([]byte, 1)); err == nil {
		t.Error("a closed body can be read")
	}
}

// recorder is a HostHandler that writes down what it is told.
type recorder struct{ log []string }

func (r *recorder) Connect(s int, tab string) { r.add("connect", s, tab) }
func (r *recorder) Disconnect(s int)          { r.add("disconnect", s, "") }
func (r *recorder) Storage(class string)      { r.add("storage", 0, class) }
func (r *recorder) Stop()                     { r.add("stop", 0, "") }
func (r *recorder) Alive(tabs []string, since int) {
	r.add("alive", since, strings.Join(tabs, "+"))
}
func (r *recorder) add(what string, s int, d string) {
	r.log = append(r.log, what+" "+string(rune('0'+s))+" "+d)
}

func TestHost(t *testing.T) {
	eval(t, `globalThis["host under test"] = {
		leader: "L", channel: "C", storage: "memory", open: new Uint8Array([1, 2]), said: [],
		serve(f) { this.deliver = f },
		ready() { this.said.push("ready") },
		failed(...a) { this.said.push(a.join("/")) },
		stopped() { this.said.push("stopped") },
	}`)
	s, err := AttachHost("host under test")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := AttachHost("host under test"); err == nil {
		t.Error("the host is still in the global object")
	}
	c, err := s.Config()
	if err != nil || c.Leader != "L" || c.Channel != "C" || c.Storage != "memory" || !bytes.Equal(c.Open, []byte{1, 2}) {
		t.Errorf("config %+v, %v", c, err)
	}
	r := &recorder{}
	release, err := s.Serve(r)
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	deliver := func(kind, session int, detail any) {
		if _, err := s.value.Call("deliver", kind, session, detail); err != nil {
			t.Fatal(err)
		}
	}
	deliver(eventConnect, 1, "tab")
	deliver(eventStorage, 0, "persistent")
	deliver(eventDisconnect, 1, "")
	deliver(eventAlive, 2, "tab other")
	deliver(eventAlive, 3, "")
	deliver(eventStop, 0, "")
	deliver(99, 0, "")
	want := "connect 1 tab|storage 0 persistent|disconnect 1 |alive 2 tab+other|alive 3 |stop 0 "
	if got := strings.Join(r.log, "|"); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	s.Ready()
	s.Failed("CODE", "message", "SQL")
	s.Stopped(true)
	said, _ := s.value.Get("said")
	joined, _ := said.Call("join", " ")
	if text(joined) != "ready CODE/message/SQL stopped" {
		t.Errorf("said %q", text(joined))
	}
}
