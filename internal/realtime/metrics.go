package realtime

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/trunkline/trunkline/internal/sock"
)

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
	for _, c := range []struct {
		name, help string
		value      func(sock.Stats) uint64
	}{
		{"trunkline_websocket_accepted_total", "WebSocket connections that were upgraded.", func(s sock.Stats) uint64 { return s.Accepted }},
		{"trunkline_websocket_received_bytes_total", "Bytes from WebSocket clients, frame headers included.", func(s sock.Stats) uint64 { return s.BytesIn }},
		{"trunkline_websocket_sent_bytes_total", "Bytes to WebSocket clients, frame headers included.", func(s sock.Stats) uint64 { return s.BytesOut }},
		{"trunkline_websocket_sent_frames_total", "Frames taken for WebSocket clients.", func(s sock.Stats) uint64 { return s.MessagesOut }},
		{"trunkline_websocket_write_calls_total", "Calls that wrote to the network: fewer than frames when clients were busy.", func(s sock.Stats) uint64 { return s.WriteCalls }},
		{"trunkline_websocket_idle_closed_total", "Connections closed because the client was silent for the socket's timeout.", func(s sock.Stats) uint64 { return s.IdleClosed }},
		{"trunkline_websocket_queue_full_total", "Connections reset because more than QueueBytes waited for the client.", func(s sock.Stats) uint64 { return s.SlowBytes }},
		{"trunkline_websocket_stalled_total", "Connections reset because the client took nothing for StallTimeout.", func(s sock.Stats) uint64 { return s.SlowStall }},
	} {
		r.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: c.name, Help: c.help},
			func() float64 { return float64(c.value(e.pool.Stats())) }))
	}
	r.MustRegister(m.channels, m.framesIn, m.broadcasts, m.deliveries, m.crashes, m.mailboxFull, m.refused, m.catchUps, m.ephemeral, sockets)
	return m
}
