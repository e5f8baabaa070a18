package pubsub

import (
	"sync"
	"time"
)

const (
	// messageOverhead is what a queued message is charged beside its bytes.
	messageOverhead = 96
	// maxDirectStreams bounds the memory for directly addressed nodes.
	maxDirectStreams = 1024
	// announceFor is how long heartbeats mention a direct stream after its last
	// message; maxAnnounced keeps a heartbeat within one payload.
	announceFor  = 10 * time.Second
	maxAnnounced = 200
)

// A stream numbers the messages of this node that have the same receivers.
// Guarded by the queue.
type stream struct {
	incarnation string // the receiver's; empty for broadcasts
	channel     string
	epoch       uint64
	accepted    uint64 // number of the newest message accepted
	settled     uint64 // number of the newest that left the queue, sent or dropped
	used        time.Time
}

func (s *stream) header(node string, counter uint64) header {
	h := header{stream: streamBroadcast, node: node, epoch: s.epoch, counter: counter}
	if s.incarnation != "" {
		h.stream = streamDirect
	}
	return h
}

// outgoing is a message that waits to be sent.
type outgoing struct {
	stream  *stream
	counter uint64
	kind    byte
	topic   string
	body    []byte
	at      time.Time
}

func (o *outgoing) size() int { return len(o.topic) + len(o.body) + messageOverhead }

// A queue holds what waits for the notifier, in the order of publishing.
type queue struct {
	schema string
	limit  int
	maxAge time.Duration
	drop   func(reason string, messages int)
	wake   chan struct{} // holds one token while there may be something to take

	mu        sync.Mutex
	items     []outgoing
	bytes     int
	away      bool // Postgres is: the newest messages matter most
	closed    bool
	broadcast stream
	direct    map[string]*stream // by incarnation
	epochs    uint64
}

func newQueue(schema string, limit int, maxAge time.Duration, drop func(reason string, messages int)) *queue {
	return &queue{
		schema: schema, limit: limit, maxAge: maxAge, drop: drop,
		wake:      make(chan struct{}, 1),
		away:      true,
		broadcast: stream{channel: broadcastChannel(schema)},
		direct:    make(map[string]*stream),
	}
}

// put appends a message for the node of that incarnation, for all when empty.
func (q *queue) put(now time.Time, incarnation string, kind byte, topic string, body []byte) error {
	message := outgoing{kind: kind, topic: topic, body: body, at: now}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return ErrClosed
	}
	if q.bytes+message.size() > q.limit {
		if !q.away {
			return ErrQueueFull
		}
		n := 0
		for q.bytes+message.size() > q.limit {
			q.pop(now)
			n++
		}
		q.drop(dropQueueFull, n)
	}
	message.stream = &q.broadcast
	if incarnation != "" {
		message.stream = q.directStream(incarnation)
	}
	message.stream.used = now
	message.stream.accepted++
	message.counter = message.stream.accepted
	q.items = append(q.items, message)
	q.bytes += message.size()
	select {
	case q.wake <- struct{}{}:
	default:
	}
	return nil
}

// pop removes the oldest message. Called with the lock held.
func (q *queue) pop(now time.Time) outgoing {
	message := q.items[0]
	q.items[0] = outgoing{}
	if q.items = q.items[1:]; len(q.items) == 0 {
		q.items = nil
	}
	q.bytes -= message.size()
	message.stream.settled = message.counter
	message.stream.used = now
	return message
}

// directStream finds or begins the stream to a node. Called with the lock held.
func (q *queue) directStream(incarnation string) *stream {
	if s := q.direct[incarnation]; s != nil {
		return s
	}
	if len(q.direct) >= maxDirectStreams {
		q.forgetOldest()
	}
	q.epochs++
	s := &stream{incarnation: incarnation, channel: directChannel(q.schema, incarnation), epoch: q.epochs}
	q.direct[incarnation] = s
	return s
}

// forgetOldest drops the direct stream longest unused of those that have
// nothing queued. Its receiver will know the next one by its higher epoch.
func (q *queue) forgetOldest() {
	var oldest *stream
	for _, s := range q.direct {
		if s.settled == s.accepted && (oldest == nil || s.used.Before(oldest.used)) {
			oldest = s
		}
	}
	if oldest != nil {
		delete(q.direct, oldest.incarnation)
	}
}

// take removes messages up to about maxBytes, at least one if there is any,
// dropping those that are too old; and tells how many are left.
func (q *queue) take(now time.Time, maxBytes int) (batch []outgoing, left int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	expired := 0
	for bytes := 0; len(q.items) > 0; {
		next := &q.items[0]
		if now.Sub(next.at) > q.maxAge {
			q.pop(now)
			expired++
			continue
		}
		if bytes += next.size(); bytes > maxBytes && len(batch) > 0 {
			break
		}
		batch = append(batch, q.pop(now))
	}
	if expired > 0 {
		q.drop(dropExpired, expired)
	}
	return batch, len(q.items)
}

// putBack returns a batch that was taken and not sent.
func (q *queue) putBack(batch []outgoing) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i := len(batch) - 1; i >= 0; i-- {
		q.bytes += batch[i].size()
		batch[i].stream.settled = batch[i].counter - 1
	}
	q.items = append(batch, q.items...)
}

// announce returns the numbers for a heartbeat that follows all messages taken.
func (q *queue) announce(now time.Time) heartbeat {
	q.mu.Lock()
	defer q.mu.Unlock()
	h := heartbeat{broadcast: q.broadcast.settled}
	for _, s := range q.direct {
		if now.Sub(s.used) <= announceFor && len(h.direct) < maxAnnounced {
			h.direct = append(h.direct, directCounter{s.incarnation, s.epoch, s.settled})
		}
	}
	return h
}

// setAway tells whether Postgres is away, which decides what a full queue does.
func (q *queue) setAway(away bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.away = away
}

// close refuses further messages; those queued can still be taken.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
}

// load returns what is queued.
func (q *queue) load() (messages, bytes int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.items), q.bytes
}
