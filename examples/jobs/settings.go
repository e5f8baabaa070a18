package main

import (
	"time"

	"github.com/trunkline/trunkline"
)

// settings come from flags or the environment.
type settings struct {
	DatabaseURL   string        `env:"DATABASE_URL" required:"" help:"The application's Postgres."`
	SecretKeyBase string        `env:"SECRET_KEY_BASE" default:"for development only, not for production" help:"Signs tokens."`
	Listen        string        `env:"LISTEN" default:"127.0.0.1:4500" help:"Address to serve plain HTTP on."`
	NodeName      string        `env:"NODE_NAME" help:"This node's name."`
	PoolSize      int           `env:"DATABASE_POOL_SIZE" default:"8" help:"Pooled connections of this node."`
	QueueDefault  int           `env:"QUEUE_DEFAULT" default:"50" help:"How many jobs this node runs at once; 0 leaves them to others."`
	JobTimeout    time.Duration `env:"JOB_TIMEOUT" default:"30s" help:"How long a job may take."`
	RescueAfter   time.Duration `env:"RESCUE_AFTER" default:"2m" help:"When the job of a node that died is tried again."`
	Grace         time.Duration `env:"GRACE" default:"2s" help:"Who is back in the lobby within this time has not left."`

	Webhooks            map[string]string `env:"WEBHOOKS" help:"Endpoints, as name=url;name=url."`
	WebhookSecret       string            `env:"WEBHOOK_SECRET" help:"Signs the webhooks: whsec_ and base64."`
	WebhookTimeout      time.Duration     `env:"WEBHOOK_TIMEOUT" default:"10s" help:"How long an attempt may take."`
	WebhookRetries      []time.Duration   `env:"WEBHOOK_RETRIES" help:"The wait after each attempt."`
	WebhookAllowPrivate []string          `env:"WEBHOOK_ALLOW_PRIVATE" help:"Endpoints that may be in a private network."`
}

func (s settings) jobs() trunkline.JobsOptions {
	options := trunkline.JobsOptions{
		Queues:         map[string]int{trunkline.QueueDefault: s.QueueDefault},
		Timeout:        s.JobTimeout,
		RescueAfter:    s.RescueAfter,
		WebhookRetries: s.WebhookRetries,
		Webhooks:       map[string]trunkline.WebhookEndpoint{},
	}
	for name, url := range s.Webhooks {
		options.Webhooks[name] = trunkline.WebhookEndpoint{URL: url, Secret: s.WebhookSecret, Timeout: s.WebhookTimeout}
	}
	for _, name := range s.WebhookAllowPrivate {
		endpoint := options.Webhooks[name]
		endpoint.AllowPrivate = true
		options.Webhooks[name] = endpoint
	}
	return options
}
