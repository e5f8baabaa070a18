package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/trunkline/trunkline/test/harness"
)

// A member is a client that is present in topics, and reads past what it is
// told about others. It comes back, on any node, when its connection ends.
type member struct {
	number int
	key    string
	home   int // the node that it goes to first
	crowd  *crowd
	held   atomic.Bool  // it stays away
	next   atomic.Int32 // the node that it is to go to, counted from 1; 0: any

	mu     sync.Mutex
	node   int     // where it is, or was last
	socket *socket // nil while it is away
	topics map[string]*membership
}

// A membership is a topic that the member wants to be in.
type membership struct {
	id      int    // of the meta on the roll; 0 while away
	joinRef string // of the latest join
	joined  bool
	lost    time.Time // when it was last in it
}

// run keeps the member connected until ctx ends.
func (m *member) run(ctx context.Context) {
	for home := m.home; ; home = m.crowd.anyNode() {
		if next := m.next.Swap(0); next > 0 {
			home = int(next) - 1
		}
		m.connection(ctx, m.crowd.cluster.choose(home))
		for ok := true; ok; ok = m.held.Load() {
			if !harness.Pause(ctx, between(retryLeast, memberRetryMost)) {
				return
			}
		}
	}
}

// connection is one connection, from its beginning to its end.
func (m *member) connection(ctx context.Context, node int) {
	s, err := dial(ctx, m.crowd.cluster.nodes[node].Address(), 0)
	if err != nil {
		return // the node is down
	}
	ctx, cancel := context.WithCancel(ctx)
	var beating sync.WaitGroup
	beating.Go(func() { s.keepAlive(ctx) })
	m.mu.Lock()
	m.socket, m.node = s, node
	for topic := range m.topics {
		m.join(ctx, topic)
	}
	m.mu.Unlock()
	err = m.read(ctx, s)
	m.away()
	s.close()
	if ctx.Err() == nil {
		m.crowd.disconnected(m, err)
	}
	cancel()
	beating.Wait()
}

// away strikes what the member showed.
func (m *member) away() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.socket = nil
	for topic, ms := range m.topics {
		m.crowd.roll.strike(topic, ms.id)
		if ms.joined {
			ms.lost = time.Now()
		}
		m.set(ms, false)
		ms.id = 0
	}
}

// enter has the member want to be in a topic.
func (m *member) enter(ctx context.Context, topic string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.topics[topic] != nil {
		return
	}
	m.topics[topic] = &membership{}
	m.crowd.wanted.Add(1)
	if m.socket != nil {
		m.join(ctx, topic)
	}
}

// join is called with the lock held.
func (m *member) join(ctx context.Context, topic string) {
	ms := m.topics[topic]
	ms.id = m.crowd.roll.enter(topic, m.key, m.node)
	// An error ends the connection, and the reading of it says why.
	ms.joinRef, _ = m.socket.push(ctx, topic, "phx_join", object{"key": m.key, "meta": meta{ID: ms.id}.shown()})
}

// leave has the member want to be in a topic no more.
func (m *member) leave(ctx context.Context, topic string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	ms := m.topics[topic]
	if ms == nil {
		return
	}
	delete(m.topics, topic)
	m.crowd.wanted.Add(-1)
	m.crowd.roll.strike(topic, ms.id)
	m.set(ms, false)
	if m.socket != nil {
		_, _ = m.socket.push(ctx, topic, "phx_leave", object{}) // as in join
	}
}

// update gives the member another meta in a topic that it has joined.
func (m *member) update(ctx context.Context, topic string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	ms := m.topics[topic]
	if ms == nil || !ms.joined {
		return
	}
	m.crowd.roll.strike(topic, ms.id)
	ms.id = m.crowd.roll.enter(topic, m.key, m.node)
	_, _ = m.socket.push(ctx, topic, "update", meta{ID: ms.id}.shown()) // as in join
}

// shown is what a meta is on the wire.
func (m meta) shown() object { return object{"id": m.ID} }

// set keeps count of who has joined.
func (m *member) set(ms *membership, joined bool) {
	if ms.joined == joined {
		return
	}
	ms.joined = joined
	if joined {
		m.crowd.onJoin()
	} else {
		m.crowd.joined.Add(-1)
	}
}

// ownMessage is the longest message that is about the member itself.
const ownMessage = 256

// read reads until the connection ends, and returns why.
func (m *member) read(ctx context.Context, s *socket) error {
	head := make([]byte, ownMessage)
	for {
		_, r, err := s.ws.Reader(ctx)
		if err != nil {
			return err
		}
		n, err := io.ReadFull(r, head)
		if err == nil {
			if _, err = io.Copy(io.Discard, r); err != nil {
				return err
			}
			continue
		}
		if !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
			return err
		}
		if !bytes.Contains(head[:n], []byte(`"phx_`)) {
			continue
		}
		if err := m.handle(head[:n]); err != nil {
			return err
		}
	}
}

// handle takes a reply, or the end of a channel.
func (m *member) handle(frame []byte) error {
	got, err := harness.DecodeFrame(frame)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	ms := m.topics[got.Topic]
	if ms == nil || ms.joinRef != got.JoinRef {
		return nil // of a channel that it has left
	}
	if got.Event != "phx_reply" {
		return errRejoin
	}
	var r reply
	if err := json.Unmarshal(got.Payload, &r); err != nil {
		return err
	}
	if r.Status != "ok" {
		m.crowd.complain("%s on %s was answered %s", m.key, got.Topic, got.Payload)
	} else if got.Ref == ms.joinRef {
		m.set(ms, true)
		if !ms.lost.IsZero() {
			m.crowd.returned(got.Topic, m.key, time.Since(ms.lost))
		}
	}
	return nil
}

// move has the member go to another node.
func (m *member) move(node int) {
	m.next.Store(int32(node) + 1)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.socket != nil {
		m.socket.close()
	}
}

// wants are the topics that the member wants to be in.
func (m *member) wants() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Sorted(maps.Keys(m.topics))
}

// back is whether the member is in all topics that it wants to be in.
func (m *member) back() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, ms := range m.topics {
		if !ms.joined {
			return false
		}
	}
	return true
}

// where is the node that the member is on; false while it is away.
func (m *member) where() (int, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.node, m.socket != nil
}
