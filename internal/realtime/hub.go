package realtime

import (
	"hash/maphash"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
)

const (
	hubShards = 64
	// chunkSize bounds what one goroutine of a fan-out takes at a time.
	chunkSize = 256
)

// hub is the table topic -> local subscribers, sharded by topic.
//
// A shard's lock guards its map and the list of chunks of each topic; the list
// is never changed in place, so that a fan-out may walk it after releasing the
// lock. A chunk's lock guards its subscribers. Lock order: shard, then chunk.
type hub struct {
	seed   maphash.Seed
	shards [hubShards]hubShard
}

type hubShard struct {
	mu     sync.RWMutex
	topics map[string]*hubTopic
}

type hubTopic struct {
	chunks []*chunk
	open   *chunk // has room, if any chunk has
}

type chunk struct {
	mu   sync.Mutex
	subs []*subscription
}

// subscription is one subscriber of one topic. Exactly one of its three
// targets is set: a channel (as a member, or informed), a socket by its id, or
// a function of the application.
type subscription struct {
	topic  string
	chunk  *chunk
	index  int
	member bool // the channel's own topic: frames go straight to the socket

	channel *Channel
	socket  *Socket
	fn      func(*Broadcast)
}

func newHub() *hub {
	h := &hub{seed: maphash.MakeSeed()}
	for i := range h.shards {
		h.shards[i].topics = make(map[string]*hubTopic)
	}
	return h
}

func (h *hub) shard(topic string) *hubShard {
	return &h.shards[maphash.String(h.seed, topic)%hubShards]
}

func (h *hub) subscribe(s *subscription) {
	shard := h.shard(s.topic)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	t := shard.topics[s.topic]
	if t == nil {
		t = &hubTopic{}
		shard.topics[s.topic] = t
	}
	if t.open == nil {
		t.open = &chunk{}
		t.chunks = append(slices.Clip(t.chunks), t.open)
	}
	c := t.open
	c.mu.Lock()
	s.chunk, s.index = c, len(c.subs)
	c.subs = append(c.subs, s)
	if len(c.subs) == chunkSize {
		t.open = nil
	}
	c.mu.Unlock()
}

func (h *hub) unsubscribe(s *subscription) {
	shard := h.shard(s.topic)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	t, c := shard.topics[s.topic], s.chunk
	if c == nil {
		return // not subscribed, or unsubscribed before
	}
	c.mu.Lock()
	last := len(c.subs) - 1
	c.subs[last].index = s.index
	c.subs[s.index] = c.subs[last]
	c.subs[last] = nil
	c.subs = c.subs[:last]
	c.mu.Unlock()
	s.chunk = nil
	switch {
	case last > 0:
		t.open = c
	case len(t.chunks) == 1:
		delete(shard.topics, s.topic)
	default:
		t.chunks = slices.DeleteFunc(slices.Clone(t.chunks), func(x *chunk) bool { return x == c })
		if t.open == c {
			t.open = nil
		}
	}
}

// chunks are a topic's subscribers of this moment; the list is not to be
// changed.
func (h *hub) chunks(topic string) []*chunk {
	shard := h.shard(topic)
	shard.mu.RLock()
	defer shard.mu.RUnlock()
	if t := shard.topics[topic]; t != nil {
		return t.chunks
	}
	return nil
}

// dispatch delivers b to the local subscribers and returns when all have it.
// A fan-out of several chunks is split over the processors.
func (h *hub) dispatch(b *Broadcast) (delivered int) {
	chunks := h.chunks(b.Topic)
	workers := min(runtime.GOMAXPROCS(0), len(chunks))
	if workers <= 1 {
		for _, c := range chunks {
			delivered += c.dispatch(b)
		}
		return delivered
	}
	var next, total atomic.Int64
	work := func() {
		for {
			i := int(next.Add(1)) - 1
			if i >= len(chunks) {
				return
			}
			total.Add(int64(chunks[i].dispatch(b)))
		}
	}
	var wg sync.WaitGroup
	for range workers - 1 {
		wg.Go(work)
	}
	work()
	wg.Wait()
	return int(total.Load())
}

// dispatch copies the subscribers first, so that nothing is written under the
// lock.
func (c *chunk) dispatch(b *Broadcast) (delivered int) {
	var buf [chunkSize]*subscription
	for _, s := range c.copyTo(&buf) {
		if s.deliver(b) {
			delivered++
		}
	}
	return delivered
}

// copyTo returns the subscribers of this moment, in buf.
func (c *chunk) copyTo(buf *[chunkSize]*subscription) []*subscription {
	c.mu.Lock()
	defer c.mu.Unlock()
	return buf[:copy(buf[:], c.subs)]
}

func (s *subscription) deliver(b *Broadcast) bool {
	switch {
	case s.socket != nil:
		if b.Event == "disconnect" {
			s.socket.disconnect()
			return true
		}
		return false
	case s.fn != nil:
		s.fn(b)
		return true
	case s.channel == b.from:
		return false
	case !s.member:
		return s.channel.enqueueBroadcast(item{kind: itemInfo, msg: b})
	case b.ID != 0 && s.channel.follower != nil:
		return s.channel.follow(b)
	case s.channel.intercepted(b.Event):
		return s.channel.enqueueBroadcast(item{kind: itemOut, event: b.Event, payload: b.Payload})
	default:
		f, err := b.frame(s.channel.socket.version)
		return err == nil && s.channel.socket.sendEphemeral(f)
	}
}

// each calls f with every local subscriber of a topic.
func (h *hub) each(topic string, f func(*subscription)) {
	for _, c := range h.chunks(topic) {
		var buf [chunkSize]*subscription
		for _, s := range c.copyTo(&buf) {
			f(s)
		}
	}
}

// count is the number of local subscribers of a topic.
func (h *hub) count(topic string) (n int) {
	h.each(topic, func(*subscription) { n++ })
	return n
}
