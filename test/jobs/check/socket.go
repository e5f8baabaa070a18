package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/trunkline/trunkline/test/harness"
)

const (
	dialTimeout    = 10 * time.Second
	writeTimeout   = 10 * time.Second
	joinTimeout    = 10 * time.Second
	heartbeatEvery = 20 * time.Second
)

type object = map[string]any

type message = harness.Message

// A socket is one connection of a user.
type socket struct {
	user *user
	ws   *websocket.Conn
	// event takes what is no answer; may be nil.
	event func(m message, at time.Time)

	working sync.WaitGroup
	ended   chan struct{} // closed when the connection has ended

	mu       sync.Mutex
	lastRef  int
	joinRefs map[string]string // by topic
	pushes   map[string]*push  // by ref
}

// dial connects. Close it at the end.
func dial(ctx context.Context, address string, u *user, event func(message, time.Time)) (*socket, error) {
	dialing, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	ws, _, err := websocket.Dial(dialing, "ws://"+address+"/socket/websocket?vsn=2.0.0&user="+u.name, nil)
	if err != nil {
		return nil, err
	}
	ws.SetReadLimit(-1)
	s := &socket{
		user: u, ws: ws, event: event, ended: make(chan struct{}), joinRefs: map[string]string{}, pushes: map[string]*push{},
	}
	beating, stop := context.WithCancel(ctx)
	s.working.Go(func() { s.keepAlive(beating) })
	s.working.Go(func() {
		defer close(s.ended)
		defer stop()
		s.read(ctx)
	})
	return s, nil
}

func (s *socket) read(ctx context.Context) {
	for {
		_, frame, err := s.ws.Read(ctx)
		if err != nil {
			return
		}
		m, err := harness.DecodeFrame(frame)
		if err != nil {
			s.user.stray(string(frame))
			continue
		}
		s.handle(m, time.Now())
	}
}

func (s *socket) handle(m message, at time.Time) {
	switch {
	case m.Event == eventReply && m.Topic == "phoenix":
	case m.Event == eventReply:
		s.mu.Lock()
		p := s.pushes[m.Ref]
		s.mu.Unlock()
		var in harness.Reply
		if err := json.Unmarshal(m.Payload, &in); err != nil || p == nil {
			s.user.stray(fmt.Sprintf("%s %s %s", m.Event, m.Ref, m.Payload))
			return
		}
		p.take(answer{at, eventReply, in.Status, in.Response})
	case m.Event == eventJobReply:
		s.user.takeEvent(m.Payload, at)
	case s.event != nil:
		s.event(m, at)
	}
}

// send sends a message that wants an answer. An error ends the connection.
func (s *socket) send(ctx context.Context, topic string, p *push, payload any) error {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lastRef++
	ref := strconv.Itoa(s.lastRef)
	if p.event == "phx_join" {
		s.joinRefs[topic] = ref
	}
	s.pushes[ref] = p
	frame, err := harness.EncodeFrame(s.joinRefs[topic], ref, topic, p.event, payload)
	if err != nil {
		return err
	}
	p.sent = time.Now()
	if err := s.ws.Write(ctx, websocket.MessageText, frame); err != nil {
		_ = s.ws.CloseNow() // it may have ended
		return fmt.Errorf("%s: %w", s.user.name, err)
	}
	return nil
}

func newPush(event, key string) *push {
	return &push{event: event, key: key, first: make(chan struct{})}
}

// ask pushes something that a job answers. A key in the payload is the push's.
func (s *socket) ask(ctx context.Context, topic, event string, payload object) (*push, error) {
	key, _ := payload["key"].(string)
	p := newPush(event, key)
	p.acknowledged, _ = payload["acknowledge"].(bool)
	s.user.asked(p)
	return p, s.send(ctx, topic, p, payload)
}

// join joins a topic, and returns when that was answered.
func (s *socket) join(ctx context.Context, topic string, params object) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	p := newPush("phx_join", "")
	if err := s.send(ctx, topic, p, params); err != nil {
		return time.Time{}, err
	}
	a, err := p.await(ctx)
	switch {
	case err != nil:
		return time.Time{}, err
	case a.status != "ok":
		return time.Time{}, fmt.Errorf("join of %s: %s", topic, a)
	}
	return a.at, nil
}

// keepAlive sends heartbeats until ctx ends.
func (s *socket) keepAlive(ctx context.Context) {
	for harness.Pause(ctx, heartbeatEvery) {
		if s.send(ctx, "phoenix", newPush("heartbeat", ""), object{}) != nil {
			return
		}
	}
}

// close ends the connection as a network does, without a close frame.
func (s *socket) close() {
	_ = s.ws.CloseNow() // it may have ended
	s.working.Wait()
}
