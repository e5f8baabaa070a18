package presence

import (
	"sync"
	"time"
)

// inboxBytes bounds the messages that wait for one shard. What does not fit is
// dropped: the clocks show that it is missing, and a transfer brings it.
const inboxBytes = 16 << 20

// An item is what a shard is told, in one order: a message, a change of a
// replica's status, or that something was lost.
type item struct {
	message message
	at      time.Time
	change  Change // if the Status is set
	lost    bool
}

// inbox holds what waits for a shard. Putting never blocks.
type inbox struct {
	filled chan struct{}

	mu    sync.Mutex
	items []item
	bytes int
}

func newInbox() *inbox { return &inbox{filled: make(chan struct{}, 1)} }

// put is false for a message that was dropped. Changes always fit: there are
// few, and the shard would go wrong without them.
func (in *inbox) put(i item) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	size := len(i.message.clock) + len(i.message.delta)
	if size > 0 && in.bytes+size > inboxBytes {
		return false
	}
	in.bytes += size
	in.items = append(in.items, i)
	select {
	case in.filled <- struct{}{}:
	default:
	}
	return true
}

func (in *inbox) take() []item {
	in.mu.Lock()
	defer in.mu.Unlock()
	items := in.items
	in.items, in.bytes = nil, 0
	return items
}
