package pubsub

import (
	"context"
	"log/slog"
	"runtime/debug"
	"time"
)

// A Message is what another node published.
type Message struct {
	Node  string // the sender's id: its name and incarnation, unique to each start
	Kind  byte
	Topic string
	Body  []byte // the handler's to keep
}

// A Loss says that messages of other nodes are missing.
type Loss struct {
	// Node is the sender's id. Empty: the listening connection was replaced,
	// and anything of anybody may be missing. The numbers follow for each
	// sender, as soon as it is heard of again.
	Node string
	// Count is the number of missing messages; 0 where Node is empty.
	Count int
}

// A dispatcher takes arrivals from the inbox, finds what is missing, and calls
// the handlers, all on one goroutine.
type dispatcher struct {
	node        string
	incarnation string
	inbox       *inbox
	peers       *peers
	fetcher     *fetcher
	handlers    [256]func(Message)
	onLoss      []func(Loss)
	onHandled   []func()
	metrics     *metrics
	log         *slog.Logger
}

// run handles arrivals until ctx ends.
func (d *dispatcher) run(ctx context.Context) {
	forget := time.NewTicker(forgetPeerAfter / 8)
	defer forget.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-forget.C:
			d.peers.forgetSilent(time.Now())
		case <-d.inbox.wake:
			for _, a := range d.inbox.take() {
				if ctx.Err() != nil {
					return
				}
				d.handle(ctx, a)
				d.inbox.release(a)
			}
		}
	}
}

func (d *dispatcher) handle(ctx context.Context, a arrival) {
	if a.missed {
		d.tell(ctx, Loss{})
		return
	}
	d.metrics.bytesReceived.Add(float64(len(a.payload)))
	h, content, err := decodeHeader(a.payload)
	if err == nil {
		if h.stream == streamHeartbeat {
			err = d.heartbeat(ctx, h, content, a.at)
		} else {
			err = d.messages(ctx, h, content, a.at)
		}
	}
	if err != nil {
		d.metrics.malformed.Inc()
		d.log.DebugContext(ctx, "bus: unreadable payload", "node", d.node, "bytes", len(a.payload), "error", err)
	}
}

func (d *dispatcher) heartbeat(ctx context.Context, h header, content string, at time.Time) error {
	beat, err := decodeHeartbeat(content)
	if err != nil {
		return err
	}
	p := d.peers.find(h.node, at)
	d.lost(ctx, p, p.announced(beat, d.incarnation))
	return nil
}

func (d *dispatcher) messages(ctx context.Context, h header, content string, at time.Time) error {
	frames, err := decodeFrames(content)
	if err != nil {
		return err
	}
	p := d.peers.find(h.node, at)
	lost, late := p.arrived(h, len(frames))
	if late {
		d.metrics.late.Add(float64(len(frames)))
		return nil
	}
	d.lost(ctx, p, lost)
	for _, f := range frames {
		handler := d.handlers[f.kind]
		if handler == nil {
			continue
		}
		if f.spilled {
			d.handled(ctx) // what came before does not wait for the database
			if f.topic, f.body, err = d.fetcher.fetch(ctx, f.id, at); err != nil {
				d.log.WarnContext(ctx, "bus: a large message could not be fetched", "node", d.node, "from", p.id, "error", err)
				d.lost(ctx, p, 1)
				continue
			}
			d.metrics.bytesReceived.Add(float64(len(f.body)))
		}
		d.metrics.received.Inc()
		d.call(ctx, func() { handler(Message{Node: p.id, Kind: f.kind, Topic: f.topic, Body: f.body}) })
	}
	d.handled(ctx)
	return nil
}

// handled tells that nothing more is at hand.
func (d *dispatcher) handled(ctx context.Context) {
	for _, f := range d.onHandled {
		d.call(ctx, f)
	}
}

// lost counts and tells missing messages, if there are any.
func (d *dispatcher) lost(ctx context.Context, p *peer, count int) {
	if count > 0 {
		d.metrics.lost.Add(float64(count))
		d.log.WarnContext(ctx, "bus: messages are missing", "node", d.node, "from", p.id, "count", count)
		d.tell(ctx, Loss{Node: p.id, Count: count})
	}
}

func (d *dispatcher) tell(ctx context.Context, loss Loss) {
	for _, f := range d.onLoss {
		d.call(ctx, func() { f(loss) })
	}
}

// call runs a function of somebody else's, whose panic ends only this call.
func (d *dispatcher) call(ctx context.Context, f func()) {
	defer func() {
		if cause := recover(); cause != nil {
			d.metrics.panics.Inc()
			d.log.ErrorContext(ctx, "bus: a handler panicked", "node", d.node, "panic", cause, "stack", string(debug.Stack()))
		}
	}()
	f()
}
