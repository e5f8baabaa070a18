package trunkline

import (
	"context"
	"fmt"

	"github.com/trunkline/trunkline/internal/pubsub"
	"github.com/trunkline/trunkline/internal/realtime"
)

// Publisher broadcasts into a cluster from a process that serves no sockets: a
// command, a cron job, another service.
type Publisher struct{ p *pubsub.Publisher }

// Dial connects a Publisher to Postgres. Of the configuration only the
// database's URLs, Schema, Node and Logger count.
func Dial(ctx context.Context, cfg Config) (*Publisher, error) {
	cfg = cfg.withDefaults()
	p, err := pubsub.Dial(ctx, pubsub.Config{
		DirectURL: cfg.DatabaseDirectURL, Schema: cfg.Schema, Node: cfg.Node, Logger: cfg.Logger,
	})
	if err != nil {
		return nil, fmt.Errorf("dial: %w", err)
	}
	return &Publisher{p}, nil
}

// Broadcast is Server.Broadcast; Postgres has the message when it returns.
func (p *Publisher) Broadcast(ctx context.Context, topic, event string, payload any) error {
	data, err := encode(payload)
	if err != nil {
		return err
	}
	return p.p.Publish(ctx, realtime.KindBroadcast, topic, realtime.BroadcastBody(event, data))
}

// Disconnect is Server.Disconnect.
func (p *Publisher) Disconnect(ctx context.Context, id string) error {
	return p.Broadcast(ctx, id, "disconnect", nil)
}

// Close disconnects.
func (p *Publisher) Close() { p.p.Close() }
