package history

import "errors"

var (
	// ErrNotDurable: no pattern of the configuration matches the topic.
	ErrNotDurable = errors.New("topic is not durable")
	// ErrTopic: a topic is 1 to 512 bytes of valid UTF-8 without NUL.
	ErrTopic = errors.New("bad topic")
	// ErrEvent: an event is 1 to 255 bytes of valid UTF-8 without NUL, and none
	// of the reserved ones (phx_*, message_updated, message_deleted).
	ErrEvent = errors.New("bad event")
	// ErrPayload: a payload is a JSON object of at most 1 MiB, nested at most
	// 1,023 levels deep.
	ErrPayload = errors.New("bad payload")
	// ErrReservedKey: the payload has the key that carries the message's id.
	ErrReservedKey = errors.New("payload has the key reserved for the message id")
	// ErrKey: an idempotency key is at most 255 bytes of valid UTF-8 without NUL.
	ErrKey = errors.New("bad idempotency key")
	// ErrUser: a user of a read cursor is 1 to 255 bytes of valid UTF-8 without NUL.
	ErrUser = errors.New("bad user")
	// ErrNotFound: the message to be edited does not exist any more, was
	// deleted, or is itself an edit. Nothing was published.
	ErrNotFound = errors.New("no such message")
	// ErrQueueFull: more is published than Postgres takes. Nothing was
	// published; trying again later may succeed.
	ErrQueueFull = errors.New("the queue of messages to be stored is full")
	// ErrUnavailable: Postgres was not reached in time. Nothing was published;
	// trying again later may succeed.
	ErrUnavailable = errors.New("the database is not available")
	// ErrUnknownOutcome: the connection broke between sending the message and
	// its result, so it may or may not have been published. Publishing again
	// with the same idempotency key is safe.
	ErrUnknownOutcome = errors.New("whether the message was published is unknown")
	// ErrClosed: Run has ended.
	ErrClosed = errors.New("the history is closed")
)
