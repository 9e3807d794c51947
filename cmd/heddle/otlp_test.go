//go:build unix

package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"heddle.dev/heddle/sync/wire"
)

// Spans of requests reach a collector as OTLP's JSON form has them, in the trace that
// the request names.
func TestServe_traces(t *testing.T) {
	type got struct {
		path, kind, key string
		body            otlpRequest
	}
	came := make(chan got, 100)
	collector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g := got{path: r.URL.Path, kind: r.Header.Get("Content-Type"), key: r.Header.Get("Api-Key")}
		d := json.NewDecoder(r.Body)
		d.DisallowUnknownFields()
		if err := d.Decode(&g.body); err != nil {
			t.Error(err)
		}
		came <- g
		w.Write([]byte("{}"))
	}))
	defer collector.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "api-key=a%20key")
	t.Setenv("OTEL_SERVICE_NAME", "notes")
	url, stop := serving(t, "--dev", "--data", t.TempDir())
	const trace, parent = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
	b := (&wire.PushRequest{Client: wire.ClientID{1}, Parts: wire.SplitBody(1, (&wire.Body{}).Marshal())}).Marshal()
	req, err := http.NewRequest("POST", url+"v1/spaces/s/push", bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", wire.MediaType)
	req.Header.Set("Traceparent", "00-"+trace+"-"+parent+"-01")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if res.Body.Close(); res.StatusCode != 200 {
		t.Fatalf("got %s", res.Status)
	}
	if status, _ := get(t, url+"v1/spaces/none/digest"); status != 404 {
		t.Errorf("got %d", status)
	}
	if code := stop(); code != exitOK { // sends what is left
		t.Errorf("exit %d", code)
	}
	spans := map[string]otlpSpan{}
	for close(came); ; {
		g, ok := <-came
		if !ok {
			break
		}
		if g.path != "/v1/traces" || g.kind != "application/json" || g.key != "a key" {
			t.Errorf("got %+v", g)
		}
		about := attributesOf(g.body.ResourceSpans[0].Resource.Attributes)
		if about["service.name"] != "notes" {
			t.Errorf("the resource has %v", about)
		}
		for _, s := range g.body.ResourceSpans[0].ScopeSpans[0].Spans {
			spans[s.Name] = s
		}
	}
	push := spans["push"]
	if push.TraceID != trace || push.ParentSpanID != parent || push.Kind != 2 || push.Status.Code != 0 ||
		attributesOf(push.Attributes)["http.route"] != "/v1/spaces/{space}/push" {
		t.Errorf("the push has %+v", push)
	}
	for _, name := range []string{"wait", "read", "decide", "commit"} {
		s := spans[name]
		if s.TraceID != trace || s.ParentSpanID != push.SpanID || nanoseconds(t, s.Start) < nanoseconds(t, push.Start) ||
			nanoseconds(t, s.End) > nanoseconds(t, push.End) {
			t.Errorf("the step %s has %+v", name, s)
		}
	}
	digest := spans["digest"]
	if len(digest.TraceID) != 32 || digest.TraceID == trace || digest.ParentSpanID != "" || digest.Status.Code != 0 ||
		attributesOf(digest.Attributes)["error.type"] != "HEDDLE_NOT_FOUND" {
		t.Errorf("the digest has %+v", digest)
	}
}

func attributesOf(all []otlpAttribute) map[string]string {
	m := map[string]string{}
	for _, a := range all {
		m[a.Key] = a.Value.String
	}
	return m
}

func nanoseconds(t *testing.T, s string) int64 {
	t.Helper()
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// A collector that is not there costs traces alone, and says so.
func TestServe_noCollector(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
	lost := make(chan bool, 10)
	url, stop := servingWithin(t, unhurried, func(line string) {
		if strings.Contains(line, "traces are lost") {
			lost <- true
		}
	}, "--dev", "--data", t.TempDir())
	becomes(t, "a push", 200, func() int { return push(t, url, "") })
	stop()
	if len(lost) == 0 {
		t.Error("the log does not say that traces are lost")
	}
	for name, value := range map[string]string{"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
		"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "collector:4318"} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(name, value)
			if code, _, problems := heddle(t, "serve", "--dev", "--data", t.TempDir()); code != exitFailed ||
				!strings.Contains(problems, "OTEL_EXPORTER_OTLP_") {
				t.Errorf("exit %d, %s", code, problems)
			}
		})
	}
}
