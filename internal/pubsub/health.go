package pubsub

import (
	"fmt"
	"sync"
	"time"
)

// health judges the two connections by the node's own heartbeats: the notifier
// confirms that one was committed, the listener sees it arrive.
type health struct {
	silence time.Duration

	mu          sync.Mutex
	listener    error // nil while connected
	notifier    error
	since       time.Time // of the listener's connection
	seen        uint64    // newest own heartbeat that arrived
	seenAt      time.Time // or when the listener began, whichever is later
	unseenSince time.Time // a heartbeat was confirmed then and none has arrived since
}

func newHealth(silence time.Duration) *health {
	return &health{silence: silence, listener: errNotRunning, notifier: errNotRunning, seenAt: time.Now()}
}

// confirmed: heartbeat number was committed. It may have arrived before.
func (h *health) confirmed(number uint64, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if number > h.seen && h.unseenSince.IsZero() {
		h.unseenSince = now
	}
}

// arrived: heartbeat number came back.
func (h *health) arrived(number uint64, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seen = number
	h.seenAt = now
	h.unseenSince = time.Time{}
}

// listening: the listener's state changed; nil when it listens.
func (h *health) listening(err error, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.listener = err
	h.unseenSince = time.Time{}
	if err == nil {
		h.seenAt, h.since = now, now
	}
}

// notifying: the notifier's state changed; nil when it is connected.
func (h *health) notifying(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.notifier = err
}

// listenerDead reports whether the listening connection is to be replaced. It
// is slower where the notifier may be to blame.
func (h *health) listenerDead(now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.listener != nil {
		return false
	}
	missing := !h.unseenSince.IsZero() && now.Sub(h.unseenSince) > h.silence*2/3
	return missing || now.Sub(h.seenAt) > h.silence*4/3
}

// ready returns why the bus does not work, or nil.
func (h *health) ready(now time.Time) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.listener != nil:
		return fmt.Errorf("bus listener: %w", h.listener)
	case h.notifier != nil:
		return fmt.Errorf("bus notifier: %w", h.notifier)
	case now.Sub(h.seenAt) > h.silence:
		return fmt.Errorf("bus: %w for %v", errSilent, now.Sub(h.seenAt).Round(time.Millisecond))
	}
	return nil
}

// steady reports whether the listener has heard everything for so long that it
// must have heard a heartbeat of every node that sends any.
func (h *health) steady(now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.listener == nil && now.Sub(h.since) >= h.silence && now.Sub(h.seenAt) <= h.silence
}

// age returns the time since an own heartbeat came back.
func (h *health) age() time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	return time.Since(h.seenAt)
}
