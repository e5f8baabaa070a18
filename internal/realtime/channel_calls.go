package realtime

import (
	"errors"
	"slices"
	"time"
)

// What handlers call. All but Ref may be called from any goroutine.

// Ref is where the answer to one push goes.
type Ref struct {
	channel *Channel
	ref     []byte
}

// Ref returns the ref of the push that HandleIn is handling, for a later
// Reply. It is ErrNoRef when the client sent none, and outside HandleIn.
func (c *Channel) Ref() (Ref, error) {
	if c.ref == nil {
		return Ref{}, ErrNoRef
	}
	return Ref{channel: c, ref: c.ref}, nil
}

// Reply answers a push; it may be called more than once for a ref.
func (r Ref) Reply(reply Reply) error {
	if r.channel == nil {
		return ErrNoRef
	}
	if !r.channel.joined.Load() {
		return ErrNotJoined
	}
	return r.channel.reply(r.ref, reply)
}

// Push sends an event to this channel's client.
func (c *Channel) Push(event string, p Payload) error {
	if !c.joined.Load() {
		return ErrNotJoined
	}
	f, err := c.socket.version.Push(c.joinRef, c.topic, event, p)
	if err != nil {
		return err
	}
	return c.send(f)
}

// Broadcast sends an event to every subscriber of the channel's topic.
func (c *Channel) Broadcast(event string, p Payload) error {
	if !c.joined.Load() {
		return ErrNotJoined
	}
	return c.socket.engine.Broadcast(c.topic, event, p)
}

// BroadcastFrom sends to every subscriber of topic but this channel.
func (c *Channel) BroadcastFrom(topic, event string, p Payload) error {
	if !c.joined.Load() {
		return ErrNotJoined
	}
	return c.socket.engine.broadcast(&Broadcast{Topic: topic, Event: event, Payload: p, from: c}, true)
}

// Send puts a message into the channel's mailbox, for HandleInfo.
func (c *Channel) Send(msg any) error {
	return c.enqueue(item{kind: itemInfo, msg: msg})
}

// SendAfter sends msg after d, unless the timer is stopped or the channel has
// ended by then. A full mailbox drops it, and logs so.
func (c *Channel) SendAfter(d time.Duration, msg any) *time.Timer {
	return time.AfterFunc(d, func() {
		if err := c.Send(msg); errors.Is(err, ErrMailboxFull) {
			c.Log().Warn("delayed message dropped", "error", err)
		}
	})
}

// Subscribe adds a topic whose broadcasts come to HandleInfo as *Broadcast.
// Subscribing twice delivers twice, as in Phoenix.PubSub.
func (c *Channel) Subscribe(topic string) error {
	c.mu.Lock()
	ending := c.state >= stateEnding
	c.mu.Unlock()
	if ending {
		return ErrNotJoined
	}
	c.subscribe(&subscription{topic: topic, channel: c})
	return nil
}

// Unsubscribe ends all of the channel's extra subscriptions of a topic.
func (c *Channel) Unsubscribe(topic string) {
	c.mu.Lock()
	var gone []*subscription
	c.subs = slices.DeleteFunc(c.subs, func(s *subscription) bool {
		if s.topic != topic || s.member {
			return false
		}
		gone = append(gone, s)
		return true
	})
	c.mu.Unlock()
	for _, s := range gone {
		c.socket.engine.hub.unsubscribe(s)
	}
}
