package realtime

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/trunkline/trunkline/internal/sock"
	"github.com/trunkline/trunkline/internal/wire"
)

// Close codes of RFC 6455 that this package sends.
const (
	closeNormal         = 1000
	closeGoingAway      = 1001
	closeInvalidPayload = 1007
	closeInternalError  = 1011
	closeServiceRestart = 1012
)

// transport is a socket's connection: a WebSocket or a long-polling session.
// None of its methods blocks.
type transport interface {
	// send queues a frame; false when the connection takes no more. It may wait
	// until batch is written, nil if it is not to wait.
	send(f *wire.Frame, batch *sock.Batch) bool
	// sendOnce sends a frame that nobody else gets, and reports whether it was
	// kept: if not, its memory may be used again.
	sendOnce(f *wire.Frame) (kept bool)
	// waiting is how many bytes wait for the client to take them.
	waiting() int
	// close ends the connection with a close code, after what is queued.
	close(code int)
	// abort cuts the connection.
	abort()
}

// Socket is one client connection: it owns the table topic -> channel.
type Socket struct {
	engine    *Engine
	mount     *Mount
	version   wire.Version
	id        string
	assigns   any
	transport transport
	idSub     *subscription
	onJoin    func(*Channel) // called with each channel before its join starts; may be nil

	inbound atomic.Int64 // bytes of pushes that wait in mailboxes
	durable atomic.Bool  // has joined a durable topic

	reserved atomic.Int64 // bytes of joins' replies that are about to be sent

	mu       sync.Mutex
	closed   bool
	channels []*Channel // at most MaxChannels: a short list beats a map
}

// ID is the socket's id, "" when it cannot be addressed.
func (s *Socket) ID() string { return s.id }

// Assigns is what the application's Connect returned.
func (s *Socket) Assigns() any { return s.assigns }

// handleFrame works on one frame of the client. An error is a frame that
// cannot be decoded, which ends the connection.
func (s *Socket) handleFrame(data []byte, binary bool) error {
	s.engine.metrics.framesIn.Inc()
	var e wire.Envelope
	if err := s.version.Decode(data, binary, &e); err != nil {
		return err
	}
	switch {
	case e.TopicOdd:
		s.oddTopic(&e)
	case string(e.Topic) == "phoenix" && string(e.Event) == "heartbeat":
		s.reply(nil, e.Ref, "phoenix", Reply{Status: "ok", Response: EmptyObject})
	case string(e.Event) == "phx_join" && !e.EventOdd:
		s.join(&e)
	case string(e.Event) == "phx_leave" && !e.EventOdd:
		s.leave(&e)
	default:
		s.push(&e, len(data))
	}
	return nil
}

// oddTopic answers a frame whose topic is no string: it matches nothing.
func (s *Socket) oddTopic(e *wire.Envelope) {
	r := unmatchedTopic
	var joinRef []byte
	if string(e.Event) == "phx_leave" && !e.EventOdd {
		r, joinRef = Reply{Status: "ok", Response: EmptyObject}, e.JoinRef
	}
	f, err := s.version.ReplyOddTopic(joinRef, e.Ref, e.Topic, r.Status, r.Response)
	if err != nil {
		s.engine.log.Error("reply not sent", "socket_id", s.id, "error", err)
		return
	}
	s.send(f)
}

func (s *Socket) join(e *wire.Envelope) {
	topic := string(e.Topic)
	route := s.mount.route(topic)
	if route == nil {
		s.unmatched(e.Ref, topic)
		return
	}
	own := e.Clone()
	c := &Channel{socket: s, topic: topic, joinRef: own.JoinRef, handler: route.New()}

	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return
	}
	i := s.index(topic)
	if i < 0 && len(s.channels) >= s.mount.opts.MaxChannels {
		s.mu.Unlock()
		s.reply(e.JoinRef, e.Ref, topic, Reply{Status: "error", Response: Payload{Data: []byte(`{"reason":"too many channels joined"}`)}})
		return
	}
	if i < 0 {
		s.channels = append(s.channels, c)
	} else {
		c.prev = s.channels[i]
		s.channels[i] = c
	}
	s.engine.channelStarted()
	s.mu.Unlock()

	if s.onJoin != nil {
		s.onJoin(c)
	}
	if c.prev != nil {
		c.prev.replace()
	}
	// A new channel's mailbox is empty, so this cannot fail.
	_ = c.enqueue(item{kind: itemJoin, ref: own.Ref, payload: own.Payload})
}

func (s *Socket) leave(e *wire.Envelope) {
	c := s.find(e.Topic)
	switch {
	case c == nil:
		s.reply(e.JoinRef, e.Ref, string(e.Topic), Reply{Status: "ok", Response: EmptyObject})
	case e.JoinRef != nil && !bytes.Equal(e.JoinRef, c.joinRef):
		// of an earlier join: ignored
	default:
		c.finish(item{kind: itemLeave, ref: bytes.Clone(e.Ref)})
	}
}

func (s *Socket) push(e *wire.Envelope, size int) {
	c := s.find(e.Topic)
	if c == nil {
		s.unmatched(e.Ref, string(e.Topic))
		return
	}
	if e.JoinRef != nil && !bytes.Equal(e.JoinRef, c.joinRef) {
		return // of an earlier join: dropped, as in Phoenix 1.8
	}
	if total := s.inbound.Add(int64(size)); total > int64(s.engine.cfg.InboundBytes) && total > int64(size) {
		s.inbound.Add(-int64(size))
		s.overloaded(c, e, fmt.Sprintf(`{"reason":"too many bytes waiting","limit":%d}`, s.engine.cfg.InboundBytes))
		return
	}
	own := e.Clone()
	err := c.enqueue(item{kind: itemIn, ref: own.Ref, event: string(own.Event), payload: own.Payload, size: size})
	if err != nil {
		s.inbound.Add(-int64(size))
	}
	if errors.Is(err, ErrMailboxFull) {
		s.overloaded(c, e, fmt.Sprintf(`{"reason":"too many messages waiting","limit":%d}`, s.engine.cfg.MailboxSize))
	}
}

// overloaded refuses a push whose channel is too far behind.
func (s *Socket) overloaded(c *Channel, e *wire.Envelope, response string) {
	s.engine.metrics.mailboxFull.Inc()
	s.reply(c.joinRef, e.Ref, c.topic, Reply{Status: "error", Response: Payload{Data: []byte(response)}})
}

var unmatchedTopic = Reply{Status: "error", Response: Payload{Data: []byte(`{"reason":"unmatched topic"}`)}}

func (s *Socket) unmatched(ref []byte, topic string) {
	s.reply(nil, ref, topic, unmatchedTopic)
}

// afterEnd answers what was pushed while a join was running that then failed.
func (s *Socket) afterEnd(it *item, c *Channel) {
	switch it.kind {
	case itemIn:
		s.unmatched(it.ref, c.topic)
	case itemLeave:
		s.reply(c.joinRef, it.ref, c.topic, Reply{Status: "ok", Response: EmptyObject})
	}
}

func (s *Socket) reply(joinRef, ref []byte, topic string, r Reply) {
	if err := s.trySendReply(joinRef, ref, topic, r); err != nil {
		s.engine.log.Error("reply not sent", "socket_id", s.id, "error", err)
	}
}

func (s *Socket) trySendReply(joinRef, ref []byte, topic string, r Reply) error {
	spare := s.engine.spareFrames.take()
	f, err := s.version.ReplyIn(spare, joinRef, ref, topic, r.Status, r.Response)
	if err != nil {
		s.engine.spareFrames.put(spare)
		return err
	}
	if !s.transport.sendOnce(f) {
		s.engine.spareFrames.put(f)
	}
	return nil
}

// control sends phx_close or phx_error.
func (s *Socket) control(joinRef []byte, topic, event string, p Payload) {
	f, err := s.version.Control(joinRef, joinRef, topic, event, p)
	if err != nil {
		s.engine.log.Error("control frame not sent", "socket_id", s.id, "event", event, "error", err)
		return
	}
	s.send(f)
}

func (s *Socket) send(f *wire.Frame) { s.transport.send(f, nil) }

// sendEphemeral sends a broadcast that is not stored. A client that is behind on
// a durable topic does without it rather than lose its connection.
func (s *Socket) sendEphemeral(f *wire.Frame, batch *sock.Batch) bool {
	if s.durable.Load() && s.behind() {
		s.engine.metrics.ephemeral.Inc()
		return false
	}
	return s.transport.send(f, batch)
}

// behind reports whether the client's queue is half full, or about to be.
func (s *Socket) behind() bool {
	return s.transport.waiting()+int(s.reserved.Load()) > s.engine.cfg.Sock.QueueBytes/2
}

// index is the place of a topic's channel, -1 for none; s.mu is held.
func (s *Socket) index(topic string) int {
	return slices.IndexFunc(s.channels, func(c *Channel) bool { return c.topic == topic })
}

func (s *Socket) find(topic []byte) *Channel {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.channels {
		if c.topic == string(topic) {
			return c
		}
	}
	return nil
}

// remove takes an ended channel out, unless another join has its place.
func (s *Socket) remove(c *Channel) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := slices.Index(s.channels, c); i >= 0 {
		s.channels = slices.Delete(s.channels, i, i+1)
	}
}

// disconnect ends the connection for a "disconnect" broadcast on its id.
func (s *Socket) disconnect() { s.transport.close(closeGoingAway) }

// terminate ends every channel of a connection that is gone.
func (s *Socket) terminate(reason error) {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return
	}
	s.closed = true
	channels := slices.Clone(s.channels)
	s.mu.Unlock()
	if s.idSub != nil {
		s.engine.hub.unsubscribe(s.idSub)
	}
	for _, c := range channels {
		c.finish(item{kind: itemClose, msg: reason})
	}
	s.engine.removeSocket(s)
}

func (s *Socket) hasChannels() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.channels) > 0
}
