package pubsub

import (
	"context"
	"math/rand/v2"
	"time"
)

// A backoff is the wait between two attempts to connect: it doubles from least
// to most, and half of it is random, so that nodes do not return in step.
type backoff struct {
	least, most, next time.Duration
}

func (b *backoff) reset() { b.next = 0 }

// duration returns the next wait.
func (b *backoff) duration() time.Duration {
	b.next = min(max(2*b.next, b.least), b.most)
	return b.next/2 + rand.N(b.next/2+1)
}

// wait waits, and reports whether ctx still holds.
func (b *backoff) wait(ctx context.Context) bool {
	timer := time.NewTimer(b.duration())
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
