package realtime

import (
	"context"
	"sync"
	"time"

	"github.com/trunkline/trunkline/internal/sock"
)

// History is the stored messages of durable topics, as the engine meets them.
type History interface {
	// After returns messages of a topic with ids above after, ascending, as many
	// as it sees fit, and the topic's head when it looked. Without any message,
	// there is none up to that head: retention may have deleted what was there.
	After(ctx context.Context, topic string, after int64) (messages []*Broadcast, head int64, err error)
	// AtHead calls f with the id that was delivered last on this node, while no
	// message of the topic is being delivered.
	AtHead(topic string, f func(head int64))
}

// follower is a channel's place in the stream of its durable topic. While it is
// live, messages come from the fan-out; otherwise a goroutine reads them from
// the history as fast as the client takes them. Either way each id goes out
// once and in order.
type follower struct {
	mu   sync.Mutex
	last int64 // the newest id that was sent
	live bool
}

// Follow makes the channel follow the stored messages of its topic, from the
// one after last. Handlers call it in Join; it begins when the join's reply has
// been sent.
func (c *Channel) Follow(last int64) {
	c.follower = &follower{last: last}
	c.socket.durable.Store(true)
}

// Reserve asks for room in the client's queue for a join's reply of n bytes of
// stored messages. Without it they should be left out and follow as events, as
// the client makes room. Join calls it at most once; the room is the reply's.
func (c *Channel) Reserve(n int) bool {
	s := c.socket
	s.reserved.Add(int64(n))
	if s.behind() {
		s.reserved.Add(-int64(n))
		return false
	}
	c.reserved = n
	return true
}

// startFollowing makes the channel live, or lets it catch up first.
func (c *Channel) startFollowing() {
	if !c.goLive() {
		c.startCatchUp()
	}
}

// follow takes a stored message from the fan-out. A client whose queue is half
// full gets it later, from the history.
func (c *Channel) follow(b *Broadcast, batch *sock.Batch) bool {
	f := c.follower
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.live || b.ID <= f.last {
		return false
	}
	if b.ID == f.last+1 && c.offer(b, batch) {
		f.last = b.ID
		return true
	}
	f.live = false
	c.startCatchUp()
	return false
}

// offer hands a stored message to the client or, when it is intercepted, to the
// mailbox; false when it has to wait.
func (c *Channel) offer(b *Broadcast, batch *sock.Batch) bool {
	if c.intercepted(b.Event) {
		return c.enqueue(item{kind: itemOut, event: b.Event, payload: b.Payload}) == nil
	}
	frame, err := b.frame(c.socket.version)
	if err != nil {
		c.Log().Error("stored message not sent", "id", b.ID, "error", err)
		return true // it will not become encodable by waiting
	}
	if c.socket.behind() {
		return false
	}
	return !c.muted.Load() && c.socket.transport.send(frame, batch)
}

// startCatchUp starts the goroutine that reads the history; the engine waits
// for it as for the channel.
func (c *Channel) startCatchUp() {
	c.socket.engine.metrics.catchUps.Inc()
	c.socket.engine.channels.Add(1) // the channel itself is counted still
	go func() {
		defer c.socket.engine.channels.Done()
		c.catchUp()
	}()
}

// Waits of a goroutine that catches up: for room in the client's queue, and
// after an error of the history.
const (
	roomPause    = 5 * time.Millisecond
	roomPauseMax = 100 * time.Millisecond
	readPause    = 100 * time.Millisecond
	readPauseMax = 2 * time.Second
)

// catchUp sends what was stored after the last message sent, until the client
// is at the head, and makes it live there; or until the channel ends.
func (c *Channel) catchUp() {
	ctx, history, f := c.socket.engine.base, c.socket.engine.cfg.History, c.follower
	retry := readPause
	for c.joined.Load() {
		page, head, err := history.After(ctx, c.topic, f.last)
		if err != nil {
			c.Log().Warn("history cannot be read; trying again", "error", err)
			if !pause(ctx, retry) {
				return
			}
			retry = min(2*retry, readPauseMax)
			continue
		}
		retry = readPause
		for _, b := range page {
			if !c.offerPatiently(ctx, b) {
				return
			}
			f.last = b.ID
		}
		if len(page) > 0 {
			continue
		}
		f.last = max(f.last, head)
		if c.goLive() {
			return
		}
	}
}

// offerPatiently waits until the client has room; false when the channel ended.
func (c *Channel) offerPatiently(ctx context.Context, b *Broadcast) bool {
	for wait := roomPause; c.joined.Load(); wait = min(2*wait, roomPauseMax) {
		if c.offer(b, nil) {
			return true
		}
		if !pause(ctx, wait) {
			return false
		}
	}
	return false
}

// goLive joins the fan-out if the client is at its head.
func (c *Channel) goLive() (ok bool) {
	f := c.follower
	c.socket.engine.cfg.History.AtHead(c.topic, func(head int64) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.live = f.last >= head
		ok = f.live
	})
	return ok
}
