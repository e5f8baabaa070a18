package presence_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trunkline/trunkline/internal/presence"
)

// network is a bus in memory, in the time of a synctest bubble. It delays and
// loses messages, keeps the order of each sender, and tells of losses as the
// real one does: before the next message of the sender. A node that is cut off
// hears nothing, and notices after 3 s.
type network struct {
	t    *testing.T
	rand *rand.Rand

	mu              sync.Mutex
	nodes           map[string]*node
	loss            float64
	spacing         time.Duration // of the messages to one node
	messages, bytes int           // sent
}

type node struct {
	id      string
	name    string
	net     *network
	tracker *presence.Tracker
	stop    context.CancelFunc
	ended   chan struct{}
	arrival chan struct{}

	// Guarded by network.mu.
	queue   []packet
	missing map[string]bool // senders of lost messages
	cutAt   time.Time       // zero while connected
	last    time.Time       // when the last packet of the queue arrives

	mu      sync.Mutex
	clients map[string][]*client // by topic
	told    []told
}

// told is one diff that a node gave to its subscribers.
type told struct {
	at    time.Time
	topic string
	diff  *presence.PresenceDiff
}

type packet struct {
	from string
	body []byte
	at   time.Time
}

// simulate runs a test in virtual time, and ends its nodes.
func simulate(t *testing.T, test func(t *testing.T, n *network)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := &network{t: t, rand: rand.New(rand.NewPCG(1, 2)), nodes: make(map[string]*node)}
		defer func() {
			for _, id := range slices.Sorted(maps.Keys(n.nodes)) {
				n.nodes[id].shutDown()
			}
		}()
		test(t, n)
	})
}

// start starts a node; set changes its configuration.
func (n *network) start(id string, set ...func(*presence.Config)) *node {
	n.t.Helper()
	nd := &node{
		id: id, net: n, ended: make(chan struct{}), arrival: make(chan struct{}, 1),
		missing: make(map[string]bool), clients: make(map[string][]*client),
	}
	config := presence.Config{Bus: nd, Ready: nd.ready, Deliver: nd.deliver}
	for _, s := range set {
		s(&config)
	}
	var err error
	if nd.tracker, err = presence.New(config); err != nil {
		n.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	nd.stop = cancel
	n.mu.Lock()
	n.nodes[id] = nd
	n.mu.Unlock()
	var running sync.WaitGroup
	running.Go(func() {
		if err := nd.tracker.Run(ctx); err != nil {
			n.t.Errorf("node %s: Run: %v", id, err)
		}
	})
	running.Go(func() { nd.receive(ctx) })
	go func() { running.Wait(); close(nd.ended) }()
	return nd
}

// startAll starts nodes and waits until they know each other.
func (n *network) startAll(count int, set ...func(*presence.Config)) []*node {
	n.t.Helper()
	var nodes []*node
	for i := range count {
		nodes = append(nodes, n.start(string(rune('a'+i)), set...))
	}
	time.Sleep(time.Second)
	return nodes
}

// shutDown ends a node gracefully, kill as kill -9 does.
func (nd *node) shutDown() {
	nd.stop()
	<-nd.ended
	nd.net.mu.Lock()
	defer nd.net.mu.Unlock()
	if nd.net.nodes[nd.id] == nd {
		delete(nd.net.nodes, nd.id)
	}
}

func (nd *node) kill() {
	nd.cut()
	nd.shutDown()
}

func (nd *node) cut() {
	nd.net.mu.Lock()
	defer nd.net.mu.Unlock()
	nd.cutAt = time.Now()
	nd.queue = nil
}

// heal connects the node again. Its bus says that anything may be missing.
func (nd *node) heal() {
	nd.net.mu.Lock()
	nd.cutAt = time.Time{}
	nd.net.mu.Unlock()
	nd.tracker.Lost()
}

func (nd *node) ready() error {
	nd.net.mu.Lock()
	defer nd.net.mu.Unlock()
	if !nd.cutAt.IsZero() && time.Since(nd.cutAt) > 3*time.Second {
		return errors.New("nothing comes back")
	}
	return nil
}

// Node, Publish and PublishTo are presence.Bus.
func (nd *node) Node() string { return nd.id }

func (nd *node) Publish(kind byte, topic string, body []byte) error {
	nd.net.mu.Lock()
	defer nd.net.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(nd.net.nodes)) {
		nd.net.send(nd, nd.net.nodes[id], kind, body)
	}
	return nil
}

func (nd *node) PublishTo(id string, kind byte, topic string, body []byte) error {
	nd.net.mu.Lock()
	defer nd.net.mu.Unlock()
	nd.net.send(nd, nd.net.nodes[id], kind, body)
	return nil
}

func (n *network) send(from, to *node, kind byte, body []byte) {
	if kind != presence.KindPresence {
		n.t.Errorf("message of kind %q", kind)
	}
	if len(body) > 1<<20 {
		n.t.Errorf("message of %d bytes", len(body))
	}
	if to == nil || to == from || !from.cutAt.IsZero() || !to.cutAt.IsZero() {
		return
	}
	n.messages++
	n.bytes += len(body)
	if n.rand.Float64() < n.loss {
		to.missing[from.id] = true
		return
	}
	at := time.Now().Add(time.Duration(1+n.rand.IntN(20)) * time.Millisecond)
	if next := to.last.Add(n.spacing); n.spacing > 0 && at.Before(next) {
		at = next
	}
	to.last = at
	to.queue = append(to.queue, packet{from.id, body, at})
	select {
	case to.arrival <- struct{}{}:
	default:
	}
}

// lose sets which part of the messages is lost from now on.
func (n *network) lose(part float64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.loss = part
}

// traffic is what was sent, once for each receiver.
func (n *network) traffic() (messages, bytes int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.messages, n.bytes
}

// receive is the bus's dispatcher.
func (nd *node) receive(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-nd.arrival:
		}
		for {
			nd.net.mu.Lock()
			if len(nd.queue) == 0 {
				nd.net.mu.Unlock()
				break
			}
			p := nd.queue[0]
			nd.queue = nd.queue[1:]
			lost := nd.missing[p.from]
			delete(nd.missing, p.from)
			nd.net.mu.Unlock()
			time.Sleep(time.Until(p.at))
			if lost {
				nd.tracker.Lost()
			}
			nd.tracker.HandleBus(p.from, p.body)
		}
	}
}

func (nd *node) deliver(topic string, diff *presence.PresenceDiff) {
	nd.mu.Lock()
	defer nd.mu.Unlock()
	nd.told = append(nd.told, told{time.Now(), topic, diff})
	frame, err := json.Marshal(diff)
	if err != nil {
		nd.net.t.Errorf("diff: %v", err)
	}
	for _, c := range nd.clients[topic] {
		c.onDiff(frame)
	}
}

// forget starts a new record of diffs; log returns it as "+key" and "-key".
func (nd *node) forget() {
	nd.mu.Lock()
	defer nd.mu.Unlock()
	nd.told = nil
}

func (nd *node) diffs(topic string) []told {
	nd.mu.Lock()
	defer nd.mu.Unlock()
	var of []told
	for _, d := range nd.told {
		if d.topic == topic {
			of = append(of, d)
		}
	}
	return of
}

func (nd *node) log(topic string) string {
	var diffs []string
	for _, d := range nd.diffs(topic) {
		var changes []string
		for _, key := range slices.Sorted(maps.Keys(d.diff.Joins)) {
			changes = append(changes, "+"+key)
		}
		for _, key := range slices.Sorted(maps.Keys(d.diff.Leaves)) {
			changes = append(changes, "-"+key)
		}
		diffs = append(diffs, strings.Join(changes, ""))
	}
	return strings.Join(diffs, " ")
}

func (nd *node) keys(topic string) string {
	return strings.Join(slices.Sorted(maps.Keys(nd.tracker.List(context.Background(), topic))), " ")
}

func (nd *node) track(topic, key string) presence.Owner {
	nd.net.t.Helper()
	owner := nd.tracker.NewOwner()
	if _, err := nd.tracker.Track(owner, topic, key, json.RawMessage(`{}`)); err != nil {
		nd.net.t.Fatal(err)
	}
	return owner
}

func wantKeys(t *testing.T, topic, want string, nodes ...*node) {
	t.Helper()
	for _, nd := range nodes {
		if got := nd.keys(topic); got != want {
			t.Errorf("node %s lists %q in %s, want %q", nd.id, got, topic, want)
		}
	}
}

func wantLog(t *testing.T, topic, want string, nodes ...*node) {
	t.Helper()
	for _, nd := range nodes {
		if got := nd.log(topic); got != want {
			t.Errorf("node %s told %q in %s, want %q", nd.id, got, topic, want)
		}
	}
}

// within waits until the condition holds, for so long at most, and returns how
// long it took.
func within(t *testing.T, limit time.Duration, what string, holds func() bool) time.Duration {
	t.Helper()
	begin := time.Now()
	for !holds() {
		if time.Since(begin) >= limit {
			t.Fatalf("%s: not within %v", what, limit)
		}
		time.Sleep(limit / 100)
	}
	return time.Since(begin)
}

func users(from, to int) []string {
	var keys []string
	for i := from; i < to; i++ {
		keys = append(keys, fmt.Sprintf("u%d", i))
	}
	return keys
}
