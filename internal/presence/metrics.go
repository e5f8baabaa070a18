package presence

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// Values of the label reason of trunkline_presence_ignored_messages_total.
const (
	ignoredMalformed = "malformed"
	ignoredShards    = "shards"   // the sender has another number of shards
	ignoredName      = "name"     // the sender has this node's name
	ignoredDeparted  = "departed" // the sender was replaced or took leave
	ignoredOverflow  = "overflow" // too many wait
)

// metrics are the tracker's, each with its name and meaning.
type metrics struct {
	deltas, heartbeats, sent, sendFailures prometheus.Counter
	transfersAsked, transfersSent          prometheus.Counter
	ignored                                *prometheus.CounterVec
	diffs, changes, callbackFailures       prometheus.Counter

	all []prometheus.Collector
}

func newMetrics() *metrics {
	m := &metrics{}
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: "trunkline_presence_" + name, Help: help})
		m.all = append(m.all, c)
		return c
	}
	m.deltas = counter("sent_deltas_total", "Broadcasts of own changes to the other nodes.")
	m.heartbeats = counter("sent_heartbeats_total", "Broadcasts of the clock alone.")
	m.sent = counter("sent_bytes_total", "Bytes of messages to other nodes.")
	m.sendFailures = counter("send_failures_total", "Messages to other nodes that the bus did not take.")
	m.transfersAsked = counter("transfers_requested_total", "Times another node was asked for what this one misses.")
	m.transfersSent = counter("transfers_sent_total", "Times another node was sent what it missed.")
	m.diffs = counter("diffs_total", "Presence diffs given to this node's subscribers.")
	m.changes = counter("diff_changes_total", "Joins and leaves in these diffs.")
	m.callbackFailures = counter("callback_failures_total", "Errors and panics of Fetch and HandleMetas.")
	m.ignored = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "trunkline_presence_ignored_messages_total", Help: "Messages of other nodes that were ignored, by reason.",
	}, []string{"reason"})
	m.all = append(m.all, m.ignored)
	return m
}

// observe adds the gauges that read the tracker's state.
func (m *metrics) observe(t *Tracker) {
	gauge := func(name, help string, labels prometheus.Labels, value func() int) {
		m.all = append(m.all, prometheus.NewGaugeFunc(
			prometheus.GaugeOpts{Name: "trunkline_presence_" + name, Help: help, ConstLabels: labels},
			func() float64 { return float64(value()) }))
	}
	gauge("entries", "Presences known, of all nodes.", nil, func() int {
		n := 0
		for _, s := range t.shards {
			s.mu.Lock()
			n += s.state.Len()
			s.mu.Unlock()
		}
		return n
	})
	for _, status := range []Status{Up, Down} {
		gauge("replicas", "Other nodes, by status.", prometheus.Labels{"status": status.String()}, func() int {
			t.mu.Lock()
			defer t.mu.Unlock()
			return t.replicas.count(status)
		})
	}
}

func (rs *Replicas) count(status Status) int {
	n := 0
	for _, h := range rs.byName {
		if h.status == status {
			n++
		}
	}
	return n
}

func (m *metrics) register(r prometheus.Registerer) error {
	if r == nil {
		return nil
	}
	for _, c := range m.all {
		if err := r.Register(c); err != nil {
			return fmt.Errorf("presence: registering metrics: %w", err)
		}
	}
	return nil
}
