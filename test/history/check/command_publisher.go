package main

import (
	"context"
	"encoding/json"
	"os/exec"
	"time"

	"github.com/trunkline/trunkline/test/harness"
	"github.com/trunkline/trunkline/test/history/verify"
)

const (
	commandTimeout = 10 * time.Second
	commandMost    = 20_000 // characters: they are an argument
	// commandEvery is slow, as each message is a process.
	commandEvery = time.Second
)

// A commandPublisher publishes with the command line, which is the Go API
// Publisher in a process of its own, and repeats until it succeeds.
type commandPublisher struct {
	name    string
	program string
	url     string
	topics  []string
	record  *recorder
	counts  *counts
}

func (p *commandPublisher) run(ctx, stop context.Context) {
	for number := 0; harness.Pause(stop, between(commandEvery/2, commandEvery*3/2)); number++ {
		d := newDraft(p.name, number, pick(p.topics), eventChange, commandMost)
		p.record.add(byCommand, d.publish(p.name, p.publish(ctx, d), 0))
	}
}

func (p *commandPublisher) publish(ctx context.Context, d draft) verify.Outcome {
	for {
		if p.try(ctx, d) == nil {
			return verify.Committed
		}
		p.counts.repeats.Add(1)
		if !harness.Pause(ctx, between(retryLeast, retryMost)) {
			return verify.Unanswered
		}
	}
}

func (p *commandPublisher) try(ctx context.Context, d draft) error {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	payload, err := json.Marshal(object{"body": d.text})
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, p.program, "publish", "--key", d.key, d.topic, d.event, string(payload))
	cmd.Env = []string{"DATABASE_URL=" + p.url}
	return cmd.Run()
}
