package trunkline

import (
	"net/http"
	"strings"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// HealthHandler serves /healthz (the process is alive: always 200), /readyz
// (200 when Ready, else 503 with the reason) and /metrics (Prometheus). Mount
// it where the public does not reach, or accept that it does.
func (s *Server) HealthHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("ok\n"))
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if err := s.Ready(r.Context()); err != nil {
			s.cfg.Logger.Warn("not ready", "error", err)
			http.Error(w, publicReason(err), http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte("ready\n"))
	})
	if s.gatherer != nil {
		mux.Handle("GET /metrics", promhttp.HandlerFor(s.gatherer, promhttp.HandlerOpts{}))
	}
	return mux
}

// publicReason says which part is not ready; the error itself, which may name
// hosts and users, goes to the log.
func publicReason(err error) string {
	part, _, detailed := strings.Cut(err.Error(), ":")
	if !detailed {
		return part
	}
	return part + " is not ready"
}
