package sqlview

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the view's, each with its name and meaning.
type metrics struct {
	statements       *prometheus.CounterVec
	written, deleted prometheus.Counter

	all []prometheus.Collector
}

func newMetrics(m *members) *metrics {
	opts := func(name, help string) prometheus.Opts {
		return prometheus.Opts{Name: "trunkline_presence_view_" + name, Help: help}
	}
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts(opts(name, help)))
	}
	made := &metrics{
		statements: prometheus.NewCounterVec(prometheus.CounterOpts(
			opts("statements_total", "Statements sent to Postgres for the view presence, by kind.")), []string{"kind"}),
		written: counter("written_rows_total", "Rows of the view presence inserted or updated."),
		deleted: counter("deleted_rows_total", "Own rows of the view presence deleted, but for those of a life that was over."),
	}
	waiting := prometheus.NewGaugeFunc(prometheus.GaugeOpts(
		opts("waiting_rows", "Changes that the view presence does not show yet.")), func() float64 { return float64(m.waiting()) })
	made.all = []prometheus.Collector{made.statements, made.written, made.deleted, waiting}
	return made
}

func (m *metrics) register(r prometheus.Registerer) error {
	if r == nil {
		return nil
	}
	for _, c := range m.all {
		if err := r.Register(c); err != nil {
			return fmt.Errorf("presence view: registering metrics: %w", err)
		}
	}
	return nil
}
