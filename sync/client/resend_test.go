package client_test

import (
	"context"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"heddle.dev/heddle/sync/client"
	"heddle.dev/heddle/sync/wire"
)

// What a server had decided before it was put back to an older log is sent again,
// whether the log has grown meanwhile or not.
func TestClient_promiseLost(t *testing.T) {
	for name, frames := range map[string][]*wire.Frame{
		"shorter": {{Hello: &wire.Hello{Epoch: wire.Epoch{7}}}, caughtUp()},
		"grown":   {{Hello: &wire.Hello{Epoch: wire.Epoch{7}, Head: 3}}, {CaughtUp: &wire.CaughtUp{Seq: 3}}},
	} {
		t.Run(name, func(t *testing.T) {
			scripted(t, func(s *script, d *device, _ func() []string) {
				ctx, stop := context.WithCancel(context.Background())
				ended := make(chan struct{})
				pushes, streams := 0, make(chan struct{}, 1)
				s.will(func(ctx context.Context, r *client.Request) (*client.Response, error) {
					if strings.HasSuffix(r.URL, "/push") {
						pushes++
						res := wire.PushResponse{Epoch: wire.Epoch{7}, Head: 3, Decided: 1}
						return answered(strings.NewReader(string(res.Marshal()))), nil
					}
					select {
					case streams <- struct{}{}: // the first, which hears nothing until it breaks
						return answered(&stream{ctx, strings.NewReader("")}), nil
					default:
						var data []byte
						for _, f := range frames {
							data = wire.AppendFrame(data, f)
						}
						return answered(&stream{ctx, strings.NewReader(string(data))}), nil
					}
				})
				go func() { defer close(ended); d.c.Run(ctx) }()
				synctest.Wait()
				d.exec(`INSERT INTO notes(id) VALUES('a')`)
				synctest.Wait()
				if pushes != 1 {
					t.Fatalf("got %d pushes, want 1", pushes)
				}
				time.Sleep(15 * time.Second) // the silent stream is given up, and the log is polled
				synctest.Wait()
				if pushes != 2 {
					t.Errorf("got %d pushes, want 2", pushes)
				}
				stop()
				<-ended
			})
		})
	}
}

// The same where the answer was on its way while the server was put back, and
// comes after the stream from the older log has begun.
func TestClient_promiseLost_late(t *testing.T) {
	scripted(t, func(s *script, d *device, _ func() []string) {
		ctx, stop := context.WithCancel(context.Background())
		ended := make(chan struct{})
		pushes := 0
		reads, writes := io.Pipe()
		s.will(func(_ context.Context, r *client.Request) (*client.Response, error) {
			if strings.HasSuffix(r.URL, "/push") {
				pushes++
				res := wire.PushResponse{Epoch: wire.Epoch{7}, Head: 3, Decided: 1}
				return answered(strings.NewReader(string(res.Marshal()))), nil
			}
			return answered(reads), nil
		})
		go func() { defer close(ended); d.c.Run(ctx) }()
		send := func(f *wire.Frame) {
			t.Helper()
			if _, err := writes.Write(wire.AppendFrame(nil, f)); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		send(&wire.Frame{Hello: &wire.Hello{Epoch: wire.Epoch{7}}})
		send(caughtUp())
		d.exec(`INSERT INTO notes(id) VALUES('a')`)
		synctest.Wait()
		send(&wire.Frame{Heartbeat: &wire.Heartbeat{Head: 3}})
		if pushes != 1 {
			t.Fatalf("got %d pushes, want 1", pushes)
		}
		send(&wire.Frame{Heartbeat: &wire.Heartbeat{}})
		if pushes != 2 {
			t.Errorf("got %d pushes, want 2", pushes)
		}
		writes.Close()
		stop()
		<-ended
	})
}

func answered(body io.Reader) *client.Response {
	return &client.Response{Status: 200, Body: io.NopCloser(body), Header: func(name string) string {
		if name == "Content-Type" {
			return wire.MediaType
		}
		return ""
	}}
}
