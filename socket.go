package trunkline

import (
	"time"

	"github.com/trunkline/trunkline/internal/realtime"
)

// Socket is what a Channel sees of its connection and its topic. Its methods
// may be called from any goroutine, but for Ref. It stays valid after the
// channel has ended; calls then return ErrNotJoined.
type Socket struct {
	channel *realtime.Channel
	handler *handler
}

// Topic is the topic that was joined.
func (s *Socket) Topic() string { return s.channel.Topic() }

// ID is the id that Connect gave the connection, "" for none.
func (s *Socket) ID() string { return s.channel.Socket().ID() }

// Assigns is what Connect returned, shared by all channels of the connection.
func (s *Socket) Assigns() any { return s.channel.Socket().Assigns() }

// Push sends an event to this channel's client.
func (s *Socket) Push(event string, payload any) error {
	p, err := encode(payload)
	if err != nil {
		return err
	}
	return s.channel.Push(event, p)
}

// Broadcast sends an event to every member of the topic, on all nodes, this
// client included. At most once: it is not stored.
func (s *Socket) Broadcast(event string, payload any) error {
	p, err := encode(payload)
	if err != nil {
		return err
	}
	return s.channel.Broadcast(event, p)
}

// BroadcastFrom is Broadcast to every member but this channel.
func (s *Socket) BroadcastFrom(event string, payload any) error {
	return s.BroadcastFromTo(s.Topic(), event, payload)
}

// BroadcastFromTo is Server.Broadcast to any topic, leaving out this channel's
// own subscriptions.
func (s *Socket) BroadcastFromTo(topic, event string, payload any) error {
	p, err := encode(payload)
	if err != nil {
		return err
	}
	return s.channel.BroadcastFrom(topic, event, p)
}

// Ref returns the ref of the push that HandleIn is handling, to be answered
// later with Reply. It is ErrNoRef when the client sent none. Call it in
// HandleIn only.
func (s *Socket) Ref() (Ref, error) {
	ref, err := s.channel.Ref()
	return Ref{ref}, err
}

// Reply answers a push through its ref, at any time while the channel is
// joined.
func (s *Socket) Reply(ref Ref, reply Reply) error {
	r, err := reply.encode()
	if err != nil {
		return err
	}
	return ref.ref.Reply(r)
}

// Send puts a message into the channel's mailbox, for HandleInfo. It is
// ErrMailboxFull when 1000 messages wait already.
func (s *Socket) Send(msg any) error { return s.channel.Send(msg) }

// SendAfter sends a message after d, unless the timer is stopped or the channel
// has ended by then.
func (s *Socket) SendAfter(d time.Duration, msg any) *time.Timer {
	return s.channel.SendAfter(d, msg)
}

// Subscribe adds another topic, whose broadcasts come to HandleInfo as
// *Message. It ends with the channel.
func (s *Socket) Subscribe(topic string) error { return s.channel.Subscribe(topic) }

// Unsubscribe ends the subscriptions of Subscribe to a topic.
func (s *Socket) Unsubscribe(topic string) { s.channel.Unsubscribe(topic) }
