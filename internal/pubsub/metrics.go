package pubsub

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// Values of the label reason of trunkline_bus_dropped_messages_total.
const (
	dropQueueFull = "queue_full"      // the oldest, while Postgres was away
	dropExpired   = "expired"         // older than Config.MaxAge
	dropUnknown   = "unknown_outcome" // the connection failed during the send
	dropRefused   = "refused"         // Postgres answered with an error
	dropClosed    = "closed"          // still queued when Run ended
)

// metrics are the bus's, each with its name and meaning.
type metrics struct {
	published, received, lost, late, spilled prometheus.Counter
	dropped                                  *prometheus.CounterVec
	malformed, overflowed, panics            prometheus.Counter
	payloadsSent, bytesSent, bytesReceived   prometheus.Counter
	flushes                                  prometheus.Histogram
	reconnects                               *prometheus.CounterVec

	all []prometheus.Collector
}

func newMetrics() *metrics {
	m := &metrics{}
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: "trunkline_bus_" + name, Help: help})
		m.all = append(m.all, c)
		return c
	}
	vector := func(name, label, help string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "trunkline_bus_" + name, Help: help}, []string{label})
		m.all = append(m.all, c)
		return c
	}
	m.published = counter("published_messages_total", "Messages accepted for other nodes.")
	m.received = counter("received_messages_total", "Messages of other nodes given to a handler.")
	m.lost = counter("lost_messages_total", "Messages of other nodes that are known to be missing.")
	m.late = counter("late_messages_total", "Messages of other nodes that arrived after they were counted as lost, and were discarded.")
	m.spilled = counter("spilled_messages_total", "Messages sent through the spill table because they fit in no notification.")
	m.dropped = vector("dropped_messages_total", "reason", "Own messages not sent, or sent with an unknown outcome, by reason.")
	m.malformed = counter("malformed_payloads_total", "Notifications on the bus's channels that could not be read.")
	m.overflowed = counter("overflowed_payloads_total", "Notifications discarded because the inbox was full.")
	m.panics = counter("handler_panics_total", "Panics of message handlers.")
	m.payloadsSent = counter("sent_payloads_total", "Notifications sent.")
	m.bytesSent = counter("sent_bytes_total", "Bytes of notifications and spilled messages sent.")
	m.bytesReceived = counter("received_bytes_total", "Bytes of notifications and spilled messages received from other nodes.")
	m.flushes = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "trunkline_bus_flush_duration_seconds", Help: "Time of one statement that sends a batch; the count is the number of flushes.",
		Buckets: prometheus.ExponentialBuckets(0.0001, 2.5, 12),
	})
	m.all = append(m.all, m.flushes)
	m.reconnects = vector("reconnects_total", "connection", "Connections replaced after a failure, by connection: listener or notifier.")
	return m
}

// observe adds the gauges that read the bus's state.
func (m *metrics) observe(q *queue, in *inbox, h *health) {
	gauge := func(name, help string, value func() float64) {
		m.all = append(m.all, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "trunkline_bus_" + name, Help: help}, value))
	}
	gauge("queue_messages", "Messages waiting to be sent.", func() float64 { n, _ := q.load(); return float64(n) })
	gauge("queue_bytes", "Bytes of messages waiting to be sent.", func() float64 { _, n := q.load(); return float64(n) })
	gauge("inbox_bytes", "Bytes of notifications waiting to be handled.", func() float64 { return float64(in.load()) })
	gauge("self_check_age_seconds", "Time since an own heartbeat came back.", func() float64 { return h.age().Seconds() })
}

func (m *metrics) register(r prometheus.Registerer) error {
	if r == nil {
		return nil
	}
	for _, c := range m.all {
		if err := r.Register(c); err != nil {
			return fmt.Errorf("pubsub: registering metrics: %w", err)
		}
	}
	return nil
}

func (m *metrics) drop(reason string, messages int) {
	m.dropped.WithLabelValues(reason).Add(float64(messages))
}
