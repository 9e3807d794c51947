package metrics

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/logstore"
	"heddle.dev/heddle/sync/logstore/storetest"
	"heddle.dev/heddle/sync/server"
	"heddle.dev/heddle/sync/wire"
)

// scraped is a server whose metrics are read as Prometheus does.
type scraped struct {
	t       *testing.T
	srv     *server.Server
	metrics http.Handler
}

func start(t *testing.T, store logstore.Store) *scraped {
	t.Helper()
	m := New()
	srv, err := server.New(server.Options{Dev: true, Store: m.Store(store), Observer: m,
		Decide: func(_ context.Context, d *server.Decision) error {
			if d.Counter == 2 {
				return errors.New("the app refuses it")
			}
			return nil
		}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { srv.Close() })
	m.Watch(srv)
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(m)
	return &scraped{t, srv, promhttp.HandlerFor(registry, promhttp.HandlerOpts{ErrorHandling: promhttp.PanicOnError})}
}

func (s *scraped) text() string {
	w := httptest.NewRecorder()
	s.metrics.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	return w.Body.String()
}

func (s *scraped) request(method, path string, body []byte) int {
	r := httptest.NewRequest(method, path, bytes.NewReader(body))
	r.Header.Set("Content-Type", wire.MediaType)
	w := httptest.NewRecorder()
	s.srv.ServeHTTP(w, r)
	return w.Code
}

func (s *scraped) push(space string, counter uint64) int {
	shape := &wire.Shape{Kind: wire.Insert, Table: "t", Columns: []string{"v"}, Joins: []wire.Join{wire.JoinLast}}
	b := &wire.Body{Schema: []wire.TableSchema{{Table: "t", Key: []string{"k"},
		Columns: []wire.ColumnSchema{{Name: "v", Group: 1}}}}, Shapes: []*wire.Shape{shape},
		Ops: []wire.Op{{Shape: shape, Key: []wire.Value{"secret-key"}, Cells: []wire.Value{int64(1)}}}}
	return s.request("POST", "/v1/spaces/"+space+"/push",
		(&wire.PushRequest{Client: wire.ClientID{1}, Parts: wire.SplitBody(counter, b.Marshal())}).Marshal())
}

// holds demands a line of the metrics.
func holds(t *testing.T, text string, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if !strings.Contains("\n"+text, "\n"+line+"\n") {
			t.Errorf("there is no line %q in\n%s", line, text)
		}
	}
}

func TestMetrics(t *testing.T) {
	down := false
	store := &storetest.Faulty{Store: storetest.NewModel(), Fault: func(_ context.Context, call string, after bool) error {
		if down {
			return fmt.Errorf("for the test: %w", logstore.ErrUnavailable)
		}
		return nil
	}}
	s := start(t, store)
	for counter := range uint64(3) {
		if got := s.push("private-space", counter+1); got != 200 {
			t.Fatalf("got %d", got)
		}
	}
	s.request("GET", "/v1/spaces/private-space/digest", nil)
	s.request("GET", "/v1/spaces/none/digest", nil)
	s.request("GET", "/elsewhere", nil)
	s.request("POST", "/v1/spaces/private-space/pull?wait=0", (&wire.PullRequest{Snapshots: true}).Marshal())
	if err := s.srv.Ready(t.Context()); err != nil {
		t.Error(err)
	}
	down = true
	s.push("private-space", 4)
	down = false
	text := s.text()
	holds(t, text, `heddle_requests_total{action="push",code="ok"} 3`,
		`heddle_requests_total{action="push",code="HEDDLE_SERVER"} 1`,
		`heddle_requests_total{action="digest",code="HEDDLE_NOT_FOUND"} 1`,
		`heddle_requests_total{action="other",code="HEDDLE_NOT_FOUND"} 1`,
		`heddle_requests_total{action="pull",code="ok"} 1`, `heddle_request_duration_seconds_count{action="push"} 4`,
		`heddle_transactions_total{outcome="ok"} 2`, `heddle_transactions_total{outcome="void"} 1`,
		`heddle_store_calls_total{call="commit",result="ok"} 3`,
		`heddle_store_calls_total{call="commit",result="unavailable"} 1`,
		`heddle_store_calls_total{call="spaces",result="ok"} 1`, `heddle_commit_transactions_count 3`,
		`heddle_push_step_duration_seconds_count{step="commit"} 4`, `heddle_streams 0`, `heddle_draining 0`)
	if strings.Contains(text, "private") || strings.Contains(text, "secret") {
		t.Errorf("a name of a client's is in\n%s", text)
	}
	s.srv.Drain()
	holds(t, s.text(), `heddle_draining 1`)
}

// The names follow Prometheus's conventions.
func TestMetrics_names(t *testing.T) {
	s := start(t, storetest.NewModel())
	s.push("s", 1)
	s.srv.Ready(t.Context())
	problems, err := promlint.New(strings.NewReader(s.text())).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// A commit that has lost against another server's is no error of the store's, and a
// call whose answer does not come is one.
func TestResultLabel(t *testing.T) {
	for want, errs := range map[string][]error{
		"ok":          {nil, logstore.ErrNotFound, logstore.ErrGone, errcode.New(errcode.Diverged, "", "")},
		"moved":       {logstore.ErrMoved, fmt.Errorf("wrapped: %w", logstore.ErrNotNew)},
		"damaged":     {errcode.New(errcode.Damaged, "", "")},
		"timeout":     {context.DeadlineExceeded, context.Canceled},
		"unavailable": {fmt.Errorf("x: %w", logstore.ErrUnavailable)},
		"error":       {errors.New("any"), errcode.New(errcode.Server, "", ""), errcode.New("SQLITE_IOERR", "", "")},
	} {
		for _, err := range errs {
			if got := resultLabel(err); got != want {
				t.Errorf("%v: got %q, want %q", err, got, want)
			}
		}
	}
}

// A code of a program's own has no series of its own.
func TestAnswered_codesAreBounded(t *testing.T) {
	s := start(t, storetest.NewModel())
	m := New()
	m.Watch(s.srv)
	for i := range 100 {
		m.Answered(t.Context(), &server.Answered{Action: "push", Code: fmt.Sprint("APP_", i), Took: time.Second})
	}
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(m)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "heddle_requests_total" && len(f.GetMetric()) != 1 {
			t.Errorf("%d series", len(f.GetMetric()))
		}
	}
}

// docs/OPERATING.md lists each metric, and none that there is not.
func TestMetrics_documented(t *testing.T) {
	data, err := os.ReadFile("../../../docs/OPERATING.md")
	if err != nil {
		t.Fatal(err)
	}
	s := start(t, storetest.NewModel())
	s.push("s", 1)
	s.srv.Ready(t.Context())
	// The command has these beside its server's.
	has := []string{"heddle_connections", "heddle_connections_refused_total",
		"heddle_certificate_expiry_timestamp_seconds"}
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (\S+)`).FindAllStringSubmatch(s.text(), -1) {
		has = append(has, m[1])
	}
	var told []string
	for _, m := range regexp.MustCompile("(?m)^\\| `(heddle_\\w+)` \\|").FindAllStringSubmatch(string(data), -1) {
		told = append(told, m[1])
	}
	slices.Sort(has)
	slices.Sort(told)
	if !slices.Equal(has, told) {
		t.Errorf("the page has\n%s\nand the server\n%s", strings.Join(told, "\n"), strings.Join(has, "\n"))
	}
}
