package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/trunkline/trunkline/test/harness"
	"github.com/trunkline/trunkline/test/history/verify"
)

// Waits of a client before it tries again, as a client that wants to be back
// soon would have them.
const (
	retryLeast = 100 * time.Millisecond
	retryMost  = time.Second
	// maxJoinFailures on one connection, and the client tries another node.
	maxJoinFailures = 3
)

// A subscriber is a client that follows several topics over one connection,
// and joins again, on any node, whatever happens to it.
type subscriber struct {
	name    string
	cluster *cluster
	streams map[string]*stream
	gate    gate
	counts  *counts

	mu   sync.Mutex
	conn *client // nil between two connections
}

func newSubscriber(number int, c *cluster, topics []string, counts *counts) *subscriber {
	s := &subscriber{name: fmt.Sprintf("subscriber %d", number), cluster: c, streams: map[string]*stream{}, counts: counts}
	for _, topic := range topics {
		s.streams[topic] = &stream{
			replayEvents: number%4 == 0,
			delivered:    &counts.delivered,
			record:       verify.Stream{Subscriber: s.name, Topic: topic},
		}
	}
	return s
}

// run keeps the subscriber connected until ctx ends.
func (s *subscriber) run(ctx context.Context) {
	for connections := 0; ; connections++ {
		if connections > 0 {
			s.counts.reconnects.Add(1)
		}
		s.connection(ctx)
		if !harness.Pause(ctx, between(retryLeast, retryMost)) {
			return
		}
	}
}

// connection is one connection, from its beginning to its end.
func (s *subscriber) connection(ctx context.Context) {
	failures := 0 // of joins; callbacks run one at a time
	var c *client
	var join func(topic string) error
	// failed has the topic joined again.
	failed := func(topic string) error {
		if failures++; failures > maxJoinFailures {
			return fmt.Errorf("%d joins failed", failures)
		}
		c.later(between(retryLeast, retryMost), func() error { return join(topic) })
		return nil
	}
	join = func(topic string) error {
		stream := s.streams[topic]
		return c.push(topic, "phx_join", stream.joinParams(), func(r reply) error {
			if r.Status != "ok" {
				s.counts.joinErrors.Add(1)
				return failed(topic)
			}
			stream.onJoin(r.Response)
			return nil
		})
	}
	c, err := dial(ctx, s.cluster.anyAddress(), s.cluster.token, &s.gate, func(m message) error {
		stream, ok := s.streams[m.Topic]
		switch {
		case !ok:
			return nil
		case m.Event == "phx_error" || m.Event == "phx_close":
			return failed(m.Topic)
		case durable[m.Event]:
			stream.onEvent(m.Event, m.Payload)
		}
		return nil
	})
	if err != nil {
		return // the node is down
	}
	s.set(c)
	defer s.set(nil)
	for topic := range s.streams {
		c.later(0, func() error { return join(topic) })
	}
	if err := c.run(); errors.Is(err, errNoReply) {
		s.counts.timeouts.Add(1)
	}
}

func (s *subscriber) set(c *client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conn = c
}

// cut ends the connection as a network does, without a close frame.
func (s *subscriber) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn != nil {
		_ = s.conn.ws.CloseNow() // it may have ended
	}
}

// behind is whether it has not got as far as these heads.
func (s *subscriber) behind(heads map[string]int64) bool {
	for topic, stream := range s.streams {
		if stream.at() < heads[topic] {
			return true
		}
	}
	return false
}
