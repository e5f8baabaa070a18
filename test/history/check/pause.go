package main

import (
	"context"
	"math/rand/v2"
	"time"
)

// pause waits; false when ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// between is a random duration.
func between(least, most time.Duration) time.Duration { return least + rand.N(most-least) }

// oneIn is true once in so many times.
func oneIn(n int) bool { return rand.IntN(n) == 0 }
