package presence

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Bus carries the tracker's messages. Delivery is at most once, in each
// sender's order; the messages are given to Tracker.HandleBus.
type Bus interface {
	// Node is this node's id in the cluster, unique for each start.
	Node() string
	// Publish sends to all other nodes, and does not block.
	Publish(kind byte, topic string, body []byte) error
	// PublishTo sends to one node, and does not block.
	PublishTo(node string, kind byte, topic string, body []byte) error
}

// Options are those of one topic.
type Options struct {
	// Grace is how long a key whose last meta has gone is still shown. If it
	// is tracked again within that time, on any node, one diff replaces the
	// old metas by the new. Default: none.
	Grace time.Duration

	// Fetch returns fields to show beside "metas", by key, such as names from
	// a database. It is called once for each diff, with all its keys, and for
	// each list. It must return when its context ends, after
	// Config.FetchTimeout. On an error the metas are shown alone.
	Fetch func(ctx context.Context, topic string, presences Presences) (map[string]map[string]json.RawMessage, error)

	// HandleMetas is told of each diff after its delivery, with the topic's
	// list after it (Phoenix.Presence.handle_metas). It must keep neither of
	// them, nor change them.
	HandleMetas func(topic string, diff *PresenceDiff, presences Presences)
}

// Config of a Tracker. Bus, Ready and Deliver are required; of the rest zero
// values take the defaults. All nodes must have the same periods and Shards.
type Config struct {
	Bus Bus

	// Ready returns nil while this node receives what others publish. While it
	// does not, nobody is declared down: the silence is this node's.
	Ready func() error

	// Deliver gives a diff to the topic's subscribers on this node. It is
	// called for one diff of a topic at a time, and must not change it.
	Deliver func(topic string, diff *PresenceDiff)

	// Options are asked for often, for any topic, and must come quickly.
	// Default: none.
	Options func(topic string) Options

	// OnLocal is told what changes on this node itself, each topic's changes in
	// their order; an update is a join and a leave. It must not block, nor call
	// the tracker. Default: none.
	OnLocal func(joins, leaves []*Entry)

	// Name of this node's replica. A node with the same name that starts later
	// replaces it, so two nodes must not have the same. Default: Bus.Node().
	Name string

	// Shards is the number of parts that the topics are distributed over. A
	// busy topic delays only those of its shard. Default 8, at most 256.
	Shards int

	// BroadcastPeriod is the time between two broadcasts of what has changed.
	// Default 250 ms (Phoenix: 1.5 s).
	BroadcastPeriod time.Duration

	// MaxSilentPeriods is the number of broadcast periods without a change
	// after which a heartbeat is sent. Default 4, so each second.
	MaxSilentPeriods int

	// DownPeriod is the silence after which a node is down: its presences
	// leave. At least twice the time between heartbeats, and more than Ready
	// takes to notice. Default 7 s (Phoenix: 30 s).
	DownPeriod time.Duration

	// PermdownPeriod is the silence after which a node is forgotten. It must
	// be greater than DownPeriod. Default 20 minutes, as in Phoenix.
	PermdownPeriod time.Duration

	// ClockSamplePeriods is the number of broadcast periods between two looks
	// at who knows more. Default 2, as in Phoenix.
	ClockSamplePeriods int

	// MaxDeltaSizes are the sizes of the delta generations; see
	// NewGenerations.
	MaxDeltaSizes []int

	// DiffInterval is the least time between two diffs of a topic; what comes
	// sooner is told in one. Negative: each change is told on its own.
	// Default 50 ms.
	DiffInterval time.Duration

	// FetchTimeout bounds Options.Fetch. Default 5 s.
	FetchTimeout time.Duration

	Logger     *slog.Logger          // default: none
	Registerer prometheus.Registerer // default: none
}

const maxShards = 256

func (c Config) withDefaults() (Config, error) {
	if c.Bus == nil || c.Ready == nil || c.Deliver == nil {
		return c, errors.New("presence: Bus, Ready and Deliver are required")
	}
	defaultTo(&c.Options, func(string) Options { return Options{} }, c.Options == nil)
	defaultTo(&c.OnLocal, func(_, _ []*Entry) {}, c.OnLocal == nil)
	defaultTo(&c.Name, c.Bus.Node(), c.Name == "")
	defaultTo(&c.Shards, 8, c.Shards == 0)
	defaultTo(&c.BroadcastPeriod, 250*time.Millisecond, c.BroadcastPeriod == 0)
	defaultTo(&c.MaxSilentPeriods, 4, c.MaxSilentPeriods == 0)
	defaultTo(&c.DownPeriod, 7*time.Second, c.DownPeriod == 0)
	defaultTo(&c.PermdownPeriod, 20*time.Minute, c.PermdownPeriod == 0)
	defaultTo(&c.ClockSamplePeriods, 2, c.ClockSamplePeriods == 0)
	defaultTo(&c.DiffInterval, 50*time.Millisecond, c.DiffInterval == 0)
	defaultTo(&c.FetchTimeout, 5*time.Second, c.FetchTimeout == 0)
	defaultTo(&c.Logger, slog.New(slog.DiscardHandler), c.Logger == nil)
	c.DiffInterval = max(c.DiffInterval, 0)
	heartbeat := c.BroadcastPeriod * time.Duration(c.MaxSilentPeriods)
	switch {
	case c.Shards < 1 || c.Shards > maxShards:
		return c, fmt.Errorf("presence: Shards is %d, want 1 to %d", c.Shards, maxShards)
	case c.BroadcastPeriod < 0 || c.MaxSilentPeriods < 0 || c.ClockSamplePeriods < 0 || c.FetchTimeout < 0:
		return c, errors.New("presence: a period or FetchTimeout is negative")
	case c.DownPeriod < 2*heartbeat:
		return c, fmt.Errorf("presence: DownPeriod is %v, want at least twice the %v between heartbeats", c.DownPeriod, heartbeat)
	case c.PermdownPeriod <= c.DownPeriod:
		return c, fmt.Errorf("presence: PermdownPeriod is %v, want more than DownPeriod, %v", c.PermdownPeriod, c.DownPeriod)
	case len(c.Name) > maxName:
		return c, fmt.Errorf("presence: Name has %d bytes, the limit is %d", len(c.Name), maxName)
	}
	return c, nil
}

const maxName = 255

func defaultTo[T any](field *T, value T, unset bool) {
	if unset {
		*field = value
	}
}
