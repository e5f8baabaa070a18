package sock

import (
	"log/slog"
	"time"
)

// Defaults of Config.
const (
	DefaultReadLimit    = 1 << 20
	DefaultQueueBytes   = 1 << 20
	DefaultStallTimeout = 10 * time.Second
	DefaultIdleTimeout  = 60 * time.Second
	DefaultCloseTimeout = 5 * time.Second
)

// Config holds the limits of all connections of a Pool. Zero values take the
// defaults above.
type Config struct {
	// ReadLimit is the largest message accepted, in bytes, all its fragments
	// together. A larger one closes its connection with 1009.
	ReadLimit int64

	// QueueBytes bounds what waits for a connection whose peer does not read
	// fast enough. One more frame than fits resets the connection. A single
	// frame larger than the bound is accepted when nothing else is waiting.
	QueueBytes int

	// StallTimeout is how long the kernel may take nothing of what is queued
	// before the connection is reset.
	StallTimeout time.Duration

	// IdleTimeout is how long a client may be silent (no byte of a message,
	// ping or pong) before its connection is closed with 1000. What the server
	// sends does not count. Negative means no limit. The check is made ten
	// times per timeout, at most once a second.
	IdleTimeout time.Duration

	// CloseTimeout bounds a closing handshake: sending what is queued and the
	// Close frame, and waiting for the client's. Then the connection is reset.
	CloseTimeout time.Duration

	// Logger gets warnings about dropped connections. Default slog.Default().
	Logger *slog.Logger
}

func (c Config) withDefaults() Config {
	if c.ReadLimit <= 0 {
		c.ReadLimit = DefaultReadLimit
	}
	if c.QueueBytes <= 0 {
		c.QueueBytes = DefaultQueueBytes
	}
	if c.StallTimeout <= 0 {
		c.StallTimeout = DefaultStallTimeout
	}
	if c.IdleTimeout == 0 {
		c.IdleTimeout = DefaultIdleTimeout
	}
	if c.CloseTimeout <= 0 {
		c.CloseTimeout = DefaultCloseTimeout
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c
}
