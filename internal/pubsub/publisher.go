package pubsub

import (
	"context"
	"fmt"

	"github.com/trunkline/trunkline/internal/dbsqlc"
)

// A Publisher sends to the nodes of an installation without being one: it
// receives nothing and has no goroutine. It is meant for a short process such
// as a command, and is used by one goroutine.
type Publisher struct {
	config Config
	sender sender
	node   string
	stream stream
	conn   *connection
}

// Dial connects a publisher. Of the configuration it uses DirectURL, Schema,
// Node, MaxMessage, DialTimeout and FlushTimeout.
func Dial(ctx context.Context, config Config) (*Publisher, error) {
	config, err := config.withDefaults()
	if err != nil {
		return nil, err
	}
	schema, err := dbsqlc.NewSchema(config.Schema)
	if err != nil {
		return nil, fmt.Errorf("pubsub: %w", err)
	}
	connector, err := newConnector(config.DirectURL, "trunkline "+config.Node, config.DialTimeout)
	if err != nil {
		return nil, fmt.Errorf("pubsub: %w", err)
	}
	conn, err := connector.connect(ctx, "publisher")
	if err != nil {
		return nil, fmt.Errorf("bus: %w", err)
	}
	return &Publisher{
		config: config,
		sender: sender{schema: schema, queries: dbsqlc.New()},
		node:   config.Node + "@" + newIncarnation(),
		stream: stream{channel: broadcastChannel(config.Schema)},
		conn:   conn,
	}, nil
}

// Publish sends a message to all nodes, and returns when Postgres has taken it.
// It fails with [ErrTooLarge] beyond Config.MaxMessage, and within
// Config.FlushTimeout if Postgres does not answer; whether the message was sent
// is unknown then.
func (p *Publisher) Publish(ctx context.Context, kind byte, topic string, body []byte) error {
	if err := checkSize(topic, body, p.config.MaxMessage); err != nil {
		return err
	}
	p.stream.accepted++
	batch := []outgoing{{stream: &p.stream, counter: p.stream.accepted, kind: kind, topic: topic, body: body}}
	ctx, cancel := context.WithTimeout(ctx, p.config.FlushTimeout)
	defer cancel()
	if err := p.sender.send(ctx, p.conn, pack(p.node, batch)); err != nil {
		return fmt.Errorf("bus: %w", err)
	}
	return nil
}

// Close closes the connection.
func (p *Publisher) Close() { p.conn.close() }
