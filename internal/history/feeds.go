package history

import (
	"cmp"
	"container/list"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// feeds are the topics that have followers, or had some a short while ago.
type feeds struct {
	config  *Config
	metrics *metrics
	reader  *reader
	queue   runQueue

	sweep      func(delay time.Duration) // compares all feeds with the database
	generation func() int64              // the newest one of the database

	ringBytes, inboxBytes atomic.Int64

	mu   sync.RWMutex
	all  map[string]*feed
	idle *list.List // of *feed without followers, those left first in front
	spot map[*feed]*list.Element
}

func newFeeds(config *Config, metrics *metrics) *feeds {
	fs := &feeds{
		config: config, metrics: metrics,
		all: map[string]*feed{}, idle: list.New(), spot: map[*feed]*list.Element{},
	}
	fs.queue.init()
	return fs
}

// get returns the feed of a topic, or nil.
func (fs *feeds) get(topic string) *feed {
	fs.mu.RLock()
	defer fs.mu.RUnlock()
	return fs.all[topic]
}

func (fs *feeds) len() int {
	fs.mu.RLock()
	defer fs.mu.RUnlock()
	return len(fs.all)
}

// list returns all feeds.
func (fs *feeds) list() []*feed {
	fs.mu.RLock()
	defer fs.mu.RUnlock()
	out := make([]*feed, 0, len(fs.all))
	for _, f := range fs.all {
		out = append(out, f)
	}
	return out
}

// follow returns the topic's feed and adds a follower to it. It begins to exist
// if it did not: messages are collected from now on, and its head is asked for.
func (fs *feeds) follow(topic string, pattern *Pattern) *feed {
	fs.mu.Lock()
	f, found := fs.all[topic]
	if !found {
		f = newFeed(fs, topic, pattern)
		fs.all[topic] = f
	}
	if e := fs.spot[f]; e != nil {
		fs.idle.Remove(e)
		delete(fs.spot, f)
	}
	f.followers++
	fs.mu.Unlock()
	if !found {
		fs.find(topic)
	}
	return f
}

// unfollow takes a follower away. The feed that has been idle for longest is
// dropped when there are too many.
func (fs *feeds) unfollow(f *feed) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	f.followers--
	if f.followers > 0 {
		return
	}
	fs.spot[f] = fs.idle.PushBack(f)
	fs.dropIdle(func() bool { return fs.idle.Len() > fs.config.IdleFeeds })
}

// dropIdle drops the feeds that have been idle for longest, as long as there are
// too many. Those that are just delivering are left for the next time. fs.mu is
// held.
func (fs *feeds) dropIdle(tooMany func() bool) {
	for e := fs.idle.Front(); e != nil && tooMany(); {
		f, next := e.Value.(*feed), e.Next()
		if freed, ok := f.retire(); ok {
			fs.idle.Remove(e)
			delete(fs.spot, f)
			delete(fs.all, f.topic)
			fs.ringBytes.Add(-int64(freed))
		}
		e = next
	}
}

// find asks for the topic's row, and tells the feed.
func (fs *feeds) find(topic string) {
	fs.reader.find(topic, func(_ topicRef, err error) {
		if err != nil {
			fs.sweep(retryPause) // which asks for all that are not found
		}
	})
}

// message makes a message of a row.
func (fs *feeds) message(topic string, pattern *Pattern, r row) *Message {
	m := r.message(pattern.IDKey)
	m.Shared = fs.config.Prepare(topic, m)
	return m
}

// grow counts the memory of rings, and empties rings that were not read for
// long when it is too much.
func (fs *feeds) grow(bytes int) {
	if bytes == 0 || fs.ringBytes.Add(int64(bytes)) <= int64(fs.config.RingBytes) || bytes < 0 {
		return
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	enough := int64(fs.config.RingBytes) * 9 / 10
	fs.dropIdle(func() bool { return fs.ringBytes.Load() > enough })
	if fs.ringBytes.Load() <= enough {
		return
	}
	type use struct {
		feed *feed
		at   time.Time
	}
	uses := make([]use, 0, len(fs.all))
	for _, f := range fs.all {
		uses = append(uses, use{f, f.lastUse()})
	}
	slices.SortFunc(uses, func(a, b use) int { return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.feed.topic, b.feed.topic)) })
	for _, u := range uses {
		if fs.ringBytes.Load() <= enough {
			return
		}
		fs.ringBytes.Add(-int64(u.feed.emptyRing()))
	}
}

// work takes turns of feeds until the queue is closed and empty.
func (fs *feeds) work() {
	for {
		f := fs.queue.take()
		if f == nil {
			return
		}
		if f.takeTurn() {
			fs.queue.put(f)
		}
	}
}

// A runQueue holds the feeds that have something in their inbox, each once, so
// that it needs no other bound.
type runQueue struct {
	mu     sync.Mutex
	filled sync.Cond
	feeds  []*feed
	closed bool
}

func (q *runQueue) init() { q.filled.L = &q.mu }

func (q *runQueue) put(f *feed) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.feeds = append(q.feeds, f)
	q.filled.Signal()
}

// take waits for a feed; nil when the queue is closed and empty.
func (q *runQueue) take() *feed {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.feeds) == 0 {
		if q.closed {
			return nil
		}
		q.filled.Wait()
	}
	f := q.feeds[0]
	q.feeds[0] = nil
	q.feeds = q.feeds[1:]
	return f
}

func (q *runQueue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.filled.Broadcast()
}
