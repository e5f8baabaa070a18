package history

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/trunkline/trunkline/internal/dbsqlc"
)

// A History stores the messages of durable topics and delivers them. Make it
// with [New], then [History.Run] it, once. Everything else waits until it runs.
type History struct {
	config      Config
	schema      *dbsqlc.Schema
	patterns    patterns
	backend     backend
	generations *generations
	topics      *topics
	feeds       *feeds
	reader      *reader
	batcher     *batcher
	sweeper     *sweeper
	metrics     *metrics
	relay       *relay
	maintainer  *maintainer
	untold      atomic.Bool   // news that came while there was nobody to be told
	done        chan struct{} // closed when Run has ended
}

// New checks the configuration and registers the metrics; it does not connect.
func New(config Config) (*History, error) {
	config, err := config.withDefaults()
	if err != nil {
		return nil, err
	}
	schema, err := dbsqlc.NewSchema(config.Schema)
	if err != nil {
		return nil, fmt.Errorf("history: %w", err)
	}
	patterns, err := newPatterns(config.Patterns)
	if err != nil {
		return nil, err
	}
	h := &History{config: config, schema: schema, patterns: patterns, metrics: newMetrics()}
	generations := &generations{}
	h.assemble(&pool{conns: config.Pool, schema: schema, count: h.metrics.query, generations: generations}, generations)
	h.relay = &relay{
		url: config.DirectURL, schema: schema, log: config.Logger, count: h.metrics.query,
		deliver: h.drained, missed: h.sweeper.owe, found: func(g int64) { generations.found(g) },
	}
	h.maintainer = &maintainer{
		db: config.Pool, schema: schema, patterns: patterns, width: config.PartitionWidth, keyAge: config.KeyAge,
		log: config.Logger, count: h.metrics.query,
	}
	h.metrics.observe(h)
	if err := h.metrics.register(config.Registerer); err != nil {
		return nil, err
	}
	return h, nil
}

// assemble makes the parts that live in memory.
func (h *History) assemble(backend backend, generations *generations) {
	c := &h.config
	h.backend, h.generations, h.topics, h.done = backend, generations, &topics{}, make(chan struct{})
	h.feeds = newFeeds(c, h.metrics)
	h.reader = newReader(backend, h.topics, c.ReadTimeout)
	h.reader.feeds, h.feeds.reader = h.feeds, h.reader
	h.sweeper = &sweeper{
		backend: backend, generations: generations, feeds: h.feeds, bus: c.Bus,
		interval: c.SweepInterval, timeout: c.ReadTimeout, metrics: h.metrics, log: c.Logger, wake: make(chan struct{}, 1),
	}
	h.feeds.sweep, h.feeds.generation = h.sweeper.request, generations.newest.Load
	generations.changed = h.becomeStale
	h.batcher = &batcher{
		backend: backend, queue: newQueue(c.QueueMessages, c.QueueBytes, c.PublishTimeout), topics: h.topics, timeout: c.PublishTimeout,
		metrics: h.metrics, log: c.Logger, numbered: h.numbered, unsure: h.sweeper.owe,
	}
}

// Run stores, delivers and reads until ctx ends. Then it waits for the batch
// that is being stored, answers everybody who waits, with [ErrClosed] where
// there is nothing else to say, and returns nil when all its goroutines have
// ended. While Postgres is away it keeps trying.
func (h *History) Run(ctx context.Context) error {
	defer close(h.done)
	var workers, parts sync.WaitGroup
	for range max(4, runtime.GOMAXPROCS(0)) {
		workers.Go(h.feeds.work)
	}
	parts.Go(func() { h.registerPatterns(ctx) })
	parts.Go(func() { h.batcher.run(ctx) })
	parts.Go(func() { h.reader.run(ctx) })
	parts.Go(func() { h.sweeper.run(ctx) })
	if h.relay != nil {
		parts.Go(func() { h.relay.run(ctx) })
	}
	parts.Wait()
	h.feeds.queue.close()
	workers.Wait()
	return nil
}

// Maintain makes partitions ahead, drops those that are older than any pattern
// keeps, and deletes idempotency keys that are too old to be repeated. Somebody
// has to call it each minute or so, for all nodes; publishing goes on without.
func (h *History) Maintain(ctx context.Context) error { return h.maintainer.maintain(ctx) }

// Trim deletes, topic by topic, what patterns keep for a shorter time than the
// longest, or beyond their count. Somebody has to call it each ten minutes or
// so, for all nodes.
func (h *History) Trim(ctx context.Context) error { return h.maintainer.trim(ctx) }

// registerPatterns tells the SQL functions the patterns, as soon as Postgres
// answers.
func (h *History) registerPatterns(ctx context.Context) {
	for failing := false; ; failing = true {
		err := h.use(ctx, func(ctx context.Context, db database) error { return db.register(ctx, h.patterns) })
		if err == nil || ctx.Err() != nil {
			return
		}
		if !failing {
			h.config.Logger.WarnContext(ctx, "history: the patterns cannot be registered; trying again", "err", err)
		}
		if !pause(ctx, retryPause) {
			return
		}
	}
}

// use runs statements within the time for reading.
func (h *History) use(ctx context.Context, f func(ctx context.Context, db database) error) error {
	ctx, cancel := context.WithTimeout(ctx, h.config.ReadTimeout)
	defer cancel()
	return readError(h.backend.use(ctx, func(db database, _ int64) error { return f(ctx, db) }))
}

// becomeStale makes all topics be found anew.
func (h *History) becomeStale() {
	h.config.Logger.Warn("history: the database is another one than before, restored or promoted; topics start anew",
		"generation", h.generations.newest.Load())
	for _, f := range h.feeds.list() {
		f.becomeStale()
	}
	h.sweeper.request(0)
}

// Pattern returns the pattern that makes the topic durable, if there is one.
func (h *History) Pattern(topic string) (*Pattern, bool) { return h.patterns.match(topic) }

func (h *History) pattern(topic string) (*Pattern, error) {
	p, ok := h.patterns.match(topic)
	if !ok {
		return nil, fmt.Errorf("%w: %q", ErrNotDurable, topic)
	}
	return p, nil
}

// Follow begins the delivery of a topic's messages on this node. When it
// returns, every message with an id above the topic's head will be delivered,
// until release is called; release may be called more than once.
func (h *History) Follow(ctx context.Context, topic string) (release func(), err error) {
	pattern, err := h.pattern(topic)
	if err != nil {
		return nil, err
	}
	if err := checkText(ErrTopic, topic, 1, maxTopic); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, h.config.ReadTimeout)
	defer cancel()
	f := h.feeds.follow(topic, pattern)
	release = sync.OnceFunc(func() { h.feeds.unfollow(f) })
	select {
	case <-f.started:
		return release, nil
	case <-h.done:
		err = ErrClosed
	case <-ctx.Done():
		err = readError(ctx.Err())
	}
	release()
	return nil, fmt.Errorf("following %q: %w", topic, err)
}

// AtHead calls f with the id that was delivered last, while no message of the
// topic is being delivered. Of a topic that is not followed it is 0. f must not
// block, nor call the History.
func (h *History) AtHead(topic string, f func(head int64)) {
	feed := h.feeds.get(topic)
	if feed == nil {
		f(0)
		return
	}
	feed.turn.Lock()
	defer feed.turn.Unlock()
	f(feed.last.Load())
}

// HandleBus takes a message of another node's history off the bus. It only
// puts it into memory.
func (h *History) HandleBus(topic string, body []byte) {
	if topic == "" { // a sweeper's request
		h.sweeper.request(0)
		return
	}
	f := h.feeds.get(topic)
	if f == nil {
		return
	}
	arrived := f.postSized(len(body)+1, func() {
		n, err := decodeNews(body)
		if err != nil {
			h.metrics.malformed.Inc()
			h.sweeper.request(0)
			return
		}
		f.receive(n)
	})
	if !arrived {
		h.overflow()
	}
}

// Lost tells that messages of the bus may be missing. It does not block.
func (h *History) Lost() { h.sweeper.request(0) }

func (h *History) overflow() {
	h.metrics.overflows.Inc()
	h.sweeper.request(retryPause)
}

// numbered tells this node and the others of messages that were stored.
func (h *History) numbered(topic string, topicID int64, rows []row) {
	if f := h.feeds.get(topic); f != nil {
		size := 1
		for _, r := range rows {
			size += len(r.payload)
		}
		if !f.postSized(size, func() { f.receive(news{topicID: topicID, rows: rows}) }) {
			h.overflow()
		}
	}
	// Postgres would carry the news to this node only, which costs it a third as
	// much as storing them.
	if h.config.Bus.Alone() {
		h.untold.Store(true)
		return
	}
	if h.untold.Swap(false) { // who came may have listened for a moment before it was heard of
		h.sweeper.owe()
	}
	for _, body := range encodeNews(topicID, rows) {
		if h.config.Bus.Publish(KindHistory, topic, body) != nil {
			h.metrics.unannounced.Inc()
			h.sweeper.owe()
			return
		}
	}
}

// drained tells of what the relay stored.
func (h *History) drained(moved []drained) {
	type stream struct {
		topic string
		id    int64
	}
	stored := make(map[stream][]row)
	for _, d := range moved {
		switch {
		case d.ephemeral:
			h.config.Broadcast(d.topic, d.event, d.payload)
		case d.status == statusStored:
			key := stream{d.topic, d.topicID}
			stored[key] = append(stored[key], d.row)
		}
	}
	for s, rows := range stored {
		h.numbered(s.topic, s.id, rows)
	}
}
