package main

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/trunkline/trunkline/test/harness"
)

// samples are durations of one thing. They may be added from any goroutine.
type samples struct {
	mu  sync.Mutex
	all []time.Duration
}

func (s *samples) add(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, d)
}

// take returns the durations so far, and forgets them.
func (s *samples) take() []time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.all
	s.all = nil
	return all
}

// percentile of durations, 0 of none.
func percentile(all []time.Duration, p float64) time.Duration {
	if len(all) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(all))
	return sorted[min(int(p/100*float64(len(sorted))), len(sorted)-1)]
}

func median(all []time.Duration) time.Duration { return percentile(all, 50) }

func medianRatio(all []float64) float64 {
	sorted := slices.Sorted(slices.Values(all))
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}

// paced does something at a steady rate for a while, each time in a goroutine of
// its own, and returns when all have ended: with the first error.
func paced(ctx context.Context, each, d time.Duration, do func(context.Context) error) error {
	var working sync.WaitGroup
	var once sync.Once
	var first error
	began := time.Now()
	for i := 0; time.Duration(i)*each < d; i++ {
		if ahead := time.Until(began.Add(time.Duration(i) * each)); ahead > 0 && !harness.Pause(ctx, ahead) {
			break
		}
		working.Go(func() {
			if err := do(ctx); err != nil {
				once.Do(func() { first = err })
			}
		})
	}
	working.Wait()
	return first
}

// measureTries is how often is measured at most until a limit is kept: what else
// the machine does may break it once.
const measureTries = 3

// untilWithin measures until something is within so many times its floor.
func (s *scenario) untilWithin(what string, limit float64, measure func() (ratio float64, err error)) error {
	for try := 1; ; try++ {
		ratio, err := measure()
		if err != nil {
			return err
		}
		s.figure("%s: %.2f times its floor, limit %.1f", what, ratio, limit)
		if ratio <= limit || try == measureTries {
			s.judge.slow(s.phase, what, ratio, limit)
			return nil
		}
		s.note("measuring again")
	}
}

func round(d time.Duration) time.Duration { return d.Round(10 * time.Microsecond) }
