package history

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
)

// KindHistory is the kind of the bus messages of this package.
const KindHistory byte = 'h'

// A Bus carries messages to all other nodes, at most once. Publish must not
// block. Alone reports that no other node is known; it may be late by a moment.
type Bus interface {
	Publish(kind byte, topic string, body []byte) error
	Alone() bool
}

// Config says what is durable and where it is stored. Pool, DirectURL and
// Patterns are required, and it is immutable once given to [New].
type Config struct {
	// Pool leads to the database; through a transaction pooler, if need be. Up
	// to four of its connections are used at the same time, beside those of
	// Seen and Unread.
	Pool *pgxpool.Pool

	// DirectURL is the connection string of Postgres itself, for the relay of
	// what SQL transactions publish. It must not lead through a transaction
	// pooler.
	DirectURL string

	// Schema holds the migrated objects. Default trunkline.
	Schema string

	// Bus tells the other nodes what was stored. Default: there are none.
	Bus Bus

	// Patterns say which topics are durable; at most 1,000.
	Patterns []Pattern

	// Prepare makes Message.Shared, once for each message that comes into
	// memory. It must not block. Default: nothing.
	Prepare func(topic string, m *Message) any

	// Deliver gets every new message of the topics that are followed: each id
	// once, in order, one call at a time of a topic, with those that came
	// together. It must not block for long. A message that was deleted before it
	// came is delivered as such. Default: nothing.
	Deliver func(topic string, messages []*Message)

	// Reset is told that the ids of a followed topic start anew at another
	// head, since the database was restored or promoted: what subscribers know
	// of the topic is void. It is called as Deliver is. Default: nothing.
	Reset func(topic string)

	// Broadcast sends what SQL transactions broadcast: to all subscribers of
	// the cluster, at most once. It must not block. Default: it is dropped.
	Broadcast func(topic, event string, payload []byte)

	// PublishTimeout bounds Publish, Update and Delete, beside their contexts.
	// Default 5 s.
	PublishTimeout time.Duration

	// ReadTimeout bounds each statement that reads, and the waiting for it.
	// Default 5 s.
	ReadTimeout time.Duration

	// QueueMessages and QueueBytes bound what waits to be stored, beyond which
	// publishing fails with ErrQueueFull. Defaults 10,000 and 32 MiB.
	QueueMessages, QueueBytes int

	// RingMessages is how many of the newest messages of a followed topic are
	// kept in memory. Default 256.
	RingMessages int

	// RingBytes bounds these messages of all topics together, estimated with
	// what Prepare makes. A sixteenth of it bounds one topic's. Default 64 MiB.
	RingBytes int

	// IdleFeeds is how many topics are kept in memory after their last follower
	// left, for when it comes back. Default 1,000; negative: none.
	IdleFeeds int

	// SweepInterval is how often the heads of the followed topics are compared
	// with the database, in case a notification was lost unnoticed. Default 5 s,
	// jittered by a fifth.
	SweepInterval time.Duration

	// PartitionWidth is the time that one partition of the messages covers.
	// Default: by the patterns' ages.
	PartitionWidth time.Duration

	// KeyAge is how long idempotency keys are known. Default 24 h.
	KeyAge time.Duration

	// Logger receives what an operator should know. Default: none.
	Logger *slog.Logger

	// Registerer receives the metrics. Default: none.
	Registerer prometheus.Registerer
}

// withDefaults fills what is empty and checks the rest.
func (c Config) withDefaults() (Config, error) {
	if c.Pool == nil {
		return c, errors.New("history: Pool is required")
	}
	if c.DirectURL == "" {
		return c, errors.New("history: DirectURL is required")
	}
	if c.Bus == nil {
		c.Bus = noBus{}
	}
	if c.Prepare == nil {
		c.Prepare = func(string, *Message) any { return nil }
	}
	if c.Deliver == nil {
		c.Deliver = func(string, []*Message) {}
	}
	if c.Reset == nil {
		c.Reset = func(string) {}
	}
	if c.Broadcast == nil {
		c.Broadcast = func(string, string, []byte) {}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	defaultTo(&c.PublishTimeout, 5*time.Second)
	defaultTo(&c.ReadTimeout, 5*time.Second)
	defaultTo(&c.QueueMessages, 10_000)
	defaultTo(&c.QueueBytes, 32<<20)
	defaultTo(&c.RingMessages, 256)
	defaultTo(&c.RingBytes, 64<<20)
	defaultTo(&c.IdleFeeds, 1000)
	defaultTo(&c.SweepInterval, 5*time.Second)
	switch {
	case c.PublishTimeout < 0 || c.ReadTimeout < 0 || c.SweepInterval < 0 || c.PartitionWidth < 0 || c.KeyAge < 0:
		return c, errors.New("history: a duration is negative")
	case c.QueueMessages < 1:
		return c, fmt.Errorf("history: QueueMessages is %d; must be positive", c.QueueMessages)
	case c.QueueBytes < 2*maxPayload:
		return c, fmt.Errorf("history: QueueBytes is %d; must be at least %d, two messages", c.QueueBytes, 2*maxPayload)
	case c.RingMessages < 1 || c.RingBytes < 1:
		return c, errors.New("history: RingMessages and RingBytes must be positive")
	}
	c.IdleFeeds = max(c.IdleFeeds, 0)
	return c, nil
}

func defaultTo[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

type noBus struct{}

func (noBus) Publish(byte, string, []byte) error { return nil }

func (noBus) Alone() bool { return true }
