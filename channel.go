package trunkline

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/trunkline/trunkline/internal/realtime"
)

// Channel is the application's side of one joined topic: one value for each
// join. Its methods, and those of the optional interfaces below, never run at
// the same time. The context ends when the node stops, or 5 s after the
// connection was lost.
type Channel interface {
	// Join decides on a client's join. The value is the reply (nil is {}).
	// Reject refuses; any other error crashes the join, and the client sees
	// {"reason": "join crashed"}. Nothing can be pushed or broadcast to the
	// topic before Join has returned: send a message to HandleInfo with
	// Socket.Send for what is to be done right after.
	Join(ctx context.Context, s *Socket, params Payload) (any, error)
}

// HandleIner handles the client's pushes. The reply goes out even when an error
// ends the channel: return OK(v), Normal to answer and stop. Without HandleIn a
// push crashes the channel, as in Phoenix.
type HandleIner interface {
	HandleIn(ctx context.Context, s *Socket, event string, p Payload) (Reply, error)
}

// HandleOuter intercepts broadcasts of the channel's topic. Intercepts is asked
// once, after Join; each of its events goes to HandleOut instead of to the
// client, which HandleOut may push it to.
type HandleOuter interface {
	Intercepts() []string
	HandleOut(ctx context.Context, s *Socket, event string, p Payload) error
}

// HandleInfoer handles messages sent with Socket.Send, and *Message values of
// topics that the channel subscribed to. Without it they are logged and dropped.
type HandleInfoer interface {
	HandleInfo(ctx context.Context, s *Socket, msg any) error
}

// Terminator is told, once, that a joined channel ends, and why: Left, Closed,
// Draining and so on, the error that a handler returned, or a *PanicError. It
// has 5 s.
type Terminator interface {
	Terminate(ctx context.Context, s *Socket, reason error)
}

// PanicError is the reason of a channel whose handler panicked.
type PanicError struct {
	Value any
	Stack []byte
}

func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }

// Message is a broadcast that reached a subscription of Socket.Subscribe or
// Server.Subscribe.
type Message struct {
	Topic   string
	Event   string
	Payload Payload
}

// handler adapts a Channel to the engine.
type handler struct {
	srv     *Server
	channel Channel
	socket  Socket

	// Of a durable topic only.
	durable *HistoryOptions
	release func() // of the topic's feed

	// Of a channel that was tracked only.
	trackOnce sync.Once
	tracked   atomic.Pointer[Tracked]
}

func (h *handler) Join(ctx context.Context, c *realtime.Channel, params realtime.Payload) (realtime.Payload, error) {
	h.socket.channel, h.socket.handler = c, h
	if h.durable = h.srv.durableTopic(c.Topic()); h.durable != nil {
		return h.joinDurable(ctx, c, Payload{params})
	}
	reply, err := h.channel.Join(ctx, &h.socket, Payload{params})
	if err == nil {
		err = h.claim(c, Payload{params})
	}
	if err != nil {
		return realtime.Payload{}, rejected(err)
	}
	return encode(reply)
}

func (h *handler) HandleIn(ctx context.Context, c *realtime.Channel, event string, p realtime.Payload) (realtime.Reply, error) {
	reply, err := h.handleIn(ctx, c, event, Payload{p})
	r, encodeErr := reply.encode()
	if encodeErr != nil {
		return realtime.Reply{}, fmt.Errorf("reply to %q: %w", event, encodeErr)
	}
	return r, err
}

func (h *handler) handleIn(ctx context.Context, c *realtime.Channel, event string, p Payload) (Reply, error) {
	if h.durable != nil {
		switch event {
		case "history":
			return h.pageHistory(ctx, p), nil
		case "seen":
			return h.markSeen(ctx, p), nil
		}
		rest, key, err := takeKey(p)
		if err != nil {
			return failReason("%v", err), nil
		}
		if key != "" {
			p, ctx = rest, WithKey(ctx, key)
		}
	}
	in, ok := h.channel.(HandleIner)
	if !ok {
		return NoReply, fmt.Errorf("push of event %q: %T has no HandleIn", event, h.channel)
	}
	reply, err := in.HandleIn(ctx, &h.socket, event, p)
	if reply.job == nil || err != nil {
		return reply, err
	}
	key, err := keyOfPush(ctx, p)
	if err != nil {
		return failReason("%v", err), nil
	}
	return h.offload(ctx, c, reply.job, key)
}

func (h *handler) HandleOut(ctx context.Context, _ *realtime.Channel, event string, p realtime.Payload) error {
	return h.channel.(HandleOuter).HandleOut(ctx, &h.socket, event, Payload{p})
}

func (h *handler) HandleInfo(ctx context.Context, c *realtime.Channel, msg any) error {
	if answer, ok := msg.(*jobReply); ok {
		return h.socket.Push("job_reply", answer)
	}
	in, ok := h.channel.(HandleInfoer)
	if !ok {
		c.Log().Warn("message dropped: the channel has no HandleInfo", "type", fmt.Sprintf("%T", msg))
		return nil
	}
	if b, ok := msg.(*realtime.Broadcast); ok {
		msg = message(b)
	}
	return in.HandleInfo(ctx, &h.socket, msg)
}

func (h *handler) Terminate(ctx context.Context, _ *realtime.Channel, reason error) {
	t, ok := h.channel.(Terminator)
	if !ok {
		return
	}
	var p *realtime.PanicError
	if errors.As(reason, &p) {
		reason = &PanicError{Value: p.Value, Stack: p.Stack}
	}
	t.Terminate(ctx, &h.socket, reason)
}

func (h *handler) Ended() {
	if j := h.srv.jobs.Load(); j != nil {
		j.Left(h.socket.channel)
	}
	if t := h.tracked.Load(); t != nil {
		t.Close()
	}
	if h.release != nil {
		h.release()
	}
}

func (h *handler) Intercepts() []string {
	if o, ok := h.channel.(HandleOuter); ok {
		return o.Intercepts()
	}
	return nil
}

func message(b *realtime.Broadcast) *Message {
	return &Message{Topic: b.Topic, Event: b.Event, Payload: Payload{b.Payload}}
}
