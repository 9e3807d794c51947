// Package metrics tells Prometheus what a sync server does. docs/OPERATING.md lists
// the metrics. No label holds what a client has chosen: no space, subject, device or
// code of an app's.
//
//	m := metrics.New()
//	registry.MustRegister(m)
//	srv, err := server.New(server.Options{Store: m.Store(store), Observer: m, …})
//	m.Watch(srv)
package metrics

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"heddle.dev/heddle/sync/server"
)

// seconds are the buckets of most histograms: from a push in memory to a store that
// does not answer.
var seconds = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}

// Metrics is a server.Observer and a prometheus.Collector.
type Metrics struct {
	server atomic.Pointer[server.Server]

	requests *prometheus.CounterVec
	took     *prometheus.HistogramVec
	steps    *prometheus.HistogramVec
	streamed prometheus.Histogram
	calls    *prometheus.CounterVec
	callTook *prometheus.HistogramVec
	batch    prometheus.Histogram
}

// New makes the metrics of one server.
func New() *Metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	histogram := func(name, help string, labels ...string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: seconds}, labels)
	}
	return &Metrics{
		requests: counter("heddle_requests_total", "Requests that are over, by what they asked for and the code of "+
			"their error.", "action", "code"),
		took: histogram("heddle_request_duration_seconds", "How long requests took, without those that wait for "+
			"something to come: pull and pair.", "action"),
		steps: histogram("heddle_push_step_duration_seconds", "What pushes spend their time on.", "step"),
		streamed: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "heddle_commit_to_stream_seconds", Buckets: seconds,
			Help: "From a commit, or the news of one by another server, to each stream that it was sent to."}),
		calls: counter("heddle_store_calls_total", "Calls of the store, by their result.", "call", "result"),
		callTook: histogram("heddle_store_call_duration_seconds", "How long calls of the store took, whatever came of "+
			"them.", "call"),
		batch: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "heddle_commit_transactions",
			Buckets: []float64{0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 1024},
			Help:    "Transactions decided by a commit."}),
	}
}

// Watch has the metrics include a server's own numbers.
func (m *Metrics) Watch(s *server.Server) { m.server.Store(s) }

// Answered implements server.Observer.
func (m *Metrics) Answered(_ context.Context, a *server.Answered) {
	action := a.Action
	if action == "" {
		action = "other"
	}
	m.requests.WithLabelValues(action, codeLabel(a.Code)).Inc()
	if !a.Waits {
		m.took.WithLabelValues(action).Observe(a.Took.Seconds())
	}
	for i := range a.Steps {
		m.steps.WithLabelValues(a.Steps[i].Name).Observe(a.Steps[i].Took.Seconds())
	}
}

// Streamed implements server.Observer.
func (m *Metrics) Streamed(after time.Duration) { m.streamed.Observe(after.Seconds()) }

// codes are those that a server answers with. Any other comes from a program's own
// verifier of tokens.
var codes = func() map[string]bool {
	all := map[string]bool{}
	for _, code := range server.Codes() {
		all[code] = true
	}
	return all
}()

func codeLabel(code string) string {
	switch {
	case code == "":
		return "ok"
	case codes[code]:
		return code
	}
	return "other"
}

// number is one of server.Stats.
type number struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	of   func(*server.Stats) float64
}

var numbers = func() []number {
	gauge, counter := prometheus.GaugeValue, prometheus.CounterValue
	transactions := func(outcome, help string) *prometheus.Desc {
		return prometheus.NewDesc("heddle_transactions_total", help, nil, prometheus.Labels{"outcome": outcome})
	}
	named := func(name, help string) *prometheus.Desc { return prometheus.NewDesc(name, help, nil, nil) }
	const decided = "Transactions decided by this server, by their outcome."
	return []number{
		{named("heddle_streams", "Streams that are open."), gauge,
			func(s *server.Stats) float64 { return float64(s.Streams) }},
		{named("heddle_spaces", "Spaces that somebody uses, or that are in memory."), gauge,
			func(s *server.Stats) float64 { return float64(s.Spaces) }},
		{named("heddle_spaces_warm", "Spaces of which memory has what deciding needs."), gauge,
			func(s *server.Stats) float64 { return float64(s.Warm) }},
		{named("heddle_row_cache_bytes", "Rows of spaces that are kept in memory."), gauge,
			func(s *server.Stats) float64 { return float64(s.RowBytes) }},
		{named("heddle_draining", "1 while the server ends its streams, and takes no new ones."), gauge,
			func(s *server.Stats) float64 {
				if s.Draining {
					return 1
				}
				return 0
			}},
		{transactions("ok", decided), counter, func(s *server.Stats) float64 { return float64(s.OKTotal) }},
		{transactions("void", decided), counter, func(s *server.Stats) float64 { return float64(s.VoidTotal) }},
		{named("heddle_stream_bytes_total", "Bytes sent to streams, before compression."), counter,
			func(s *server.Stats) float64 { return float64(s.SentTotal) }},
		{named("heddle_snapshot_bytes_total", "Of the bytes sent to streams, those of snapshots."), counter,
			func(s *server.Stats) float64 { return float64(s.SnapshotTotal) }},
		{named("heddle_hints_total", "Hints of the store that a space has moved."), counter,
			func(s *server.Stats) float64 { return float64(s.HintsTotal) }},
		{named("heddle_hints_news_total", "Of the hints, those whose commit went to streams without reading the store."),
			counter, func(s *server.Stats) float64 { return float64(s.NewsTotal) }},
		{named("heddle_hints_lost_total", "Followed spaces that were found to have moved without a hint."), counter,
			func(s *server.Stats) float64 { return float64(s.UnhintedTotal) }},
	}
}()

// all are the metrics that are collectors themselves.
func (m *Metrics) all() []prometheus.Collector {
	return []prometheus.Collector{m.requests, m.took, m.steps, m.streamed, m.calls, m.callTook, m.batch}
}

// Describe implements prometheus.Collector.
func (m *Metrics) Describe(to chan<- *prometheus.Desc) {
	for _, c := range m.all() {
		c.Describe(to)
	}
	for i := range numbers {
		to <- numbers[i].desc
	}
}

// Collect implements prometheus.Collector.
func (m *Metrics) Collect(to chan<- prometheus.Metric) {
	for _, c := range m.all() {
		c.Collect(to)
	}
	s := m.server.Load()
	if s == nil {
		return
	}
	stats := s.Stats()
	for i := range numbers {
		to <- prometheus.MustNewConstMetric(numbers[i].desc, numbers[i].kind, numbers[i].of(&stats))
	}
}
