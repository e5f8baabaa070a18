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
	var object map[string]json.RawMessage
	if err := json.Unmarshal([]byte(c.Payload), &object); err != nil || object == nil {
		return fmt.Errorf("payload is not a JSON object: %s", c.Payload)
	}
	return c.publish(ctx, func(ctx context.Context, p *trunkline.Publisher) error {
		return p.Broadcast(ctx, c.Topic, c.Event, json.RawMessage(c.Payload))
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
