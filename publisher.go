package trunkline

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/trunkline/trunkline/internal/history"
	"github.com/trunkline/trunkline/internal/pubsub"
	"github.com/trunkline/trunkline/internal/realtime"
)

// Publisher broadcasts and publishes into a cluster from a process that serves no sockets: a
// command, a cron job, another service.
type Publisher struct {
	p      *pubsub.Publisher
	url    string
	schema string
}

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
	return &Publisher{p: p, url: cfg.DatabaseDirectURL, schema: cfg.Schema}, nil
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

// Publish stores a message on a durable topic, as the SQL function publish
// does: it is stored when Publish returns, and numbered and delivered as soon
// as a node runs. WithKey makes a repeat safe. It opens a connection for each
// call; a program with one of its own calls the SQL function.
func (p *Publisher) Publish(ctx context.Context, topic, event string, payload any) error {
	data, err := encode(payload)
	if err != nil {
		return err
	}
	conn, err := pgx.Connect(ctx, p.url)
	if err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	return history.Publish(ctx, conn, p.schema, topic, event, data.Data, nextKey(ctx))
}

// Close disconnects.
func (p *Publisher) Close() { p.p.Close() }
