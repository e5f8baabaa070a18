package history

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"
)

const (
	// retryPause is how long to wait after a statement failed.
	retryPause = 250 * time.Millisecond
	// settlePause is when a new node sweeps for the first time: who was alone
	// told nobody until it heard of the new one, a moment after that one listened.
	settlePause = time.Second
	// sweepPause is the least time between two sweeps.
	sweepPause = 50 * time.Millisecond
	// sweepTopics bounds the topics of a statement.
	sweepTopics = 5000
)

// A sweeper compares the heads of all feeds with the database, which finds what
// no notification told: now and then, and when something is known to be missing.
type sweeper struct {
	backend     backend
	generations *generations
	feeds       *feeds
	bus         Bus
	interval    time.Duration
	timeout     time.Duration
	metrics     *metrics
	log         *slog.Logger

	wake chan struct{}
	mu   sync.Mutex
	due  time.Time // zero: at the interval's end
	owed bool      // the other nodes have to sweep, too
}

// request asks for a sweep after a delay, or sooner.
func (s *sweeper) request(delay time.Duration) {
	at := time.Now().Add(delay)
	s.mu.Lock()
	sooner := s.due.IsZero() || at.Before(s.due)
	if sooner {
		s.due = at
	}
	s.mu.Unlock()
	if sooner {
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
}

// owe makes all nodes sweep once the database answers: what was stored may not
// have been told to them.
func (s *sweeper) owe() {
	s.mu.Lock()
	s.owed = true
	s.mu.Unlock()
	s.request(0)
}

// run sweeps until ctx ends.
func (s *sweeper) run(ctx context.Context) {
	s.request(settlePause)
	failing := false
	for s.waitUntilDue(ctx) {
		s.mu.Lock()
		s.due = time.Time{}
		s.mu.Unlock()
		err := s.sweep(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			if !failing {
				s.log.WarnContext(ctx, "history: the followed topics cannot be compared with the database; trying again", "err", err)
			}
			s.request(retryPause)
		} else {
			s.payOwed()
		}
		failing = err != nil
		if !pause(ctx, sweepPause) {
			return
		}
	}
}

// waitUntilDue waits until a sweep is due; false when ctx ended.
func (s *sweeper) waitUntilDue(ctx context.Context) bool {
	regular := time.Now().Add(s.interval*4/5 + rand.N(s.interval*2/5+1))
	for {
		s.mu.Lock()
		due := s.due
		s.mu.Unlock()
		if due.IsZero() || regular.Before(due) {
			due = regular
		}
		timer := time.NewTimer(time.Until(due))
		select {
		case <-ctx.Done():
			timer.Stop()
			return false
		case <-timer.C:
			return true
		case <-s.wake:
			timer.Stop()
		}
	}
}

// payOwed tells the other nodes to sweep.
func (s *sweeper) payOwed() {
	s.mu.Lock()
	owed := s.owed
	s.owed = false
	s.mu.Unlock()
	if owed && s.bus.Publish(KindHistory, "", nil) != nil {
		s.mu.Lock()
		s.owed = true
		s.mu.Unlock()
		s.request(retryPause)
	}
}

// sweep asks for the heads of all feeds' topics, and whether the database is
// still the same.
func (s *sweeper) sweep(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	s.metrics.swept.Inc()
	return s.backend.use(ctx, func(db database, generation int64) error {
		now, err := db.generation(ctx)
		if err != nil {
			return err
		}
		s.generations.found(now)
		if now != generation {
			s.request(0) // on another connection
			return nil
		}
		asked := make(map[int64]asking)
		for _, f := range s.feeds.list() {
			ref, certain := f.state()
			if !certain || ref.epoch == "" {
				s.feeds.find(f.topic)
				continue
			}
			asked[ref.id] = f.asking()
			if len(asked) == sweepTopics {
				if err := s.compare(ctx, db, asked); err != nil {
					return err
				}
				clear(asked)
			}
		}
		if len(asked) == 0 {
			return nil
		}
		return s.compare(ctx, db, asked)
	})
}

func (s *sweeper) compare(ctx context.Context, db database, asked map[int64]asking) error {
	ids := make([]int64, 0, len(asked))
	for id := range asked {
		ids = append(ids, id)
	}
	heads, err := db.heads(ctx, ids)
	if err != nil {
		return err
	}
	for id, a := range asked {
		head, exists := heads[id]
		if !exists { // any more
			s.feeds.find(a.feed.topic)
			continue
		}
		if head != a.last {
			a.feed.post(func() { a.feed.swept(id, head, a.last) })
		}
	}
	return nil
}
