package history

import (
	"sync"
	"sync/atomic"
	"time"
)

const (
	// holePause is how long a missing id is waited for before it is fetched.
	holePause = 25 * time.Millisecond
	// fetchMessages bounds what is fetched at a time.
	fetchMessages = 256
	// heldMessages and heldBytes bound what waits behind a hole; what comes
	// beyond them is fetched later.
	heldMessages = 1024
	heldBytes    = 4 << 20
	// inboxBytes bounds the notifications of a topic that wait for their turn,
	// allInboxBytes those of all. Beyond it they are dropped and fetched later.
	inboxBytes    = 4 << 20
	allInboxBytes = 64 << 20
	// turnArrivals is how many arrivals a feed handles before others get a turn.
	turnArrivals = 16
)

// A feed brings the messages of one topic into order and delivers them. What
// comes for it is put into its inbox, by anybody, and handled in turns by the
// workers of feeds.
type feed struct {
	topic   string
	pattern *Pattern
	feeds   *feeds

	// turn is held while the arrivals are handled, so while a message is
	// delivered, and guards what belongs to the order.
	turn     sync.Mutex
	held     map[int64]row // above last+1
	heldSize int
	known    int64 // the highest id that is said to exist
	urgent   bool  // a hole that nothing on its way will fill
	waiting  bool  // a timer will look at the hole
	fetching bool
	ready    []*Message // to be delivered at the end of the arrival

	// last is the id delivered last. It is written in turns only.
	last atomic.Int64

	// started is closed when last is known.
	started chan struct{}

	// mu guards what follows. Nothing is called with it held.
	mu        sync.Mutex
	ref       topicRef
	stale     bool // the generation has changed: ref and last are void
	begun     bool // started is closed
	ring      ring
	oldest    int64 // when it was last read; 0 if never
	inbox     []func()
	inboxSize int
	queued    bool // it is in the workers' queue
	retired   bool // another feed may have the topic now
	followers int
	used      time.Time
}

func newFeed(feeds *feeds, topic string, pattern *Pattern) *feed {
	return &feed{
		topic: topic, pattern: pattern, feeds: feeds,
		held: map[int64]row{}, started: make(chan struct{}),
		ring: ring{maxMessages: feeds.config.RingMessages, maxBytes: max(feeds.config.RingBytes/16, 1)},
	}
}

// post puts something that is to happen in a turn into the inbox.
func (f *feed) post(arrival func()) { f.postSized(0, arrival) }

// postSized does so if there is room for it.
func (f *feed) postSized(size int, arrival func()) bool {
	f.mu.Lock()
	if size > 0 && (f.inboxSize+size > inboxBytes || f.feeds.inboxBytes.Load() > allInboxBytes) {
		f.mu.Unlock()
		return false
	}
	f.inbox = append(f.inbox, func() {
		arrival()
		if size > 0 {
			f.mu.Lock()
			f.inboxSize -= size
			f.mu.Unlock()
			f.feeds.inboxBytes.Add(-int64(size))
		}
	})
	f.inboxSize += size
	f.feeds.inboxBytes.Add(int64(size))
	wake := !f.queued
	f.queued = true
	f.mu.Unlock()
	if wake {
		f.feeds.queue.put(f)
	}
	return true
}

// takeTurn handles arrivals, and tells whether there are more.
func (f *feed) takeTurn() (more bool) {
	f.turn.Lock()
	defer f.turn.Unlock()
	for range turnArrivals {
		f.mu.Lock()
		if f.retired {
			f.feeds.inboxBytes.Add(-int64(f.inboxSize))
			f.inbox, f.inboxSize = nil, 0
		}
		if len(f.inbox) == 0 {
			f.inbox, f.queued = nil, false
			f.mu.Unlock()
			return false
		}
		arrival := f.inbox[0]
		f.inbox[0] = nil
		f.inbox = f.inbox[1:]
		f.mu.Unlock()
		arrival()
		f.deliver()
		f.lookForHoles()
	}
	return true
}

// state returns what the feed belongs to, and whether that is certain.
func (f *feed) state() (ref topicRef, certain bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ref, f.begun && !f.stale
}

// receive handles news of numbered messages.
func (f *feed) receive(n news) {
	ref, certain := f.state()
	switch {
	case certain && ref.id == 0: // the topic's first message
		f.mu.Lock()
		f.ref.id = n.topicID
		f.mu.Unlock()
		f.feeds.find(f.topic) // for its epoch
	case certain && ref.id != n.topicID:
		f.feeds.sweep(0) // the topic was made anew, or a message is very late
		return
	}
	for _, r := range n.rows {
		f.known = max(f.known, r.id)
		switch {
		case certain && r.id <= f.last.Load():
		case r.isReference():
			f.urgent = true
		case certain && r.id == f.last.Load()+1:
			f.advance(r)
		default:
			f.hold(r)
		}
	}
	f.releaseHeld()
}

// hold keeps a row for when its turn comes, if there is room.
func (f *feed) hold(r row) {
	if _, has := f.held[r.id]; has || len(f.held) >= heldMessages || f.heldSize+len(r.payload) > heldBytes {
		return
	}
	f.held[r.id] = r
	f.heldSize += len(r.payload)
}

func (f *feed) unhold(id int64) {
	f.heldSize -= len(f.held[id].payload)
	delete(f.held, id)
}

// releaseHeld delivers what is next, if it is here.
func (f *feed) releaseHeld() {
	if _, certain := f.state(); !certain {
		return
	}
	for len(f.held) > 0 {
		r, has := f.held[f.last.Load()+1]
		if !has {
			return
		}
		f.unhold(r.id)
		f.advance(r)
	}
}

// advance makes a message ready. All before it were delivered or are gone.
func (f *feed) advance(r row) {
	m := f.feeds.message(f.topic, f.pattern, r)
	f.last.Store(r.id)
	f.mu.Lock()
	before := f.ring.bytes
	f.ring.push(m)
	if r.refersTo != 0 {
		f.ring.edit(r, f.remake)
	}
	grown := f.ring.bytes - before
	f.mu.Unlock()
	f.feeds.grow(grown)
	f.ready = append(f.ready, m)
}

// deliver delivers what is ready, together: it may share writes.
func (f *feed) deliver() {
	if len(f.ready) == 0 {
		return
	}
	ready := f.ready
	f.ready = nil
	f.feeds.metrics.delivered.Add(float64(len(ready)))
	f.feeds.config.Deliver(f.topic, ready)
}

func (f *feed) remake(m *Message, payload []byte, deleted bool) *Message {
	return f.feeds.message(f.topic, f.pattern, m.remade(payload, deleted))
}

// skipTo goes on after ids that do not exist any more.
func (f *feed) skipTo(id int64) {
	f.feeds.metrics.skipped.Add(float64(id - f.last.Load()))
	f.last.Store(id)
	f.mu.Lock()
	before := f.ring.bytes
	f.ring.restart(id)
	grown := f.ring.bytes - before
	f.mu.Unlock()
	f.feeds.grow(grown)
}

// lookForHoles sees to it that a hole is filled.
func (f *feed) lookForHoles() {
	ref, certain := f.state()
	if !certain || f.fetching || f.known <= f.last.Load() {
		return
	}
	if ref.id == 0 {
		f.feeds.sweep(0)
		return
	}
	if f.urgent {
		f.urgent = false
		f.fetch(ref)
		return
	}
	if !f.waiting {
		f.waiting = true
		before := f.last.Load()
		time.AfterFunc(holePause, func() {
			f.post(func() {
				f.waiting = false
				f.urgent = f.urgent || f.last.Load() == before // else the hole is another one
			})
		})
	}
}

// fetch asks for what comes after last.
func (f *feed) fetch(ref topicRef) {
	f.fetching = true
	f.feeds.metrics.fetches.Inc()
	last, known := f.last.Load(), f.known
	f.feeds.reader.hole(reading{topicID: ref.id, after: last, limit: int(min(known-last, fetchMessages))}, func(page rows, err error) {
		f.post(func() { f.fetched(ref, last, known, page, err) })
	})
}

// fetched handles the answer to a fetch, at whose time last was the newest id
// delivered and known the highest heard of.
func (f *feed) fetched(asked topicRef, last, known int64, page rows, err error) {
	f.fetching = false
	ref, certain := f.state()
	switch {
	case err != nil || !certain || ref.id != asked.id || ref.generation != asked.generation:
		f.feeds.sweep(retryPause)
		return
	case !page.exists() || page.head < last:
		f.feeds.find(f.topic) // which finds that the topic's ids start anew
		return
	}
	f.sawOldest(page.oldest)
	covered := page.head // all ids up to it that are not here are gone
	if len(page.rows) > 0 && page.more {
		covered = page.rows[len(page.rows)-1].id
	}
	for _, r := range page.rows {
		if r.id > f.last.Load() {
			if r.id > f.last.Load()+1 {
				f.skipTo(r.id - 1)
			}
			f.advance(r)
		}
	}
	if covered > f.last.Load() {
		f.skipTo(covered)
	}
	f.releaseHeld()
	f.forgetPassed()
	if page.head < known { // somebody told of what does not exist
		f.forgetAbove(page.head)
	}
	f.urgent = page.more && f.known > f.last.Load()
}

// forgetPassed drops what is held although it was delivered otherwise, or is gone.
func (f *feed) forgetPassed() {
	for id := range f.held {
		if id <= f.last.Load() {
			f.unhold(id)
		}
	}
}

func (f *feed) forgetAbove(head int64) {
	for id := range f.held {
		if id > head {
			f.unhold(id)
		}
	}
	f.known = max(head, f.last.Load())
}
