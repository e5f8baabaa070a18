package pubsub

import "errors"

var (
	// ErrTooLarge: topic and body together exceed Config.MaxMessage.
	ErrTooLarge = errors.New("message is too large for the bus")
	// ErrQueueFull: more is published than Postgres takes. The message was not
	// queued.
	ErrQueueFull = errors.New("the bus's queue is full")
	// ErrClosed: Run has ended.
	ErrClosed = errors.New("the bus is closed")
	// ErrBadNode: not an id that a node of a bus has.
	ErrBadNode = errors.New("not a node's id")
	// ErrSelf: the bus does not deliver a node's messages to itself.
	ErrSelf = errors.New("a node cannot publish to itself over the bus")
	// ErrListenDead: the direct URL delivers no notifications.
	ErrListenDead = errors.New("LISTEN is dead on the direct database URL (DATABASE_DIRECT_URL, or DATABASE_URL where that is not set)")
)

// Reasons why a bus is not ready, beside an error of a connection.
var (
	errNotRunning = errors.New("the bus is not running")
	errConnecting = errors.New("connecting")
	errSilent     = errors.New("own heartbeats do not come back")
)
