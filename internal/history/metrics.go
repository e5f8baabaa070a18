package history

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the history's, each with its name and meaning.
type metrics struct {
	queries                                    *prometheus.CounterVec
	published                                  *prometheus.CounterVec
	batchSize, batchTime                       prometheus.Histogram
	delivered, skipped, fetches, resets, swept prometheus.Counter
	fromRing, fromDatabase                     prometheus.Counter
	overflows, malformed, unannounced          prometheus.Counter

	all []prometheus.Collector
}

func newMetrics() *metrics {
	m := &metrics{}
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: "trunkline_history_" + name, Help: help})
		m.all = append(m.all, c)
		return c
	}
	vector := func(name, label, help string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "trunkline_history_" + name, Help: help}, []string{label})
		m.all = append(m.all, c)
		return c
	}
	histogram := func(name, help string, buckets []float64) prometheus.Histogram {
		c := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "trunkline_history_" + name, Help: help, Buckets: buckets})
		m.all = append(m.all, c)
		return c
	}
	m.queries = vector("queries_total", "kind", "Statements sent to Postgres, by kind.")
	m.published = vector("published_messages_total", "result", "Messages given to this node to be stored, by result.")
	m.batchSize = histogram("batch_messages", "Messages stored by one statement.", prometheus.ExponentialBuckets(1, 2, 11))
	m.batchTime = histogram("batch_duration_seconds", "Time of one statement that stores a batch.", prometheus.ExponentialBuckets(0.0005, 2, 14))
	m.delivered = counter("delivered_messages_total", "Messages delivered to this node's followers.")
	m.skipped = counter("skipped_messages_total", "Messages that were deleted before they could be delivered.")
	m.fetches = counter("hole_fetches_total", "Holes in a topic's stream fetched from the database.")
	m.resets = counter("topic_resets_total", "Topics whose ids started anew, since the database was restored or promoted.")
	m.swept = counter("sweeps_total", "Comparisons of the followed topics with the database.")
	m.fromRing = counter("memory_pages_total", "Pages served from memory.")
	m.fromDatabase = counter("database_pages_total", "Pages served from the database.")
	m.overflows = counter("overflowed_notifications_total", "Notifications discarded because their topic's deliveries were too far behind.")
	m.malformed = counter("malformed_notifications_total", "Notifications that could not be read.")
	m.unannounced = counter("unannounced_notifications_total", "Notifications that the bus did not take; other nodes are told later.")
	return m
}

// observe adds the gauges that read the history's state.
func (m *metrics) observe(h *History) {
	gauge := func(name, help string, value func() float64) {
		m.all = append(m.all, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "trunkline_history_" + name, Help: help}, value))
	}
	gauge("queue_messages", "Messages waiting to be stored.", func() float64 { n, _ := h.batcher.queue.load(); return float64(n) })
	gauge("queue_bytes", "Bytes of messages waiting to be stored.", func() float64 { _, n := h.batcher.queue.load(); return float64(n) })
	gauge("feeds", "Topics kept in memory.", func() float64 { return float64(h.feeds.len()) })
	gauge("ring_bytes", "Estimated bytes of messages kept in memory.", func() float64 { return float64(h.feeds.ringBytes.Load()) })
}

func (m *metrics) register(r prometheus.Registerer) error {
	if r == nil {
		return nil
	}
	for _, c := range m.all {
		if err := r.Register(c); err != nil {
			return fmt.Errorf("history: registering metrics: %w", err)
		}
	}
	return nil
}

// query counts a statement.
func (m *metrics) query(kind string) { m.queries.WithLabelValues(kind).Inc() }

func (m *metrics) batch(messages int, took time.Duration) {
	m.batchSize.Observe(float64(messages))
	m.batchTime.Observe(took.Seconds())
}
