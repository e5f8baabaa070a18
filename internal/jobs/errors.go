package jobs

import (
	"errors"
	"fmt"
)

// MaxKeyBytes bounds a request's key, MaxNameBytes its topic and requester
// together: they are in an index.
const (
	MaxKeyBytes  = 255
	MaxNameBytes = 2000
	// MaxWaiting bounds the requests of one channel that wait for their jobs.
	MaxWaiting = 1000
	// MaxResponseBytes bounds an answer.
	MaxResponseBytes = 1 << 20
)

var (
	// ErrUnavailable: the database did not take the job; nothing was stored.
	ErrUnavailable = errors.New("the job could not be queued, try again")
	// ErrUnknownOutcome: the database did not tell whether the job was stored. A
	// repeat with the same key is safe.
	ErrUnknownOutcome = errors.New("the outcome of queueing the job is unknown")
	// ErrDuplicate: the job is unique (river.UniqueOpts) and there already, for
	// somebody else, whose answer this would be. Use the request's key instead.
	ErrDuplicate = errors.New("a unique job that exists already cannot answer a push")
	// ErrTooMany: the channel has MaxWaiting requests waiting.
	ErrTooMany = fmt.Errorf("more than %d requests wait for their jobs", MaxWaiting)
	// ErrKey: the request's key is too long.
	ErrKey = fmt.Errorf("the key is longer than %d bytes", MaxKeyBytes)
	// ErrName: topic and requester are too long.
	ErrName = fmt.Errorf("topic and requester are longer than %d bytes together", MaxNameBytes)
	// ErrTooLarge: the answer is too large.
	ErrTooLarge = fmt.Errorf("the answer is larger than %d bytes", MaxResponseBytes)
)
