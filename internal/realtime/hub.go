package realtime

import (
	"hash/maphash"
	"slices"
	"sync"

	"github.com/trunkline/trunkline/internal/sock"
	"github.com/trunkline/trunkline/internal/wire"
)

const (
	hubShards = 64
	// chunkSize bounds the subscribers that are copied at a time, and the topics
	// that whoever broadcasts writes to by itself.
	chunkSize = 256
)

// hub is the table topic -> local subscribers, sharded by topic.
//
// A shard's lock guards its map and the list of chunks of each topic; the list
// is never changed in place, so that a fan-out may walk it after releasing the
// lock. A chunk's lock guards its subscribers. Lock order: shard, then chunk.
type hub struct {
	pool   *sock.Pool // of the subscribers' connections
	seed   maphash.Seed
	shards [hubShards]hubShard
}

type hubShard struct {
	mu     sync.RWMutex
	topics map[string]*hubTopic
}

type hubTopic struct {
	chunks    []*chunk
	open      *chunk          // has room, if any chunk has
	functions []*subscription // never changed in place
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

	// direct is the connection of a member that intercepts nothing: a broadcast
	// to many reads it here rather than go by its channel and its socket, which
	// are not in the processor's cache. nil for other members.
	direct  *sock.Conn
	version wire.Version
	follows bool // stored messages go by the channel
}

func newHub(pool *sock.Pool) *hub {
	h := &hub{pool: pool, seed: maphash.MakeSeed()}
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
	if s.fn != nil {
		t.functions = append(slices.Clip(t.functions), s)
		return
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

// unsubscribe may be called again: nothing happens.
func (h *hub) unsubscribe(s *subscription) {
	shard := h.shard(s.topic)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	t := shard.topics[s.topic]
	switch {
	case s.fn != nil && t != nil:
		if i := slices.Index(t.functions, s); i >= 0 {
			t.functions = slices.Delete(slices.Clone(t.functions), i, i+1)
		}
	case s.chunk != nil:
		t.remove(s)
	}
	if t != nil && len(t.chunks) == 0 && len(t.functions) == 0 {
		delete(shard.topics, s.topic)
	}
}

func (t *hubTopic) remove(s *subscription) {
	c := s.chunk
	c.mu.Lock()
	last := len(c.subs) - 1
	c.subs[last].index = s.index
	c.subs[s.index] = c.subs[last]
	c.subs[last] = nil
	c.subs = c.subs[:last]
	c.mu.Unlock()
	s.chunk = nil
	if last > 0 {
		t.open = c
		return
	}
	t.chunks = slices.DeleteFunc(slices.Clone(t.chunks), func(x *chunk) bool { return x == c })
	if t.open == c {
		t.open = nil
	}
}

// find returns a topic's subscribers of this moment, nil for none. The lists are
// not to be changed.
func (h *hub) find(topic string) (chunks []*chunk, functions []*subscription) {
	shard := h.shard(topic)
	shard.mu.RLock()
	defer shard.mu.RUnlock()
	if t := shard.topics[topic]; t != nil {
		return t.chunks, t.functions
	}
	return nil, nil
}

// copyTo returns the subscribers of this moment, in buf.
func (c *chunk) copyTo(buf *[chunkSize]*subscription) []*subscription {
	c.mu.Lock()
	defer c.mu.Unlock()
	return buf[:copy(buf[:], c.subs)]
}

// each calls f with every local subscriber of a topic but functions.
func (h *hub) each(topic string, f func(*subscription)) {
	chunks, _ := h.find(topic)
	for _, c := range chunks {
		var buf [chunkSize]*subscription
		for _, s := range c.copyTo(&buf) {
			f(s)
		}
	}
}

// count is the number of local subscribers of a topic.
func (h *hub) count(topic string) int {
	chunks, functions := h.find(topic)
	n := len(functions)
	for _, c := range chunks {
		c.mu.Lock()
		n += len(c.subs)
		c.mu.Unlock()
	}
	return n
}
