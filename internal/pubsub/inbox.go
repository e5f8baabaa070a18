package pubsub

import (
	"sync"
	"time"
)

// An arrival is a payload, or the mark that anything may have been missed.
type arrival struct {
	payload string
	at      time.Time
	missed  bool
}

// An inbox holds what the listener read until the dispatcher handles it. What
// does not fit is dropped: its numbers will be missing, and so it is noticed.
type inbox struct {
	limit int
	wake  chan struct{} // holds one token while there may be something to take

	mu    sync.Mutex
	items []arrival
	bytes int // of items, and of those taken and not yet released
}

func newInbox(limit int) *inbox {
	return &inbox{limit: limit, wake: make(chan struct{}, 1)}
}

// put appends an arrival, unless a payload does not fit.
func (in *inbox) put(a arrival) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	if !a.missed && in.bytes+len(a.payload) > in.limit {
		return false
	}
	in.bytes += len(a.payload)
	in.items = append(in.items, a)
	select {
	case in.wake <- struct{}{}:
	default:
	}
	return true
}

// take removes everything; each item is to be released once handled.
func (in *inbox) take() []arrival {
	in.mu.Lock()
	defer in.mu.Unlock()
	items := in.items
	in.items = nil
	return items
}

func (in *inbox) release(a arrival) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.bytes -= len(a.payload)
}

func (in *inbox) load() int {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.bytes
}
