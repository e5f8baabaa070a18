package cluster

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"
)

// durations are measurements of one thing.
type durations []time.Duration

func (d durations) quantile(q float64) time.Duration {
	sorted := slices.Sorted(slices.Values(d))
	if len(sorted) == 0 {
		return 0
	}
	return sorted[int(q*float64(len(sorted)-1))]
}

func (d durations) String() string {
	return fmt.Sprintf("n=%d p50=%v p99=%v max=%v", len(d),
		d.quantile(0.5).Round(10*time.Microsecond), d.quantile(0.99).Round(10*time.Microsecond), d.quantile(1).Round(10*time.Microsecond))
}

// A probe does the same thing again and again, and measures each time. One that
// has failed stops.
type probe struct {
	quit    chan struct{}
	working sync.WaitGroup
	took    durations
	err     error
}

func startProbe(t testing.TB, every time.Duration, do func() error) *probe {
	t.Helper()
	p := &probe{quit: make(chan struct{})}
	p.working.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			began := time.Now()
			if p.err = do(); p.err != nil {
				return
			}
			p.took = append(p.took, time.Since(began))
			select {
			case <-p.quit:
				return
			case <-tick.C:
			}
		}
	})
	t.Cleanup(p.stop)
	return p
}

func (p *probe) stop() {
	select {
	case <-p.quit:
	default:
		close(p.quit)
	}
	p.working.Wait()
}

// end stops the probe and returns what it has measured.
func (p *probe) end(t testing.TB, what string) durations {
	t.Helper()
	p.stop()
	if p.err != nil {
		t.Errorf("%s failed after %d times: %v", what, len(p.took), p.err)
	}
	t.Logf("%s: %v", what, p.took)
	return p.took
}
