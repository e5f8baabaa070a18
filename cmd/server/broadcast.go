package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/trunkline/trunkline"
)

type broadcastCommand struct {
	databaseSettings
	Topic   string `arg:"" help:"Topic, such as room:lobby."`
	Event   string `arg:"" help:"Event, such as announcement."`
	Payload string `arg:"" default:"{}" help:"Payload, a JSON object."`
}

// Run broadcasts from outside any channel.
func (c *broadcastCommand) Run(ctx context.Context) error {
	if err := checkObject(c.Payload); err != nil {
		return err
	}
	return c.publish(ctx, func(ctx context.Context, p *trunkline.Publisher) error {
		return p.Broadcast(ctx, c.Topic, c.Event, json.RawMessage(c.Payload))
	})
}

type publishCommand struct {
	databaseSettings
	Topic   string `arg:"" help:"Durable topic, such as room:lobby."`
	Event   string `arg:"" help:"Event, such as new_msg."`
	Payload string `arg:"" help:"Payload, a JSON object without the topic's id key."`
	Key     string `help:"Idempotency key: a repeat within 24 hours publishes nothing."`
}

// Run stores a message.
func (c *publishCommand) Run(ctx context.Context) error {
	if err := checkObject(c.Payload); err != nil {
		return err
	}
	return c.publish(ctx, func(ctx context.Context, p *trunkline.Publisher) error {
		if c.Key != "" {
			ctx = trunkline.WithKey(ctx, c.Key)
		}
		return p.Publish(ctx, c.Topic, c.Event, json.RawMessage(c.Payload))
	})
}

type disconnectCommand struct {
	databaseSettings
	ID string `arg:"" name:"socket-id" help:"Socket id, such as user_socket:42."`
}

// Run disconnects on all nodes.
func (c *disconnectCommand) Run(ctx context.Context) error {
	return c.publish(ctx, func(ctx context.Context, p *trunkline.Publisher) error { return p.Disconnect(ctx, c.ID) })
}

func checkObject(payload string) error {
	var object map[string]json.RawMessage
	if err := json.Unmarshal([]byte(payload), &object); err != nil || object == nil {
		return fmt.Errorf("payload is not a JSON object: %s", payload)
	}
	return nil
}

// publish runs f with a publisher and waits until Postgres has it all.
func (d databaseSettings) publish(ctx context.Context, f func(context.Context, *trunkline.Publisher) error) error {
	url, err := d.directURL()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	p, err := trunkline.Dial(ctx, trunkline.Config{DatabaseDirectURL: url, Schema: d.Schema})
	if err != nil {
		return err
	}
	defer p.Close()
	return f(ctx, p)
}
