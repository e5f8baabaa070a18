package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/trunkline/trunkline/test/harness"
)

const (
	dialTimeout    = 10 * time.Second
	writeTimeout   = 10 * time.Second
	heartbeatEvery = 25 * time.Second

	// retryLeast and retryMost are a client's waits before it connects again.
	// Members come back over a longer time, lest a third of them all come at
	// once.
	retryLeast      = 200 * time.Millisecond
	retryMost       = 500 * time.Millisecond
	memberRetryMost = 2 * time.Second
)

// errRejoin is a channel that the server has ended: the client starts anew.
var errRejoin = errors.New("a channel has ended")

// A socket is one connection of a Phoenix client.
type socket struct {
	ws *websocket.Conn

	mu       sync.Mutex
	lastRef  int
	joinRefs map[string]string // by topic
}

// dial connects. The first ref is the one after lastRef: in phoenix.js, too, no
// two connections of a client share one.
func dial(ctx context.Context, address string, lastRef int) (*socket, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	ws, _, err := websocket.Dial(ctx, "ws://"+address+"/crowd/websocket?vsn=2.0.0", nil)
	if err != nil {
		return nil, err
	}
	ws.SetReadLimit(-1)
	return &socket{ws: ws, lastRef: lastRef, joinRefs: map[string]string{}}, nil
}

// push sends a message and returns its ref. An error ends the connection.
func (s *socket) push(ctx context.Context, topic, event string, payload any) (ref string, err error) {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lastRef++
	ref = strconv.Itoa(s.lastRef)
	if event == "phx_join" {
		s.joinRefs[topic] = ref
	}
	frame, err := harness.EncodeFrame(s.joinRefs[topic], ref, topic, event, payload)
	if err != nil {
		return "", err
	}
	if err := s.ws.Write(ctx, websocket.MessageText, frame); err != nil {
		s.close()
		return "", err
	}
	return ref, nil
}

// last is the latest ref.
func (s *socket) last() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lastRef
}

// joinRef is that of the topic's latest join.
func (s *socket) joinRef(topic string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.joinRefs[topic]
}

// keepAlive sends heartbeats until ctx ends.
func (s *socket) keepAlive(ctx context.Context) {
	for harness.Pause(ctx, between(heartbeatEvery/2, heartbeatEvery)) {
		if _, err := s.push(ctx, "phoenix", "heartbeat", object{}); err != nil {
			return
		}
	}
}

// close ends the connection as a network does, without a close frame.
func (s *socket) close() { _ = s.ws.CloseNow() } // it may have ended

// between is a random duration.
func between(least, most time.Duration) time.Duration { return least + rand.N(most-least) }
