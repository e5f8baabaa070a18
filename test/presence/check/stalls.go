package main

import (
	"context"
	"sync"
	"time"
)

// stallEvery is the time between two looks; what a timer is late by on an idle
// machine is far below it.
const stallEvery = 20 * time.Millisecond

// stalls knows by how much this process's own timers were late. On a machine
// that does not get round to running the checker nothing can be said of the
// servers for that long, so it is deducted from what they took.
type stalls struct {
	mu  sync.Mutex
	all []stall
}

type stall struct {
	due time.Time
	by  time.Duration
}

// watch measures until ctx ends.
func (s *stalls) watch(ctx context.Context) {
	timer := time.NewTimer(stallEvery)
	defer timer.Stop()
	for {
		due := time.Now().Add(stallEvery)
		timer.Reset(stallEvery)
		select {
		case <-ctx.Done():
			return
		case now := <-timer.C:
			if late := max(now.Sub(due), time.Since(due)); late >= stallEvery {
				s.mu.Lock()
				s.all = append(s.all, stall{due, late})
				s.mu.Unlock()
			}
		}
	}
}

// between is how long this process was stalled in that time.
func (s *stalls) between(from, to time.Time) (total time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, one := range s.all {
		began, ended := one.due, one.due.Add(one.by)
		if began.Before(from) {
			began = from
		}
		if ended.After(to) {
			ended = to
		}
		total += max(0, ended.Sub(began))
	}
	return total
}
