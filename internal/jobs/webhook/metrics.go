package webhook

import "github.com/prometheus/client_golang/prometheus"

// What became of an attempt.
const (
	outcomeDelivered   = "delivered"
	outcomeFailed      = "failed" // and will be tried again
	outcomeInterrupted = "interrupted"
	outcomeDiscarded   = "discarded"
	outcomeGone        = "gone"
	outcomeRefused     = "refused"
	outcomeUnknown     = "unknown_endpoint"
	outcomeUnreadable  = "unreadable"
)

type metrics struct {
	deliveries *prometheus.CounterVec
	duration   prometheus.Histogram
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		deliveries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "trunkline_webhook_deliveries_total", Help: "Attempts of this node to deliver a webhook, by outcome.",
		}, []string{"outcome"}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "trunkline_webhook_delivery_seconds", Help: "Time of one attempt, until its answer or its failure.",
			Buckets: []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
		}),
	}
	if r == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.deliveries, m.duration} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}
