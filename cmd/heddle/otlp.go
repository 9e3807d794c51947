package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/sdk/trace"
)

// Traces go to a collector by OTLP over HTTP, in its JSON form: OpenTelemetry's own
// exporter links gRPC and would make the program a quarter larger, where this form is
// a few structs (https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding).

// openTraces returns a provider of spans as the environment variables of OpenTelemetry
// say; nil where they name no collector.
func openTraces(ctx context.Context, log *slog.Logger) (*trace.TracerProvider, error) {
	target := os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
	if base := os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT"); target == "" && base != "" {
		target = strings.TrimSuffix(base, "/") + "/v1/traces"
	}
	if target == "" || os.Getenv("OTEL_SDK_DISABLED") == "true" {
		return nil, nil
	}
	switch p := otlpVariable("PROTOCOL"); p {
	case "", "http/json":
	default:
		return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_PROTOCOL is %s: traces are sent by http/json alone", p)
	}
	u, err := url.Parse(target)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_ENDPOINT: %q is not an http or https URL", target)
	}
	e := &exporter{target: target, header: http.Header{}, client: &http.Client{Timeout: 10 * time.Second}}
	for pair := range strings.SplitSeq(otlpVariable("HEADERS"), ",") {
		name, value, ok := strings.Cut(pair, "=")
		if value, err = url.PathUnescape(value); ok && err == nil {
			e.header.Set(strings.TrimSpace(name), strings.TrimSpace(value))
		}
	}
	e.header.Set("Content-Type", "application/json")
	about, err := resource.New(ctx, resource.WithAttributes(attribute.String("service.name", "heddle")),
		resource.WithTelemetrySDK(), resource.WithFromEnv())
	if err != nil {
		return nil, err
	}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { log.Warn("traces are lost", "error", err) }))
	return trace.NewTracerProvider(trace.WithBatcher(e), trace.WithResource(about)), nil
}

// spansWait is how long the last spans may take to be sent.
const spansWait = 5 * time.Second

// flushSpans sends what has not been sent. What fails is logged.
func flushSpans(p *trace.TracerProvider) {
	ctx, cancel := context.WithTimeout(context.Background(), spansWait)
	defer cancel()
	if err := p.Shutdown(ctx); err != nil {
		otel.Handle(err)
	}
}

// otlpVariable is an environment variable of the exporter's, that for traces first.
func otlpVariable(name string) string {
	return cmp.Or(os.Getenv("OTEL_EXPORTER_OTLP_TRACES_"+name), os.Getenv("OTEL_EXPORTER_OTLP_"+name))
}

// exporter sends spans to a collector.
type exporter struct {
	target string
	header http.Header
	client *http.Client
}

// The messages of OTLP, as far as spans of this program fill them.
type (
	otlpRequest struct {
		ResourceSpans []otlpResourceSpans `json:"resourceSpans"`
	}
	otlpResourceSpans struct {
		Resource   otlpResource     `json:"resource"`
		ScopeSpans []otlpScopeSpans `json:"scopeSpans"`
	}
	otlpResource struct {
		Attributes []otlpAttribute `json:"attributes"`
	}
	otlpScopeSpans struct {
		Scope otlpScope  `json:"scope"`
		Spans []otlpSpan `json:"spans"`
	}
	otlpScope struct {
		Name string `json:"name"`
	}
	otlpSpan struct {
		TraceID      string          `json:"traceId"`
		SpanID       string          `json:"spanId"`
		ParentSpanID string          `json:"parentSpanId,omitempty"`
		Name         string          `json:"name"`
		Kind         int             `json:"kind"`
		Start        string          `json:"startTimeUnixNano"`
		End          string          `json:"endTimeUnixNano"`
		Attributes   []otlpAttribute `json:"attributes,omitempty"`
		Status       otlpStatus      `json:"status"`
	}
	otlpStatus struct {
		Code    int    `json:"code,omitempty"`
		Message string `json:"message,omitempty"`
	}
	otlpAttribute struct {
		Key   string    `json:"key"`
		Value otlpValue `json:"value"`
	}
	otlpValue struct {
		String string `json:"stringValue"`
	}
)

func otlpAttributes(all []attribute.KeyValue) (list []otlpAttribute) {
	for _, a := range all {
		list = append(list, otlpAttribute{string(a.Key), otlpValue{a.Value.String()}})
	}
	return list
}

// otlpStatuses are OTLP's numbers of the SDK's codes: unset, error, ok.
var otlpStatuses = []int{0, 2, 1}

// ExportSpans implements trace.SpanExporter.
func (e *exporter) ExportSpans(ctx context.Context, spans []trace.ReadOnlySpan) error {
	if len(spans) == 0 {
		return nil
	}
	scope := otlpScopeSpans{Scope: otlpScope{spans[0].InstrumentationScope().Name}}
	for _, s := range spans {
		one := otlpSpan{TraceID: s.SpanContext().TraceID().String(), SpanID: s.SpanContext().SpanID().String(),
			Name: s.Name(), Kind: int(s.SpanKind()), Start: strconv.FormatInt(s.StartTime().UnixNano(), 10),
			End: strconv.FormatInt(s.EndTime().UnixNano(), 10), Attributes: otlpAttributes(s.Attributes()),
			Status: otlpStatus{otlpStatuses[s.Status().Code], s.Status().Description}}
		if s.Parent().HasSpanID() {
			one.ParentSpanID = s.Parent().SpanID().String()
		}
		scope.Spans = append(scope.Spans, one)
	}
	about := otlpResource{otlpAttributes(spans[0].Resource().Attributes())}
	data, err := json.Marshal(otlpRequest{[]otlpResourceSpans{{about, []otlpScopeSpans{scope}}}})
	if err != nil {
		return err
	}
	return e.send(ctx, data)
}

func (e *exporter) send(ctx context.Context, data []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, e.target, bytes.NewReader(data))
	if err != nil {
		return err
	}
	req.Header = e.header
	res, err := e.client.Do(req)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10))
	if err = errors.Join(err, res.Body.Close()); err == nil && res.StatusCode >= 300 {
		err = fmt.Errorf("the collector answers %s", res.Status)
	}
	return err
}

// Shutdown implements trace.SpanExporter.
func (e *exporter) Shutdown(context.Context) error { return nil }
