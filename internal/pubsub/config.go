package pubsub

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/trunkline/trunkline/internal/dbsqlc"
)

// Config says how a bus is reached and bounded. Only DirectURL is required.
type Config struct {
	// DirectURL is the connection string of Postgres itself. It must not lead
	// through a transaction pooler.
	DirectURL string

	// Schema holds the migrated objects, and names the notification channels,
	// so that two installations in one database do not meet. Default trunkline.
	Schema string

	// Node is the node's name for people: 1 to 64 of A-Z, a-z, 0-9, '.', '_'
	// and '-'. It need not be unique. Default: the host name.
	Node string

	// QueueBytes bounds the messages waiting to be sent. When it is reached,
	// Publish fails with ErrQueueFull while Postgres is there, and the oldest
	// messages are dropped while it is away. At least twice MaxMessage.
	// Default 8 MiB.
	QueueBytes int

	// InboxBytes bounds the payloads received and not yet handled. Beyond it
	// payloads are dropped and noticed as a loss. Default 64 MiB.
	InboxBytes int

	// MaxMessage bounds the topic and body of one message together, in bytes.
	// Default 1.5 MiB + 64 KiB.
	MaxMessage int

	// Heartbeat is the time between two heartbeats, which carry the numbers of
	// the newest messages and prove that the way through Postgres works.
	// Default 1 s.
	Heartbeat time.Duration

	// Silence is the time without an own heartbeat after which the bus is not
	// ready any more. The listening connection is replaced when a heartbeat
	// that Postgres has confirmed is missing for two thirds of it, or after
	// four thirds of it in any case. Default 3 s.
	Silence time.Duration

	// FlushTimeout bounds one send; the connection is replaced after it.
	// Default 2 s.
	FlushTimeout time.Duration

	// MaxAge is the age at which a message that waits to be sent is dropped.
	// Default 10 s.
	MaxAge time.Duration

	// FetchTimeout bounds the fetching of one large message. Default 5 s.
	FetchTimeout time.Duration

	// DialTimeout bounds one attempt to connect. Default 2 s.
	DialTimeout time.Duration

	// MinBackoff and MaxBackoff bound the wait between two attempts to
	// connect, which doubles and is jittered. When Postgres was away, what is
	// queued waits for another MaxBackoff after its return, until the other
	// nodes listen again too. Defaults 50 ms and 500 ms.
	MinBackoff, MaxBackoff time.Duration

	// StartTimeout is how long Run tries to reach Postgres at the start.
	// Default 30 s.
	StartTimeout time.Duration

	// DrainTimeout bounds the sending of what is queued when Run ends.
	// Default 2 s.
	DrainTimeout time.Duration

	// Logger receives what an operator should know. Default: none.
	Logger *slog.Logger

	// Registerer receives the metrics. Default: none.
	Registerer prometheus.Registerer
}

var nodeName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// withDefaults fills what is empty and checks the rest.
func (c Config) withDefaults() (Config, error) {
	if c.DirectURL == "" {
		return c, errors.New("pubsub: DirectURL is required")
	}
	if c.Schema == "" {
		c.Schema = dbsqlc.DefaultSchema
	}
	if c.Node == "" {
		c.Node = hostName()
	}
	if !nodeName.MatchString(c.Node) {
		return c, fmt.Errorf("pubsub: node name %q: must be 1 to 64 of the characters A-Z, a-z, 0-9, '.', '_' and '-'", c.Node)
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	defaultTo(&c.QueueBytes, 8<<20)
	defaultTo(&c.InboxBytes, 64<<20)
	defaultTo(&c.MaxMessage, 1536<<10+64<<10)
	defaultTo(&c.Heartbeat, time.Second)
	defaultTo(&c.Silence, 3*time.Second)
	defaultTo(&c.FlushTimeout, 2*time.Second)
	defaultTo(&c.MaxAge, 10*time.Second)
	defaultTo(&c.FetchTimeout, 5*time.Second)
	defaultTo(&c.DialTimeout, 2*time.Second)
	defaultTo(&c.MinBackoff, 50*time.Millisecond)
	defaultTo(&c.MaxBackoff, 500*time.Millisecond)
	defaultTo(&c.StartTimeout, 30*time.Second)
	defaultTo(&c.DrainTimeout, 2*time.Second)
	switch {
	case c.MaxMessage < 0 || c.InboxBytes < 0:
		return c, errors.New("pubsub: MaxMessage and InboxBytes must not be negative")
	case c.QueueBytes < 2*c.MaxMessage:
		return c, fmt.Errorf("pubsub: QueueBytes is %d; must be at least twice MaxMessage, %d", c.QueueBytes, 2*c.MaxMessage)
	case c.Silence < 2*c.Heartbeat:
		return c, fmt.Errorf("pubsub: Silence is %v; must be at least twice Heartbeat, %v", c.Silence, 2*c.Heartbeat)
	case c.MaxBackoff < c.MinBackoff:
		return c, fmt.Errorf("pubsub: MaxBackoff %v is less than MinBackoff %v", c.MaxBackoff, c.MinBackoff)
	}
	for _, d := range []time.Duration{c.Heartbeat, c.FlushTimeout, c.MaxAge, c.FetchTimeout, c.DialTimeout, c.MinBackoff, c.StartTimeout, c.DrainTimeout} {
		if d < 0 {
			return c, fmt.Errorf("pubsub: a duration is negative: %v", d)
		}
	}
	return c, nil
}

func defaultTo[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// hostName returns the host's name with what a node name may not hold replaced.
func hostName() string {
	name, err := os.Hostname()
	if err != nil || name == "" {
		return "node"
	}
	name = strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', r == '.', r == '_', r == '-':
			return r
		}
		return '-'
	}, name)
	return name[:min(len(name), 64)]
}
