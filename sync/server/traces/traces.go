// Package traces makes spans of OpenTelemetry of what a sync server does: one for each
// request, with the steps of a push below it. It needs the API alone; which spans are
// kept and where they go is the provider's matter.
//
//	srv, err := server.New(server.Options{Observer: traces.New(provider), …})
//	http.Handle("/v1/", traces.Continue(srv))
package traces

import (
	"context"
	"net/http"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/server"
)

// New returns an observer whose spans are a provider's.
func New(p trace.TracerProvider) server.Observer {
	return &observer{p.Tracer("heddle.dev/heddle/sync/server")}
}

// Continue has spans of requests be a part of the trace that their header traceparent
// names (https://www.w3.org/TR/trace-context/).
func Continue(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Traceparent") != "" {
			ctx := propagation.TraceContext{}.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
			r = r.WithContext(ctx)
		}
		h.ServeHTTP(w, r)
	})
}

type observer struct{ tracer trace.Tracer }

// Answered implements server.Observer. The span is made when all is known of it.
func (o *observer) Answered(ctx context.Context, a *server.Answered) {
	if a.Action == "" {
		return // nobody of ours asks for it
	}
	ctx, span := o.tracer.Start(ctx, a.Action, trace.WithTimestamp(a.Began), trace.WithSpanKind(trace.SpanKindServer),
		trace.WithAttributes(attribute.String("http.route", "/v1/spaces/{space}/"+a.Action),
			attribute.String("heddle.space", a.Space)))
	if !span.IsRecording() {
		return
	}
	if a.Code != "" {
		span.SetAttributes(attribute.String("error.type", a.Code))
	}
	switch a.Code {
	case errcode.Server, errcode.Internal, errcode.Damaged, errcode.Timeout, errcode.Busy:
		span.SetStatus(codes.Error, a.Code)
	}
	for i := range a.Steps {
		s := &a.Steps[i]
		_, step := o.tracer.Start(ctx, s.Name, trace.WithTimestamp(s.Began))
		step.End(trace.WithTimestamp(s.Began.Add(s.Took)))
	}
	span.End(trace.WithTimestamp(a.Began.Add(a.Took)))
}

// Streamed implements server.Observer: a stream has a span of its own already.
func (o *observer) Streamed(time.Duration) {}
