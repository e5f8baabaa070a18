package history

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

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
		backend: backend, queue: newQueue(c.QueueMessages, c.QueueBytes), topics: h.topics, timeout: c.PublishTimeout,
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
		parts.Go(func() { h.maintainer.run(ctx) })
	}
	parts.Wait()
	h.feeds.queue.close()
	workers.Wait()
	return nil
}

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

// Publish stores a message and returns its id once it is committed. The payload
// is a JSON object without the key of the id; it must not be changed afterwards.
// Where key is not empty and was used in the topic within Config.KeyAge, nothing
// is published, and the id is the first one's.
//
// Nothing was published when it fails, unless with [ErrUnknownOutcome].
// [ErrQueueFull] and [ErrUnavailable] say that trying again later may succeed.
// The messages that one goroutine publishes to a topic keep their order.
func (h *History) Publish(ctx context.Context, topic, event string, payload []byte, key string) (id int64, err error) {
	pattern, err := h.pattern(topic)
	if err != nil {
		return 0, err
	}
	if err := checkPublish(pattern.IDKey, topic, event, payload, key); err != nil {
		return 0, err
	}
	return h.store(ctx, &pending{topic: topic, event: event, payload: payload, key: key})
}

// Update replaces a message's payload, and returns the id of the event that
// says so. It fails as [History.Publish] does, and with [ErrNotFound].
func (h *History) Update(ctx context.Context, topic string, id int64, payload []byte) (eventID int64, err error) {
	pattern, err := h.pattern(topic)
	if err != nil {
		return 0, err
	}
	if err := checkPayload(pattern.IDKey, payload); err != nil {
		return 0, err
	}
	return h.edit(ctx, &pending{topic: topic, event: EventUpdated, payload: payload, refersTo: id})
}

// Delete takes a message's payload away, and returns the id of the event that
// says so. It fails as [History.Update] does.
func (h *History) Delete(ctx context.Context, topic string, id int64) (eventID int64, err error) {
	if _, err := h.pattern(topic); err != nil {
		return 0, err
	}
	return h.edit(ctx, &pending{topic: topic, event: EventDeleted, payload: []byte("{}"), refersTo: id})
}

func (h *History) edit(ctx context.Context, p *pending) (int64, error) {
	if p.refersTo < 1 {
		return 0, fmt.Errorf("%w: %d in %q", ErrNotFound, p.refersTo, p.topic)
	}
	if err := checkText(ErrTopic, p.topic, 1, maxTopic); err != nil {
		return 0, err
	}
	return h.store(ctx, p)
}

// store queues a message and waits for its id.
func (h *History) store(ctx context.Context, p *pending) (int64, error) {
	p.answered = make(chan answer, 1)
	if err := h.batcher.queue.put(p); err != nil {
		return 0, err
	}
	timeout := time.NewTimer(h.config.PublishTimeout) // cheaper than a context
	defer timeout.Stop()
	var why error
	select {
	case a := <-p.answered:
		return a.id, a.err
	case <-timeout.C:
		why = fmt.Errorf("no answer within %v", h.config.PublishTimeout)
	case <-ctx.Done():
		why = ctx.Err()
	}
	if h.batcher.queue.giveUp(p) {
		return 0, fmt.Errorf("%w: %w", ErrUnavailable, why)
	}
	select {
	case a := <-p.answered:
		return a.id, a.err
	default:
		return 0, fmt.Errorf("%w: %w", ErrUnknownOutcome, why)
	}
}

// PublishTx publishes a message when the transaction commits, as the SQL
// function publish does. It fails as [History.Publish] does; then the
// transaction may have failed with it.
func (h *History) PublishTx(ctx context.Context, tx pgx.Tx, topic, event string, payload []byte, key string) error {
	pattern, err := h.pattern(topic)
	if err != nil {
		return err
	}
	if err := checkPublish(pattern.IDKey, topic, event, payload, key); err != nil {
		return err
	}
	return newStore(h.schema, tx, h.metrics.query).publish(ctx, topic, event, payload, key)
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

// After returns the messages with ids above after, at most limit (1 to 1,000)
// and 1 MiB of payloads, but at least one where there is one. It may be ahead of
// the delivery, and never is behind it. Where Page.Oldest is above after+1,
// messages between are deleted. Of a topic without messages Page.Oldest is 1.
//
// Page.Oldest may be older than the truth if it is not above after+1.
func (h *History) After(ctx context.Context, topic string, after int64, limit int) (Page, error) {
	after, limit = max(after, 0), min(max(limit, 1), maxPageSize)
	return h.read(ctx, topic,
		func(f *feed) (Page, bool) { return f.page(after, limit, pageBytes) },
		func(ctx context.Context, pattern *Pattern, ref topicRef) (Page, error) {
			return h.reader.page(ctx, topic, pattern, ref, after, limit)
		})
}

// Before returns the newest messages with ids below before, ascending, within
// the limits of [History.After].
func (h *History) Before(ctx context.Context, topic string, before int64, limit int) (Page, error) {
	limit = min(max(limit, 1), maxPageSize)
	return h.read(ctx, topic,
		func(*feed) (Page, bool) { return Page{}, false },
		func(ctx context.Context, pattern *Pattern, ref topicRef) (Page, error) {
			return h.reader.before(ctx, topic, pattern, ref, before, limit)
		})
}

// Newest returns the n newest messages, ascending, within the limits of
// [History.After]; with n = 0 none, but the topic's state.
func (h *History) Newest(ctx context.Context, topic string, n int) (Page, error) {
	limit := min(max(n, 1), maxPageSize)
	page, err := h.read(ctx, topic,
		func(f *feed) (Page, bool) { return f.newest(limit, pageBytes) },
		func(ctx context.Context, pattern *Pattern, ref topicRef) (Page, error) {
			return h.reader.before(ctx, topic, pattern, ref, math.MaxInt64, limit)
		})
	if n <= 0 {
		page.More, page.Messages = page.Head >= page.Oldest, nil
	}
	return page, err
}

// read reads from memory, or else from the database.
func (h *History) read(ctx context.Context, topic string, fromMemory func(*feed) (Page, bool),
	fromDatabase func(context.Context, *Pattern, topicRef) (Page, error),
) (Page, error) {
	pattern, err := h.pattern(topic)
	if err != nil {
		return Page{}, err
	}
	if f := h.feeds.get(topic); f != nil {
		if page, ok := fromMemory(f); ok {
			h.metrics.fromRing.Inc()
			return page, nil
		}
	}
	ctx, cancel := context.WithTimeout(ctx, h.config.ReadTimeout)
	defer cancel()
	ref, err := h.ref(ctx, topic)
	if err != nil {
		return Page{}, err
	}
	if ref.id == 0 {
		return Page{Oldest: 1, Epoch: ref.epochString()}, nil
	}
	return fromDatabase(ctx, pattern, ref)
}

// ref returns the stream that a topic's name stands for, of id 0 when there is
// none.
func (h *History) ref(ctx context.Context, topic string) (topicRef, error) {
	if ref, ok := h.topics.get(topic, h.generations.newest.Load()); ok {
		return ref, nil
	}
	type found struct {
		ref topicRef
		err error
	}
	answered := make(chan found, 1)
	h.reader.find(topic, func(ref topicRef, err error) { answered <- found{ref, err} })
	select {
	case <-ctx.Done():
		return topicRef{}, readError(ctx.Err())
	case a := <-answered:
		return a.ref, a.err
	}
}

// Seen notes that a user has read a topic up to an id, and returns how many
// messages are unread, edits and deleted ones not counted; at most 1,000.
func (h *History) Seen(ctx context.Context, topic, user string, id int64) (unread int64, err error) {
	if _, err := h.pattern(topic); err != nil {
		return 0, err
	}
	if err := checkText(ErrUser, user, 1, maxUser); err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, h.config.ReadTimeout)
	defer cancel()
	ref, err := h.ref(ctx, topic)
	if err != nil || ref.id == 0 {
		return 0, err
	}
	err = h.use(ctx, func(ctx context.Context, db database) (err error) {
		unread, err = db.seen(ctx, ref.id, user, id)
		return err
	})
	return unread, err
}

// Unread counts a user's unread messages of each topic as [History.Seen] does,
// with one statement.
func (h *History) Unread(ctx context.Context, user string, topics []string) (unread map[string]int64, err error) {
	err = h.use(ctx, func(ctx context.Context, db database) (err error) {
		unread, err = db.unread(ctx, user, topics)
		return err
	})
	return unread, err
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
