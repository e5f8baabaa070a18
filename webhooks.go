package trunkline

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/trunkline/trunkline/internal/jobs"
	"github.com/trunkline/trunkline/internal/jobs/webhook"
)

// WebhookEndpoint is an HTTP endpoint that events are posted to. URL and Secret
// stay in the configuration: the database knows an endpoint by its name alone.
type WebhookEndpoint struct {
	// URL is https, or http.
	URL string
	// Secret signs: "whsec_" and 24 to 64 bytes in base64. Of several, separated
	// by spaces, each signs, so that the receiver can change from one to another.
	Secret string
	// Timeout of an attempt. Default 10 s, at most a minute.
	Timeout time.Duration
	// AllowPrivate lets URL lead to addresses that are not on the public internet,
	// such as 127.0.0.1, 10.1.2.3 or 169.254.169.254. Otherwise an event that would
	// go there is not sent, and its job cancelled.
	AllowPrivate bool
}

// Errors of Webhook.
var (
	// ErrNoWebhooks: JobsOptions.Webhooks is empty.
	ErrNoWebhooks = jobs.ErrNoWebhooks
	// ErrUnknownEndpoint: JobsOptions.Webhooks has no such name.
	ErrUnknownEndpoint = webhook.ErrUnknownEndpoint
)

// Webhook queues an event for an endpoint of JobsOptions.Webhooks, and returns
// the id of its job. It is posted as Standard Webhooks defines it, signed, with
// the body {"type", "timestamp", "data"}: at least once, in no certain order,
// and under one webhook-id however often. What is not answered with 2xx is tried
// again for three days, 410 excepted, and is then a discarded job.
//
// eventType has 1 to 255 bytes, payload is at most 1 MiB of JSON. It goes
// through a jsonb: the order of keys and white space may change. The SQL
// function webhook does the same. Docs: docs/operations.md.
func (s *Server) Webhook(ctx context.Context, endpoint, eventType string, payload any) (jobID int64, err error) {
	return s.webhook(ctx, nil, endpoint, eventType, payload)
}

// WebhookTx is Webhook as a part of the application's transaction: the event is
// sent when tx commits.
func (s *Server) WebhookTx(ctx context.Context, tx pgx.Tx, endpoint, eventType string, payload any) (jobID int64, err error) {
	return s.webhook(ctx, tx, endpoint, eventType, payload)
}

func (s *Server) webhook(ctx context.Context, tx pgx.Tx, endpoint, eventType string, payload any) (int64, error) {
	j := s.jobs.Load()
	if j == nil {
		return 0, ErrNoJobs
	}
	p, err := encode(payload)
	switch {
	case err != nil:
		return 0, err
	case p.Binary:
		return 0, errors.New("the payload of a webhook: want JSON")
	}
	return j.Webhook(ctx, tx, endpoint, eventType, p.Data)
}

// newWebhooks is nil where no endpoint is configured.
func (s *Server) newWebhooks() (*webhook.Worker, error) {
	if s.jobsOptions == nil || len(s.jobsOptions.Webhooks) == 0 {
		return nil, nil
	}
	endpoints := map[string]webhook.Endpoint{}
	for name, e := range s.jobsOptions.Webhooks {
		endpoints[name] = webhook.Endpoint(e)
	}
	w, err := webhook.New(webhook.Config{
		Endpoints: endpoints, Schedule: s.jobsOptions.WebhookRetries, Logger: s.cfg.Logger, Registerer: s.registerer,
	})
	if err != nil {
		return nil, fmt.Errorf("configuration: JobsOptions.Webhooks (WEBHOOKS): %w", err)
	}
	return w, nil
}
