package trunkline

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Config of a Server. It is checked once, by New, and not changed afterwards.
type Config struct {
	// DatabaseURL of the application's Postgres, 14 or newer. Required. It may
	// lead through a transaction pooler such as PgBouncer if DatabaseDirectURL
	// does not.
	DatabaseURL string
	// DatabaseDirectURL reaches Postgres without a pooler: LISTEN, locks and
	// migrations need it. Default: DatabaseURL.
	DatabaseDirectURL string
	// Schema holds all database objects. Default "trunkline".
	Schema string
	// SkipMigrations leaves the schema to `migrate up`: Run then migrates
	// nothing.
	SkipMigrations bool
	// PoolSize is how many pooled connections the node may open. Default 8. Up
	// to nine more are direct: the bus's listener, notifier and fetcher, on one
	// node of the cluster the relay of what SQL publishes, and five of River's.
	// Run fails when Postgres allows fewer in all.
	PoolSize int
	// StartTimeout is how long Run waits for Postgres at its start. Default 30 s.
	StartTimeout time.Duration

	// SecretKeyBase signs tokens; share it with the Phoenix application whose
	// tokens are to be accepted. Required, at least 20 bytes, as they stand.
	SecretKeyBase string

	// Node is this node's name, in logs, and in presence, where a node that
	// starts under the name of an old one replaces it at once: give each node
	// its own, or none. Default: the host's name for people, and a unique one
	// for presence.
	Node string
	// Host is the host that browsers reach the server by, for the origin check.
	// Default: whatever host a request names.
	Host string

	// QueueBytes bounds what waits to be written to one client. Default 1 MiB; a
	// client that is further behind is disconnected.
	QueueBytes int
	// StallTimeout: a client that takes nothing for so long is disconnected.
	// Default 10 s.
	StallTimeout time.Duration
	// MailboxSize is how many messages may wait for one channel. Default 1000.
	MailboxSize int
	// DrainTimeout bounds the end of Run. Default 30 s, as in Phoenix.
	DrainTimeout time.Duration

	// PresenceBroadcastPeriod is the time between two broadcasts of presence
	// changes to the other nodes; after four of silence comes a heartbeat.
	// Default 250 ms. The same on all nodes.
	PresenceBroadcastPeriod time.Duration
	// PresenceDownPeriod is the silence after which a node's presences leave.
	// Default 7 s.
	PresenceDownPeriod time.Duration
	// PresenceDiffInterval is the least time between two diffs of a topic; what
	// comes sooner is told in one. Default 50 ms; negative tells each change on
	// its own.
	PresenceDiffInterval time.Duration

	// SkipPresenceView leaves this node's presences out of the SQL view
	// trunkline.presence. Otherwise they cost Postgres a statement a second while
	// they change, one more for each further 1000 changes, and two each 5 s.
	SkipPresenceView bool

	// Logger gets the server's logs. Default: slog.Default().
	Logger *slog.Logger
	// Registerer gets the server's metrics; docs/operations.md lists them.
	// Default: a registry of its own, served by MetricsHandler.
	Registerer prometheus.Registerer
}

func (c Config) withDefaults() Config {
	if c.DatabaseDirectURL == "" {
		c.DatabaseDirectURL = c.DatabaseURL
	}
	if c.Schema == "" {
		c.Schema = "trunkline"
	}
	if c.PoolSize == 0 {
		c.PoolSize = 8
	}
	if c.StartTimeout == 0 {
		c.StartTimeout = 30 * time.Second
	}
	if c.DrainTimeout == 0 {
		c.DrainTimeout = 30 * time.Second
	}
	if c.Node == "" {
		c.Node, _ = os.Hostname()
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c
}

// busConnections are the listener, the notifier, the fetcher and the relay.
const busConnections = 4

// connections is what the node may open in all.
func (c Config) connections() int {
	return c.PoolSize + busConnections + riverConnections + riverListener
}

func (c Config) validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(c.DatabaseURL != "", "DatabaseURL (DATABASE_URL) is missing: set it to postgres://user:password@host:5432/database")
	check(c.DatabaseURL == "" || isPostgresURL(c.DatabaseURL), "DatabaseURL (DATABASE_URL) is not a postgres:// URL")
	// Where it is DatabaseURL, that has been reported.
	check(c.DatabaseDirectURL == c.DatabaseURL || isPostgresURL(c.DatabaseDirectURL), "DatabaseDirectURL (DATABASE_DIRECT_URL) is not a postgres:// URL")
	check(c.SecretKeyBase != "", "SecretKeyBase (SECRET_KEY_BASE) is missing: make one with `openssl rand -base64 48`")
	check(c.PoolSize >= 2, "PoolSize (DATABASE_POOL_SIZE) is %d: want at least 2", c.PoolSize)
	for _, n := range []struct {
		name  string
		value int64
	}{
		{"QueueBytes (QUEUE_BYTES)", int64(c.QueueBytes)},
		{"DrainTimeout (DRAIN_TIMEOUT)", int64(c.DrainTimeout)},
		{"StallTimeout", int64(c.StallTimeout)},
		{"MailboxSize", int64(c.MailboxSize)},
		{"StartTimeout", int64(c.StartTimeout)},
	} {
		check(n.value >= 0, "%s is negative", n.name)
	}
	return errors.Join(errs...)
}

// isPostgresURL does not echo the URL: it may hold a password.
func isPostgresURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "postgres" || u.Scheme == "postgresql")
}
