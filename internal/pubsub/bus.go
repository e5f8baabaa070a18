package pubsub

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/trunkline/trunkline/internal/dbsqlc"
)

// A Bus carries messages between the nodes of an installation. Make it with
// [New], add handlers, then [Bus.Run] it, once. Publishing is possible from the
// beginning.
type Bus struct {
	config      Config
	schema      *dbsqlc.Schema
	connector   *connector
	node        string
	incarnation string
	queue       *queue
	inbox       *inbox
	health      *health
	metrics     *metrics
	dispatcher  *dispatcher
	started     chan struct{}
}

// New checks the configuration and registers the metrics; it does not connect.
func New(config Config) (*Bus, error) {
	config, err := config.withDefaults()
	if err != nil {
		return nil, err
	}
	schema, err := dbsqlc.NewSchema(config.Schema)
	if err != nil {
		return nil, fmt.Errorf("pubsub: %w", err)
	}
	connector, err := newConnector(config.DirectURL, "trunkline "+config.Node, config.DialTimeout)
	if err != nil {
		return nil, fmt.Errorf("pubsub: %w", err)
	}
	b := &Bus{
		config: config, schema: schema, connector: connector,
		incarnation: newIncarnation(),
		inbox:       newInbox(config.InboxBytes),
		health:      newHealth(config.Silence),
		metrics:     newMetrics(),
		started:     make(chan struct{}),
	}
	b.node = config.Node + "@" + b.incarnation
	b.queue = newQueue(config.Schema, config.QueueBytes, config.MaxAge, b.metrics.drop)
	b.dispatcher = &dispatcher{
		node: b.node, incarnation: b.incarnation,
		inbox: b.inbox, peers: newPeers(), metrics: b.metrics, log: config.Logger,
	}
	b.metrics.observe(b.queue, b.inbox, b.health)
	if err := b.metrics.register(config.Registerer); err != nil {
		return nil, err
	}
	return b, nil
}

// ID returns this node's id, new with each Bus: the node's name, '@' and twelve
// random characters.
func (b *Bus) ID() string { return b.node }

// Handle sets the function for messages of a kind. It is called before Run,
// once for each kind; anything else is a mistake in the program and panics.
// The functions are called by one goroutine, in each sender's order; one that
// is slow delays all. Messages of a kind without a function are ignored.
func (b *Bus) Handle(kind byte, handler func(Message)) {
	if b.dispatcher.handlers[kind] != nil {
		panic(fmt.Sprintf("pubsub: kind %d has a handler already", kind))
	}
	b.dispatcher.handlers[kind] = handler
}

// OnLoss adds a function that is told of missing messages. It is called before
// Run. The functions are called by the goroutine of the handlers, before the
// first message after the gap.
func (b *Bus) OnLoss(f func(Loss)) {
	b.dispatcher.onLoss = append(b.dispatcher.onLoss, f)
}

// OnHandled adds a function that is called each time the functions have been
// called for all messages that came in one payload, and before one of them is
// fetched from Postgres, by the same goroutine. It is called before Run.
func (b *Bus) OnHandled(f func()) {
	b.dispatcher.onHandled = append(b.dispatcher.onHandled, f)
}

// Publish queues a message for all other nodes, and never blocks. The body must
// not be changed afterwards. Delivery is at most once.
//
// It fails with [ErrTooLarge] beyond Config.MaxMessage, with [ErrQueueFull] if
// more is published than Postgres takes, and with [ErrClosed] after Run. While
// Postgres is away it succeeds: the newest messages up to Config.QueueBytes wait
// for up to Config.MaxAge.
func (b *Bus) Publish(kind byte, topic string, body []byte) error {
	return b.publish("", kind, topic, body)
}

// PublishTo queues a message for one node, as [Bus.Publish] does for all. The
// message vanishes if that node has ended. It fails with [ErrBadNode] if node
// is no node's id, and with [ErrSelf] if it is this one's.
func (b *Bus) PublishTo(node string, kind byte, topic string, body []byte) error {
	incarnation, err := incarnationOf(node)
	if err != nil {
		return err
	}
	if incarnation == b.incarnation {
		return ErrSelf
	}
	return b.publish(incarnation, kind, topic, body)
}

func (b *Bus) publish(incarnation string, kind byte, topic string, body []byte) error {
	if err := checkSize(topic, body, b.config.MaxMessage); err != nil {
		return err
	}
	if err := b.queue.put(time.Now(), incarnation, kind, topic, body); err != nil {
		return err
	}
	b.metrics.published.Inc()
	return nil
}

func checkSize(topic string, body []byte, limit int) error {
	if size := len(topic) + len(body); size > limit {
		return fmt.Errorf("%w: %d bytes, the limit is %d", ErrTooLarge, size, limit)
	}
	return nil
}

// Ready returns nil if both connections are there and the node's own heartbeats
// come back, else why not.
func (b *Bus) Ready() error { return b.health.ready(time.Now()) }

// Started is closed when Run listens and its self-test has passed.
func (b *Bus) Started() <-chan struct{} { return b.started }

// Run connects, proves by [SelfTest]'s method that notifications arrive, and
// carries messages until ctx ends; then it sends what is queued, within
// Config.DrainTimeout, and returns nil when all its goroutines have ended.
//
// It fails if Postgres cannot be reached within Config.StartTimeout, and at once
// with [ErrListenDead] if the direct URL leads through a transaction pooler.
// Later failures it mends by itself: see [Bus.Ready].
func (b *Bus) Run(ctx context.Context) error {
	defer b.queue.close()
	l := &listener{
		connector: b.connector,
		channels:  []string{broadcastChannel(b.config.Schema), directChannel(b.config.Schema, b.incarnation)},
		node:      b.node, inbox: b.inbox, health: b.health, metrics: b.metrics, log: b.config.Logger,
		backoff: b.backoff(), dialTimeout: b.config.DialTimeout,
	}
	n := &notifier{
		connector: b.connector, sender: sender{schema: b.schema, queries: dbsqlc.New()},
		node: b.node, queue: b.queue, health: b.health, metrics: b.metrics, log: b.config.Logger,
		backoff: b.backoff(), heartbeat: b.config.Heartbeat,
		flushTimeout: b.config.FlushTimeout, drainTimeout: b.config.DrainTimeout,
	}
	listening, notifying, err := b.start(ctx, l)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	fetcher := &fetcher{
		connector: b.connector, schema: b.schema, queries: dbsqlc.New(),
		timeout: b.config.FetchTimeout,
	}
	defer fetcher.close()
	b.dispatcher.fetcher = fetcher
	b.health.notifying(nil)
	b.health.listening(nil, time.Now())
	b.config.Logger.InfoContext(ctx, "bus: started", "node", b.node, "schema", b.config.Schema)
	close(b.started)

	var parts sync.WaitGroup
	parts.Go(func() { l.run(ctx, listening) })
	parts.Go(func() { n.run(ctx, notifying) })
	parts.Go(func() { b.dispatcher.run(ctx) })
	parts.Go(func() { b.monitor(ctx, l) })
	parts.Wait()
	b.health.listening(errNotRunning, time.Now())
	b.health.notifying(errNotRunning)
	return nil
}

// start opens both connections, trying until the start's time limit.
func (b *Bus) start(ctx context.Context, l *listener) (listening, notifying *connection, err error) {
	ctx, cancel := context.WithTimeout(ctx, b.config.StartTimeout)
	defer cancel()
	b.health.listening(errConnecting, time.Now())
	b.health.notifying(errConnecting)
	wait := b.backoff()
	for {
		listening, notifying, err = b.open(ctx, l)
		if err == nil || errors.Is(err, ErrListenDead) {
			return listening, notifying, err
		}
		b.config.Logger.WarnContext(ctx, "bus: cannot start yet", "node", b.node, "error", err)
		b.health.listening(err, time.Now())
		if !wait.wait(ctx) {
			return nil, nil, fmt.Errorf("bus: not connected to Postgres within %v: %w", b.config.StartTimeout, err)
		}
	}
}

// open opens both connections, tests them and listens.
func (b *Bus) open(ctx context.Context, l *listener) (listening, notifying *connection, err error) {
	if listening, err = b.connector.connect(ctx, "listener"); err != nil {
		return nil, nil, err
	}
	if notifying, err = b.connector.connect(ctx, "notifier"); err == nil {
		if err = selfTest(ctx, listening, notifying); err == nil {
			if err = l.listen(ctx, listening); err == nil {
				return listening, notifying, nil
			}
		}
		notifying.close()
	}
	listening.close()
	return nil, nil, err
}

// monitor replaces a listening connection through which nothing comes.
func (b *Bus) monitor(ctx context.Context, l *listener) {
	tick := time.NewTicker(b.config.Silence / 12)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			if b.health.listenerDead(now) {
				l.end(errSilent)
			}
		}
	}
}

func (b *Bus) backoff() backoff {
	return backoff{least: b.config.MinBackoff, most: b.config.MaxBackoff}
}
