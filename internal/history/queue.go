package history

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// maxMisses is how often a topic may be busy before it is waited for.
const maxMisses = 2

// At most spareLines empty lines are kept, of topics that had no more than
// spareMessages: where many topics have a message each, lines come and go with
// every batch.
const (
	spareLines    = 1024
	spareMessages = 64
)

// A pending is a message that a caller waits for to be stored.
type pending struct {
	topic    string
	event    string
	payload  []byte
	key      string
	refersTo int64

	answered chan answer // of capacity 1; the first answer counts

	place  place // guarded by the queue
	unsure bool  // sent before, with an unknown outcome; written under the queue's lock by the batcher
	misses int   // batches in which its topic was busy; guarded by the queue

	topicID int64 // the batcher's, as are the following
	fails   int   // tries in vain

	behind *pending // in the queue's inbox

	// Its place among those who wait for an answer, and until when; guarded by
	// the queue.
	waits        bool
	before, next *pending
	until        time.Time
}

func (p *pending) bytes() int { return len(p.payload) + len(p.event) + len(p.key) + len(p.topic) }

// answer is for who has taken the message out of the list of those who wait. A
// message that may have been stored by an earlier try has no other failure than
// that its outcome is unknown. Afterwards the message is its caller's again.
func (p *pending) answer(id int64, err error) {
	if err != nil && p.unsure && !errors.Is(err, ErrUnknownOutcome) {
		err = fmt.Errorf("%w: %w", ErrUnknownOutcome, err)
	}
	select {
	case p.answered <- answer{id, err}:
	default: // it was answered when its time was over
	}
}

type answer struct {
	id  int64
	err error
}

// place says where a pending message is.
type place int8

const (
	placeQueue place = iota // in the queue, or taken from it but not sent
	placeSent
	placeGone // its caller has left
)

// A queue holds what waits to be stored, in the order of each topic, and shares
// batches out fairly among topics.
type queue struct {
	maxMessages, maxBytes int
	timeout               time.Duration

	wake chan struct{} // something was put
	used sync.Pool     // of *pending whose callers have had their answer

	messages, bytes atomic.Int64 // in the inbox and the lines
	closed          atomic.Bool
	armed           atomic.Bool // a timer will expire who waits

	// inbox is what was put and is in no line yet, the newest first. It has no
	// lock, which hundreds of publishers would wait for at once.
	inbox atomic.Pointer[pending]

	mu          sync.Mutex
	lines       map[string]*line
	order       []*line  // whose turn is next; each line of lines once
	spare       []*line  // empty ones, to be used again
	first, last *pending // who waits for an answer, by the time at which that ends
}

// A line is the messages of one topic.
type line struct {
	topic    string
	messages []*pending
}

// newQueue returns a queue whose messages are answered after the timeout at the
// latest.
func newQueue(maxMessages, maxBytes int, timeout time.Duration) *queue {
	return &queue{
		maxMessages: maxMessages, maxBytes: maxBytes, timeout: timeout,
		wake: make(chan struct{}, 1), lines: map[string]*line{},
	}
}

func (q *queue) load() (messages, bytes int) {
	return int(q.messages.Load()), int(q.bytes.Load())
}

// empty reports whether there is nothing to take; now and then false without
// reason, until the next take.
func (q *queue) empty() bool {
	if q.inbox.Load() != nil {
		return false
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.order) == 0
}

// put adds a message.
func (q *queue) put(p *pending) error {
	q.count(p, 1)
	messages, bytes := q.load()
	switch {
	case q.closed.Load():
		q.count(p, -1)
		return ErrClosed
	case messages > q.maxMessages:
		q.count(p, -1)
		return fmt.Errorf("%w: %d messages are waiting", ErrQueueFull, messages-1)
	case bytes > q.maxBytes:
		q.count(p, -1)
		return fmt.Errorf("%w: %d bytes are waiting", ErrQueueFull, bytes-p.bytes())
	}
	p.until = time.Now().Add(q.timeout)
	for p.behind = q.inbox.Load(); !q.inbox.CompareAndSwap(p.behind, p); {
		p.behind = q.inbox.Load()
	}
	if q.closed.Load() { // perhaps without having seen it
		q.giveUp(p)
		return ErrClosed
	}
	q.arm()
	select {
	case q.wake <- struct{}{}:
	default:
	}
	return nil
}

// collect moves what is in the inbox to the lines. The lock is held.
func (q *queue) collect() {
	var oldest *pending
	for p := q.inbox.Swap(nil); p != nil; {
		next := p.behind
		p.behind = oldest
		oldest, p = p, next
	}
	for p := oldest; p != nil; {
		next := p.behind
		p.behind = nil
		l := q.line(p.topic)
		l.messages = append(l.messages, p)
		q.await(p)
		p = next
	}
}

func (q *queue) line(topic string) *line {
	l := q.lines[topic]
	if l == nil {
		if last := len(q.spare) - 1; last >= 0 {
			l, q.spare = q.spare[last], q.spare[:last]
			l.topic = topic
		} else {
			l = &line{topic: topic}
		}
		q.lines[topic] = l
		q.order = append(q.order, l)
	}
	return l
}

func (q *queue) count(p *pending, sign int) {
	q.messages.Add(int64(sign))
	q.bytes.Add(int64(sign * p.bytes()))
}

// giveUp takes back a message whose caller leaves; false when it was sent, now
// or by an earlier try whose outcome is unknown.
func (q *queue) giveUp(p *pending) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.collect()
	q.unlink(p)
	return q.takeBack(p)
}

// takeBack does so; the lock is held.
func (q *queue) takeBack(p *pending) bool {
	if p.place == placeSent {
		return false
	}
	p.place = placeGone
	if l := q.lines[p.topic]; l != nil {
		if i := slices.Index(l.messages, p); i >= 0 {
			l.messages = slices.Delete(l.messages, i, i+1)
			q.count(p, -1)
			if len(q.order) > 2*int(q.messages.Load())+64 {
				q.tidy()
			}
		}
	}
	return !p.unsure
}

// doubt marks messages that were sent with an unknown outcome.
func (q *queue) doubt(batch []*pending) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, p := range batch {
		p.unsure = true
	}
}

// take takes the next batch: every topic its share, then whatever fits. A topic
// that was busy for long comes alone, to be waited for.
func (q *queue) take(maxMessages, maxBytes int) (batch []*pending, wait bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.collect()
	for _, l := range q.order {
		if len(l.messages) > 0 && l.messages[0].misses >= maxMisses {
			b := batchOf{maxMessages: maxMessages, maxBytes: maxBytes}
			q.move(l, maxMessages, &b)
			q.tidy()
			return b.messages, true
		}
	}
	b := batchOf{maxMessages: maxMessages, maxBytes: maxBytes}
	share := max(1, maxMessages/max(len(q.order), 1))
	served := 0
	for served < len(q.order) && !b.full {
		q.move(q.order[served], share, &b)
		served++
	}
	for i := 0; i < served && !b.full; i++ {
		q.move(q.order[i], maxMessages, &b)
	}
	// Next time those come first who had no share, or have waited longest.
	q.order = slices.Concat(q.order[served:], q.order[:served])
	q.tidy()
	return b.messages, false
}

// batchOf is a batch being made.
type batchOf struct {
	messages    []*pending
	maxMessages int
	maxBytes    int
	bytes       int
	full        bool
}

// move moves up to n of the line's messages into the batch.
func (q *queue) move(l *line, n int, b *batchOf) {
	moved := 0
	for _, p := range l.messages {
		if moved == n {
			break
		}
		if len(b.messages) == b.maxMessages || b.bytes+p.bytes() > b.maxBytes && len(b.messages) > 0 {
			b.full = true
			break
		}
		b.messages = append(b.messages, p)
		b.bytes += p.bytes()
		q.count(p, -1)
		moved++
	}
	clear(l.messages[:moved])
	if moved == len(l.messages) {
		l.messages = l.messages[:0]
	} else {
		l.messages = l.messages[moved:]
	}
}

// tidy forgets the lines that are empty.
func (q *queue) tidy() {
	q.order = slices.DeleteFunc(q.order, func(l *line) bool {
		if len(l.messages) > 0 {
			return false
		}
		delete(q.lines, l.topic)
		if l.topic = ""; len(q.spare) < spareLines && cap(l.messages) <= spareMessages {
			q.spare = append(q.spare, l)
		}
		return true
	})
}

// seal marks messages as sent, and leaves out those whose callers have left.
func (q *queue) seal(batch []*pending) []*pending {
	q.mu.Lock()
	defer q.mu.Unlock()
	out := make([]*pending, 0, len(batch))
	for _, p := range batch {
		if p.place != placeGone {
			p.place = placeSent
			out = append(out, p)
		}
	}
	return out
}

// carry puts messages of a batch that were not stored back to the front, in
// their order. busy tells that their topics were locked.
func (q *queue) carry(batch []*pending, busy bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	carried := map[string][]*pending{}
	var front []*line
	for _, p := range batch {
		if p.place == placeGone {
			continue
		}
		p.place = placeQueue
		if busy {
			p.misses++
		}
		if carried[p.topic] == nil {
			front = append(front, q.line(p.topic))
		}
		carried[p.topic] = append(carried[p.topic], p)
		q.count(p, 1)
	}
	for _, l := range front {
		l.messages = slices.Concat(carried[l.topic], l.messages)
	}
	rest := slices.DeleteFunc(q.order, func(l *line) bool { return carried[l.topic] != nil })
	q.order = slices.Concat(front, rest)
}

// close refuses further messages and returns what waits.
func (q *queue) close() []*pending {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed.Store(true)
	q.collect()
	var left []*pending
	for _, l := range q.order {
		left = append(left, l.messages...)
	}
	for _, p := range left {
		q.unlink(p)
		q.count(p, -1)
	}
	q.lines, q.order = map[string]*line{}, nil
	return left
}
