package presence

import (
	"context"
	"sync"
	"time"
)

const (
	// maxWorkers bounds the diffs of one shard that are fetched for and
	// delivered at once. Others wait, and coalesce.
	maxWorkers = 32
	// maxWaiting bounds the diffs of one topic that wait to be delivered where
	// coalescing is off. Beyond it they coalesce.
	maxWaiting = 128
	// settle is how long a diff waits at least, so that what its cause has to
	// say goes out first: a handler's reply to the push that it tracks in. In
	// Phoenix a task makes the diff, which takes as long.
	settle = 2 * time.Millisecond
)

// outbox makes diffs of a shard's changes and has them delivered: each topic's
// one at a time and in order, at most one each interval. A topic that was quiet
// is served at once.
type outbox struct {
	interval time.Duration // 0: no coalescing
	deliver  func(ctx context.Context, o *outlet, diff Diff)
	wake     chan struct{} // run has something to look at

	mu      sync.Mutex
	diffs   *Diffs
	outlets map[string]*outlet
	ready   []*outlet // in the order in which they became so
	cooling []*outlet // by until
	working int
}

// outlet is the way out of one topic. It is kept while there is something to
// do, or to remember.
type outlet struct {
	topic   string
	busy    bool // ready, being worked on, or cooling
	until   time.Time
	changed bool   // there are changes for it in diffs
	waiting []Diff // where coalescing is off

	shown Presences // what was delivered, for Options.HandleMetas; its worker's
}

func newOutbox(interval time.Duration, deliver func(context.Context, *outlet, Diff)) *outbox {
	return &outbox{
		interval: interval, deliver: deliver, wake: make(chan struct{}, 1),
		diffs: NewDiffs(), outlets: make(map[string]*outlet),
	}
}

// add takes what has changed for those who watch, in the order of the changes.
func (ob *outbox) add(joins, leaves []*Entry) {
	if len(joins)+len(leaves) == 0 {
		return
	}
	ob.mu.Lock()
	defer ob.mu.Unlock()
	ob.diffs.Add(joins, leaves)
	for _, changed := range [][]*Entry{joins, leaves} {
		for topic := range byTopic(changed) {
			ob.change(topic)
		}
	}
}

// change is called with the lock held. Joins and leaves of one topic that were
// added together are one diff: the second call finds nothing.
func (ob *outbox) change(topic string) {
	o := ob.outlets[topic]
	if o == nil {
		o = &outlet{topic: topic}
		ob.outlets[topic] = o
	}
	o.changed = true
	if ob.interval == 0 && len(o.waiting) < maxWaiting {
		if diff, ok := ob.take(o); ok {
			o.waiting = append(o.waiting, diff)
		}
	}
	if !o.busy {
		o.busy = true
		ob.ready = append(ob.ready, o)
		ob.notify()
	}
}

// observe says that the topic's list is handed out; see Diffs.Observe.
func (ob *outbox) observe(topic string) {
	ob.mu.Lock()
	defer ob.mu.Unlock()
	ob.diffs.Observe(topic)
}

func (ob *outbox) notify() {
	select {
	case ob.wake <- struct{}{}:
	default:
	}
}

// run serves the topics until ctx ends, and waits for its workers.
func (ob *outbox) run(ctx context.Context) {
	var workers sync.WaitGroup
	defer workers.Wait()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		start, next := ob.advance(time.Now())
		for range start {
			workers.Go(func() { ob.work(ctx) })
		}
		timer.Reset(next)
		select {
		case <-ctx.Done():
			return
		case <-ob.wake:
		case <-timer.C:
		}
	}
}

// advance lets go of the topics that have cooled down. It returns how many
// workers to start, and when to look again.
func (ob *outbox) advance(now time.Time) (start int, next time.Duration) {
	ob.mu.Lock()
	defer ob.mu.Unlock()
	for len(ob.cooling) > 0 && !now.Before(ob.cooling[0].until) {
		o := ob.cooling[0]
		ob.cooling = ob.cooling[1:]
		ob.rest(o)
	}
	start = min(len(ob.ready), maxWorkers-ob.working)
	ob.working += start
	if len(ob.cooling) > 0 {
		return start, ob.cooling[0].until.Sub(now)
	}
	return start, time.Hour
}

// rest makes an outlet ready again, or idle. It is called with the lock held.
func (ob *outbox) rest(o *outlet) {
	switch {
	case len(o.waiting) > 0 || o.changed:
		ob.ready = append(ob.ready, o)
	case len(o.shown) > 0:
		o.busy = false
	default:
		delete(ob.outlets, o.topic)
	}
}

// work delivers until nothing is ready.
func (ob *outbox) work(ctx context.Context) {
	pause := time.NewTimer(settle)
	defer pause.Stop()
	select {
	case <-pause.C:
	case <-ctx.Done(): // next ends the work
	}
	for {
		o, diff, ok := ob.next(ctx)
		if o == nil {
			return
		}
		if ok {
			ob.deliver(ctx, o, diff)
		}
		ob.done(o)
	}
}

// next takes the first ready topic and its diff, if there is one.
func (ob *outbox) next(ctx context.Context) (*outlet, Diff, bool) {
	ob.mu.Lock()
	defer ob.mu.Unlock()
	if len(ob.ready) == 0 || ctx.Err() != nil {
		ob.working--
		return nil, Diff{}, false
	}
	o := ob.ready[0]
	ob.ready = ob.ready[1:]
	if len(o.waiting) > 0 {
		diff := o.waiting[0]
		o.waiting = o.waiting[1:]
		return o, diff, true
	}
	diff, ok := ob.take(o)
	return o, diff, ok
}

func (ob *outbox) take(o *outlet) (Diff, bool) {
	o.changed = false
	return ob.diffs.Take(o.topic)
}

func (ob *outbox) done(o *outlet) {
	ob.mu.Lock()
	defer ob.mu.Unlock()
	if ob.interval == 0 {
		ob.rest(o)
		return
	}
	o.until = time.Now().Add(ob.interval - settle) // the next work settles again
	ob.cooling = append(ob.cooling, o)
	if len(ob.cooling) == 1 {
		ob.notify()
	}
}
