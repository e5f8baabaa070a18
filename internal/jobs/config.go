package jobs

import (
	"context"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/riverqueue/river"

	"github.com/trunkline/trunkline/internal/jobs/webhook"
)

// Queues of every installation.
const (
	QueueDefault     = river.QueueDefault
	QueueHeavy       = "heavy"
	QueueWebhooks    = webhook.Queue
	QueueMaintenance = "maintenance"
)

// defaultQueues says how many jobs of a queue a node runs at once.
var defaultQueues = map[string]int{QueueDefault: 50, QueueHeavy: 4, QueueWebhooks: 20, QueueMaintenance: 2}

const (
	// DefaultTimeout of a job whose worker sets none.
	DefaultTimeout = 30 * time.Second
	// DefaultRetention of answers.
	DefaultRetention = 24 * time.Hour

	// DefaultRescueAfter is when a job whose node died is tried again, at the
	// earliest; twice Timeout if that is more.
	DefaultRescueAfter = 2 * time.Minute

	// A producer asks for jobs at most each fetchCooldown, so a queue works off
	// at most its workers each fetchCooldown; fetchPoll finds what a muted
	// notification did not tell: one is sent for each queue, inserting client and
	// cooldown, in the transaction that inserts.
	fetchCooldown = 10 * time.Millisecond
	fetchPoll     = 250 * time.Millisecond
)

// Bus is the part of the cluster's bus that answers travel on.
type Bus interface {
	ID() string
	// Publish sends to all other nodes.
	Publish(kind byte, topic string, body []byte) error
	PublishTo(node string, kind byte, topic string, body []byte) error
}

// A Task is maintenance of the whole installation: one node runs it at a time.
// It has a minute unless Timeout says otherwise.
type Task struct {
	Name    string
	Every   time.Duration
	Timeout time.Duration
	Run     func(ctx context.Context) error
}

// Config of a node's Jobs.
type Config struct {
	// Pool is where offloading transactions run.
	Pool *pgxpool.Pool
	// RiverPool is River's own, so that jobs take no connection from clients. It
	// reaches Postgres without a pooler: River listens.
	RiverPool *pgxpool.Pool
	Schema    string
	Bus       Bus

	// Workers of the application; may be nil. Workers of this package are added.
	Workers *river.Workers
	// Webhooks delivers events to HTTP endpoints; nil where none is configured:
	// this node then leaves their jobs to others.
	Webhooks *webhook.Worker
	// Queues adds queues, or changes how many jobs of one run at once on this
	// node; 0 runs none of them here.
	Queues  map[string]int
	Timeout time.Duration
	// RescueAfter is at least Timeout: what still runs is not worked twice.
	RescueAfter time.Duration
	Retention   time.Duration // of answers
	Tasks       []Task
	// Connections is what the node needs in all, for the check at the start.
	Connections int

	// StartTimeout bounds the wait for Postgres at the start, StopTimeout the
	// wait for running jobs at the end; those still running are then cancelled,
	// and tried again elsewhere.
	StartTimeout time.Duration
	StopTimeout  time.Duration

	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

func (c Config) withDefaults() Config {
	if c.Timeout == 0 {
		c.Timeout = DefaultTimeout
	}
	if c.RescueAfter == 0 {
		c.RescueAfter = max(DefaultRescueAfter, 2*c.Timeout)
	}
	if c.Retention == 0 {
		c.Retention = DefaultRetention
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c
}
