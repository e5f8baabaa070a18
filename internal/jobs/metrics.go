package jobs

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	watchEvery   = 15 * time.Second
	watchTimeout = 5 * time.Second
)

type metrics struct {
	depth   *prometheus.GaugeVec
	answers *prometheus.CounterVec
	latency prometheus.Histogram
}

func newMetrics(r prometheus.Registerer, waiting func() int) (*metrics, error) {
	m := &metrics{
		depth: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "trunkline_jobs", Help: "Jobs of the installation that are not done, and discarded ones, by queue and state; read each 15 s.",
		}, []string{"queue", "state"}),
		answers: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "trunkline_job_answers_total", Help: "Pushes that jobs of this node answered, by status.",
		}, []string{"status"}),
		latency: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "trunkline_job_reply_seconds", Help: "Time from a push to the answer of its job, where the client waits on this node.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300},
		}),
	}
	if r == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{
		m.depth, m.answers, m.latency,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "trunkline_job_replies_waiting", Help: "Requests whose jobs clients of this node wait for.",
		}, func() float64 { return float64(waiting()) }),
	} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// watchQueues reads how full the queues are until ctx ends.
func (j *Jobs) watchQueues(ctx context.Context) {
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	for {
		if err := j.readQueues(ctx); err != nil && ctx.Err() == nil {
			j.config.Logger.Warn("the queues' lengths were not read", "error", err)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

func (j *Jobs) readQueues(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, watchTimeout)
	defer cancel()
	rows, err := j.queries.QueueDepths(ctx, j.schema.In(j.config.Pool))
	if err != nil {
		return err
	}
	j.metrics.depth.Reset()
	for _, row := range rows {
		j.metrics.depth.WithLabelValues(row.Queue, row.State).Set(float64(row.Jobs))
	}
	return nil
}
