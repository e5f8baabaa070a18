package realtime

import (
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/trunkline/trunkline/internal/sock"
	"github.com/trunkline/trunkline/internal/token"
)

// Config of an Engine. Zero values take the defaults.
type Config struct {
	// MailboxSize is how many messages may wait for one channel. Default 1000.
	// A client's push beyond it is answered with an error; a broadcast or an
	// info message beyond it crashes the channel.
	MailboxSize int
	// InboundBytes bounds the pushes of one socket that wait in its mailboxes.
	// Default 4 MiB. A push beyond it is answered with an error.
	InboundBytes int
	// ShutdownTimeout is how long a channel that ends may take. Default 5 s, as
	// in Phoenix.
	ShutdownTimeout time.Duration
	// DrainBatch and DrainInterval: a stopping node closes so many sockets each
	// interval. Defaults 10,000 and 2 s, as in Phoenix.
	DrainBatch    int
	DrainInterval time.Duration
	// DrainTimeout bounds the end of Run. Default 30 s, as in Phoenix.
	DrainTimeout time.Duration
	// Host is the host that browsers reach this server by. "" compares an
	// Origin with the request's own Host header.
	Host string
	// Sock configures the WebSocket connections.
	Sock sock.Config

	History    History       // nil without durable topics
	Bus        Bus           // nil for a node without a cluster
	Signer     *token.Signer // of long-polling session tokens, with the cluster's secret; nil: a random one
	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

func (c Config) withDefaults() Config {
	set := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	set(&c.MailboxSize, 1000)
	set(&c.InboundBytes, 4<<20)
	set(&c.DrainBatch, 10_000)
	set(&c.Sock.QueueBytes, 1<<20)
	if c.ShutdownTimeout == 0 {
		c.ShutdownTimeout = 5 * time.Second
	}
	if c.DrainTimeout == 0 {
		c.DrainTimeout = 30 * time.Second
	}
	if c.DrainInterval == 0 {
		c.DrainInterval = 2 * time.Second
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Registerer == nil {
		c.Registerer = prometheus.NewRegistry()
	}
	return c
}
