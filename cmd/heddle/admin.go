package main

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"heddle.dev/heddle/sync/server"
	"heddle.dev/heddle/sync/server/metrics"
)

// admin is what answers at --admin. It says more than devices may know, and is
// there while the server drains.
type admin struct {
	*http.Server
	listener net.Listener
}

func newAdmin(
	addr string, srv *server.Server, m *metrics.Metrics, devices *limited, cert *certificate, b *bounds, log *slog.Logger,
) (*admin, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", metricsHandler(m, devices, cert, log))
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) {
		srv.Stats() // nobody holds the server's lock
		io.WriteString(w, "ok\n")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), b.ready)
		defer cancel()
		if err := srv.Ready(ctx); err != nil {
			http.Error(w, "not ready: "+err.Error(), http.StatusServiceUnavailable)
			return
		}
		io.WriteString(w, "ok\n")
	})
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return &admin{b.server(mux, log), l}, nil
}

// metricsHandler answers with the metrics of the server, its listener and the process.
func metricsHandler(m *metrics.Metrics, devices *limited, cert *certificate, log *slog.Logger) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(m, collectors.NewGoCollector(), collectors.NewBuildInfoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "heddle_connections", Help: "Connections that are open."},
			devices.opened),
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "heddle_connections_refused_total",
			Help: "Connections beyond --max-connections, which were closed."},
			func() float64 { return float64(devices.refused.Load()) }))
	if cert != nil {
		registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "heddle_certificate_expiry_timestamp_seconds", Help: "When the certificate expires, in Unix time."},
			func() float64 { return float64(cert.expires().Unix()) }))
	}
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelError)})
}
