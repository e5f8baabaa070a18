package presence

import (
	"errors"
	"time"
)

// ErrNotSynced is a node that has started and does not know yet who is present
// on the others.
var ErrNotSynced = errors.New("not yet told who is present on the other nodes")

const (
	// hasteParts is how many hurries fit in a broadcast period.
	hasteParts = 5
	// hastePeriods is how long after a hello clocks are acted on at once, in
	// broadcast periods.
	hastePeriods = 8
	// syncDownPeriods is how long a node waits at most for what others know,
	// in DownPeriods. Who is silent for one does not count any more.
	syncDownPeriods = 2
)

// Ready returns nil once this node knows what the others knew when it started,
// or that there are none: before, its lists lack members. It stays so.
func (t *Tracker) Ready() error {
	for _, s := range t.shards {
		if !s.synced.Load() {
			return ErrNotSynced
		}
	}
	return nil
}

// hear notes another replica's clock. Who has just asked, or been asked, for
// clocks wants to know soon what they mean.
func (s *shard) hear(clock Clock, now time.Time) {
	s.heard = s.heard.Append(clock)
	if _, ok := s.first[clock.Replica]; s.first != nil && !ok {
		s.first[clock.Replica] = clock.Context
	}
	if now.Sub(s.hello) < hastePeriods*s.tracker.config.BroadcastPeriod {
		s.hurry()
	}
}

// hurry has something done before the next period, with what else comes until
// then.
func (s *shard) hurry() {
	if !s.hasty {
		s.hasty = true
		s.haste.Reset(s.tracker.config.BroadcastPeriod / hasteParts)
	}
}

// hurried is what hurry is for: one answer to all who said hello, and one look at
// the clocks.
func (s *shard) hurried(now time.Time) {
	s.hasty = false
	if s.owed {
		s.owed = false
		s.silent = s.tracker.config.MaxSilentPeriods
		s.broadcast(msgHeartbeat)
	}
	s.sampleClocks(now)
	if s.sync(now); s.first != nil {
		s.hurry()
	}
}

// sync notices when the shard knows what the others knew when it began. They
// have a period to answer its hello.
func (s *shard) sync(now time.Time) {
	config := &s.tracker.config
	if s.first == nil {
		return
	}
	switch {
	case now.Sub(s.began) >= syncDownPeriods*config.DownPeriod:
		config.Logger.Warn("presence: others did not tell who is present there", "shard", s.index)
	case s.hello.IsZero() || now.Sub(s.hello) < config.BroadcastPeriod || !s.covers():
		return
	}
	s.first = nil
	s.synced.Store(true)
}

// covers is whether this replica knows all that those who are up knew when they
// were first heard.
func (s *shard) covers() bool {
	up := s.tracker.up()
	s.mu.Lock()
	own := s.state.Clocks().Context
	s.mu.Unlock()
	for _, r := range up {
		first, heard := s.first[r]
		if !heard || !own.Dominates(first.Filter(own)) {
			return false
		}
	}
	return true
}

// up returns the other replicas that are up.
func (t *Tracker) up() []Replica {
	t.mu.Lock()
	defer t.mu.Unlock()
	var up []Replica
	for _, h := range t.replicas.byName {
		if h.status == Up {
			up = append(up, h.replica)
		}
	}
	return up
}
