package presence

import (
	"context"
	"encoding/json"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// shard is the part of the tracker that some topics belong to
// (Phoenix.Tracker.Shard). Its goroutine alone publishes and merges; the lock is
// for those who track and list.
type shard struct {
	tracker *Tracker
	index   int
	inbox   *inbox
	outbox  *outbox

	// Of the goroutine.
	silent  int // periods without a broadcast
	hello   time.Time
	missing bool // something was lost, and the next period says hello
	owed    bool // an answer to a hello
	haste   *time.Timer
	hasty   bool // haste runs
	began   time.Time
	periods int // since the last look at the clocks
	heard   ClockSet
	asked   map[Replica]time.Time // for a transfer, or when its last part came
	first   map[Replica]Context   // heard of each since the start; nil once synced
	synced  atomic.Bool

	mu          sync.Mutex
	state       *State
	generations *Generations
	grace       grace
	closed      bool
}

func newShard(t *Tracker, index int) *shard {
	return &shard{
		tracker: t, index: index,
		inbox:       newInbox(),
		outbox:      newOutbox(t.config.DiffInterval, t.deliver),
		asked:       make(map[Replica]time.Time),
		first:       make(map[Replica]Context),
		state:       NewState(t.replica),
		generations: NewGenerations(t.config.MaxDeltaSizes...),
		grace: grace{
			period: func(topic string) time.Duration { return t.config.Options(topic).Grace },
			topics: make(map[string]map[string]lingering),
		},
	}
}

// run serves the shard until ctx ends. hearing: this node receives what others
// publish, so it may ask; else it does when it hears.
func (s *shard) run(ctx context.Context, hearing bool) {
	ticker := time.NewTicker(s.tracker.config.BroadcastPeriod)
	defer ticker.Stop()
	s.haste = time.NewTimer(time.Hour)
	defer s.haste.Stop()
	s.began = time.Now()
	if hearing {
		s.sayHello(s.began)
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.inbox.filled:
			for _, i := range s.inbox.take() {
				s.handle(i)
			}
		case <-s.haste.C:
			s.hurried(time.Now())
		case <-ticker.C:
			s.period(time.Now())
		}
	}
}

// period is what is done each broadcast period.
func (s *shard) period(now time.Time) {
	s.silent++
	if s.missing {
		s.sayHello(now)
	} else {
		s.broadcast(msgHeartbeat)
	}
	if s.periods++; s.periods >= s.tracker.config.ClockSamplePeriods {
		s.periods = 0
		s.sampleClocks(now)
	}
	s.sync(now)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.outbox.add(nil, s.grace.expire(now))
}

func (s *shard) handle(i item) {
	switch {
	case i.lost:
		s.missing = true
		if now := time.Now(); now.Sub(s.hello) >= s.tracker.config.BroadcastPeriod {
			s.sayHello(now)
		}
	case i.change.Status != 0:
		s.follow(i.change)
	default:
		s.receive(i)
	}
}

// sayHello asks for everybody's clock: once in a period at most, for a hello can
// be lost, too, and each loss leads to one.
func (s *shard) sayHello(now time.Time) {
	s.hello, s.missing, s.owed = now, false, false
	clear(s.asked)
	s.broadcast(msgHello)
	if s.first != nil {
		s.hurry()
	}
}

// follow does what a replica's new status means for its entries.
func (s *shard) follow(c Change) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch c.Status {
	case Up:
		s.show(s.state.ReplicaUp(c.Replica), nil)
	case Down:
		s.show(nil, s.state.ReplicaDown(c.Replica))
	case Permdown:
		s.show(nil, s.state.RemoveDownReplicas(c.Replica))
		s.generations.RemoveDownReplicas(c.Replica)
		delete(s.asked, c.Replica)
	}
}

// show has the changes of the state told. It is called with the lock held, so
// that they are told in their order.
func (s *shard) show(joins, leaves []*Entry) {
	if len(joins)+len(leaves) > 0 {
		s.outbox.add(s.grace.filter(joins, leaves, s.state, time.Now()))
	}
}

// changed has own changes told. It is called with the lock held.
func (s *shard) changed(joins, leaves []*Entry) {
	if len(joins)+len(leaves) > 0 {
		s.tracker.config.OnLocal(joins, leaves)
		s.show(joins, leaves)
	}
}

func (s *shard) track(owner Owner, topic, key string, meta json.RawMessage) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	joined, err := s.state.Join(owner, topic, key, meta)
	if err != nil {
		return err
	}
	s.changed([]*Entry{joined}, nil)
	return nil
}

func (s *shard) get(owner Owner, topic, key string) (*Entry, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state.Get(owner, topic, key)
}

// update is false if the entry is no longer the one that was.
func (s *shard) update(was *Entry, meta json.RawMessage) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false, ErrClosed
	}
	if is, _ := s.state.Get(was.Owner, was.Topic, was.Key); is != was {
		return false, nil
	}
	joined, left, err := s.state.LeaveJoin(was.Owner, was.Topic, was.Key, meta)
	if err != nil {
		return false, err
	}
	s.changed([]*Entry{joined}, []*Entry{left})
	return true, nil
}

func (s *shard) untrack(owner Owner, topic, key string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	left, ok := s.state.Leave(owner, topic, key)
	if ok {
		s.changed(nil, []*Entry{left})
	}
	return ok
}

func (s *shard) untrackOwner(owner Owner) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changed(nil, s.state.LeaveOwner(owner))
}

// list returns what is shown of the topic, or of one key, sorted.
func (s *shard) list(topic string, key ...string) []*Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.outbox.observe(topic)
	if len(key) == 0 {
		return s.grace.with(s.state.GetByTopic(topic), topic)
	}
	entries := slices.Concat(s.grace.topics[topic][key[0]].entries, s.state.GetByKey(topic, key[0]))
	return entries
}

func (s *shard) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
}
