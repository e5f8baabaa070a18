package realtime

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/trunkline/trunkline/internal/sock"
	"github.com/trunkline/trunkline/internal/worker"
)

// Engine owns the sockets of one node. Make it with NewEngine; Run keeps it
// going and ends it.
type Engine struct {
	cfg     Config
	log     *slog.Logger
	hub     *hub
	pool    *sock.Pool
	metrics *metrics
	polls   *longPolls
	remote  *sock.Batch // of HandleBus

	base     context.Context // of every handler
	stop     context.CancelCauseFunc
	draining atomic.Bool
	channels sync.WaitGroup
	workers  sync.WaitGroup
	runs     *worker.Pool[*Channel]
	items    items

	spareFrames spareFrames

	mu      sync.Mutex
	sockets map[*Socket]struct{}
}

// NewEngine returns an engine that accepts connections.
func NewEngine(cfg Config) *Engine {
	cfg = cfg.withDefaults()
	base, stop := context.WithCancelCause(context.Background())
	e := &Engine{
		cfg:     cfg,
		log:     cfg.Logger,
		base:    base,
		stop:    stop,
		sockets: make(map[*Socket]struct{}),
	}
	e.runs = worker.New(&e.workers, (*Channel).run)
	sockCfg := cfg.Sock
	sockCfg.Logger = cfg.Logger
	e.pool = sock.NewPool(sockCfg)
	e.hub = newHub(e.pool)
	e.remote = e.pool.NewBatch()
	e.polls = newLongPolls(e)
	e.metrics = newMetrics(cfg.Registerer, e)
	return e
}

// Broadcast sends an event to every subscriber of topic in the cluster: to those
// of this node it goes before anything that is sent after Broadcast returned, to
// the others at most once, soon after. It is an error of the caller when the
// payload cannot be encoded for some subscriber; the others get it then.
func (e *Engine) Broadcast(topic, event string, p Payload) error {
	return e.broadcast(&Broadcast{Topic: topic, Event: event, Payload: p}, true)
}

// LocalBroadcast is Broadcast on this node only.
func (e *Engine) LocalBroadcast(topic, event string, p Payload) error {
	return e.broadcast(&Broadcast{Topic: topic, Event: event, Payload: p}, false)
}

// LocalWrite is LocalBroadcast that returns when the event has been written, to
// clients that take it: for who is not to be faster than that. Where another
// broadcast to the same client is being handed out, its write is not waited for.
func (e *Engine) LocalWrite(topic, event string, p Payload) error {
	var written sync.WaitGroup
	defer written.Wait()
	return e.broadcastHere(&Broadcast{Topic: topic, Event: event, Payload: p}, &written)
}

// DirectBroadcast is Broadcast on one node only, named by its id. An unknown
// node is silence.
func (e *Engine) DirectBroadcast(node, topic, event string, p Payload) error {
	switch {
	case e.cfg.Bus == nil || node == e.cfg.Bus.Node():
		return e.LocalBroadcast(topic, event, p)
	default:
		return e.cfg.Bus.PublishTo(node, KindBroadcast, topic, BroadcastBody(event, p))
	}
}

// dispatch is that of the hub, counted.
func (e *Engine) dispatch(b *Broadcast, few *sock.Batch, written *sync.WaitGroup) {
	e.metrics.deliveries.Add(float64(e.hub.dispatch(b, few, written)))
}

func (e *Engine) broadcastHere(b *Broadcast, written *sync.WaitGroup) error {
	e.metrics.broadcasts.Inc()
	e.dispatch(b, nil, written)
	return b.err()
}

func (e *Engine) broadcast(b *Broadcast, cluster bool) error {
	err := e.broadcastHere(b, nil)
	if cluster && e.cfg.Bus != nil {
		if busErr := e.cfg.Bus.Publish(KindBroadcast, b.Topic, BroadcastBody(b.Event, b.Payload)); busErr != nil {
			err = errors.Join(err, fmt.Errorf("broadcast %q on %q to other nodes: %w", b.Event, b.Topic, busErr))
		}
	}
	return err
}

// Deliver hands stored messages of a topic to this node's subscribers. It must
// be called with each id of a topic once, in order and one call at a time. What
// is given to it together may go to a client in one write.
func (e *Engine) Deliver(messages []*Broadcast) {
	var few *sock.Batch
	if len(messages) > 1 {
		few = e.pool.NewBatch()
		defer few.Flush()
	}
	for _, b := range messages {
		e.dispatch(b, few, nil)
		if err := b.err(); err != nil {
			e.log.Warn("a stored message did not reach every subscriber", "id", b.ID, "error", err)
		}
	}
}

// Reset crashes this node's channels of a topic whose stored messages are no
// longer those that the clients know: they rejoin, and are told.
func (e *Engine) Reset(topic string) {
	e.hub.each(topic, func(s *subscription) {
		if s.member {
			s.channel.finish(item{kind: itemClose, msg: ErrHistoryReset})
		}
	})
}

// HandleBus delivers a KindBroadcast message of another node. It may be written
// only in FlushBus; both are called by one goroutine.
func (e *Engine) HandleBus(topic string, body []byte) {
	b, err := parseBroadcast(topic, body)
	if err != nil {
		e.log.Error("bus message dropped", "error", err)
		return
	}
	e.dispatch(b, e.remote, nil)
	if err := b.err(); err != nil {
		e.log.Warn("a broadcast of another node did not reach every subscriber", "error", err)
	}
}

// FlushBus writes what HandleBus has left to be written, so that messages that
// came together go to a client in one write.
func (e *Engine) FlushBus() {
	e.remote.Flush()
	e.remote = e.pool.NewBatch()
}

// Disconnect closes every connection of the cluster with this socket id.
func (e *Engine) Disconnect(id string) error {
	return e.Broadcast(id, "disconnect", EmptyObject)
}

// Subscribe calls f with each broadcast of a topic that reaches this node, on
// the broadcaster's goroutine: f must not block. cancel ends it.
func (e *Engine) Subscribe(topic string, f func(*Broadcast)) (cancel func()) {
	s := &subscription{topic: topic, fn: f}
	e.hub.subscribe(s)
	return func() { e.hub.unsubscribe(s) }
}

// Subscribers is how many subscribers a topic has on this node.
func (e *Engine) Subscribers(topic string) int { return e.hub.count(topic) }

// addSocket subscribes a connected socket to its id and registers it.
func (e *Engine) addSocket(s *Socket) error {
	if s.id != "" {
		s.idSub = &subscription{topic: s.id, socket: s}
		e.hub.subscribe(s.idSub)
	}
	e.mu.Lock()
	draining := e.draining.Load()
	if !draining {
		e.sockets[s] = struct{}{}
	}
	e.mu.Unlock()
	if draining {
		if s.idSub != nil {
			e.hub.unsubscribe(s.idSub)
		}
		return ErrStopped
	}
	return nil
}

func (e *Engine) removeSocket(s *Socket) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.sockets, s)
}

func (e *Engine) channelStarted() {
	e.channels.Add(1)
	e.metrics.channels.Inc()
}

func (e *Engine) channelEnded() {
	e.metrics.channels.Dec()
	e.channels.Done()
}

// Draining reports whether the node has begun to stop.
func (e *Engine) Draining() bool { return e.draining.Load() }
