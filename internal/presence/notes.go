package presence

import (
	"sync/atomic"
	"time"
)

// notes keep warnings that could come with every message down to one in a
// while; the metrics count them all.
type notes struct{ send, malformed, shards, name, overflow, fetch note }

// note is the time before which it is not logged again.
type note struct{ next atomic.Int64 }

const noteInterval = 10 * time.Second

func (t *Tracker) note(n *note, message string, args ...any) {
	now := time.Now().UnixNano()
	if next := n.next.Load(); now >= next && n.next.CompareAndSwap(next, now+int64(noteInterval)) {
		t.config.Logger.Warn(message, args...)
	}
}
