package realtime

import "github.com/prometheus/client_golang/prometheus"

// metrics of the engine; docs/operations.md lists them.
type metrics struct {
	channels    prometheus.Gauge
	framesIn    prometheus.Counter
	broadcasts  prometheus.Counter
	deliveries  prometheus.Counter
	crashes     prometheus.Counter
	mailboxFull prometheus.Counter
	refused     prometheus.Counter
	catchUps    prometheus.Counter
	ephemeral   prometheus.Counter
}

func newMetrics(r prometheus.Registerer, e *Engine) *metrics {
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	}
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	m := &metrics{
		channels:    gauge("trunkline_channels", "Channels that are joined, joining or ending."),
		framesIn:    counter("trunkline_frames_received_total", "Client frames handled, heartbeats included."),
		broadcasts:  counter("trunkline_broadcasts_total", "Broadcasts that began on this node."),
		deliveries:  counter("trunkline_broadcast_deliveries_total", "Broadcasts handed to local subscribers, one each."),
		crashes:     counter("trunkline_channel_crashes_total", "Joins and channels that ended with an error or a panic."),
		mailboxFull: counter("trunkline_mailbox_full_total", "Pushes refused and channels ended because too much was waiting."),
		refused:     counter("trunkline_connections_refused_total", "Connections refused by origin, version, subprotocol or the application."),
		catchUps:    counter("trunkline_catch_ups_total", "Times a subscriber of a durable topic had to read the history: behind at its join, or too slow for the fan-out."),
		ephemeral:   counter("trunkline_ephemeral_dropped_total", "Ephemeral events not sent to a client that is behind on a durable topic."),
	}
	sockets := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "trunkline_sockets", Help: "Connected sockets: WebSockets and long-polling sessions.",
	}, func() float64 {
		e.mu.Lock()
		defer e.mu.Unlock()
		return float64(len(e.sockets))
	})
	r.MustRegister(m.channels, m.framesIn, m.broadcasts, m.deliveries, m.crashes, m.mailboxFull, m.refused, m.catchUps, m.ephemeral, sockets)
	return m
}
