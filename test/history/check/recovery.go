package main

import (
	"context"
	"sync"
	"time"

	"github.com/trunkline/trunkline/test/harness"
)

const (
	// recoveryLimit is when the watch over a fault's consequences ends.
	recoveryLimit = time.Minute
	watchEvery    = 50 * time.Millisecond
)

// recoveries measures how soon after a fault's end everything is well again:
// every subscriber has what was stored by then, and publishers of every kind
// are acknowledged.
type recoveries struct {
	cluster     *cluster
	subscribers []*subscriber
	record      *recorder
	kinds       []kind
	journal     *harness.Journal

	working sync.WaitGroup

	mu    sync.Mutex
	worst time.Duration
	of    string // the fault that took so long
}

// watch begins a measurement, which ends with ctx at latest.
func (r *recoveries) watch(ctx context.Context, name string, mended time.Time) {
	r.working.Go(func() {
		ctx, cancel := context.WithTimeout(ctx, recoveryLimit)
		defer cancel()
		if !r.recovered(ctx, mended) {
			return // the run's end came before; what is missing then, is found
		}
		took := time.Since(mended)
		r.journal.Printf("recovered from %s within %v", name, took.Round(time.Millisecond))
		r.mu.Lock()
		defer r.mu.Unlock()
		if took > r.worst {
			r.worst, r.of = took, name
		}
	})
}

func (r *recoveries) recovered(ctx context.Context, mended time.Time) bool {
	heads, _, err := r.cluster.database.heads(ctx)
	for err != nil {
		if !harness.Pause(ctx, watchEvery) {
			return false
		}
		heads, _, err = r.cluster.database.heads(ctx)
	}
	behind := r.subscribers
	for {
		var still []*subscriber
		for _, s := range behind {
			if s.behind(heads) {
				still = append(still, s)
			}
		}
		behind = still
		if len(behind) == 0 && r.record.acknowledgedSince(mended, r.kinds...) {
			return true
		}
		if !harness.Pause(ctx, watchEvery) {
			return false
		}
	}
}
