package history

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"
)

// A node is a running History that notes what it delivers.
type node struct {
	*History
	stop func() // ends Run and waits for it; may be called twice

	mu        sync.Mutex
	delivered map[string][]*Message
	resets    []string
}

// start runs a History; make gets the functions that note.
func start(config Config, make func(Config) *History) *node {
	n := &node{delivered: map[string][]*Message{}}
	config.Deliver = func(topic string, messages []*Message) {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.delivered[topic] = append(n.delivered[topic], messages...)
	}
	config.Reset = func(topic string) {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.resets = append(n.resets, topic)
	}
	n.History = make(config)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = n.Run(ctx) }) // always nil
	n.stop = func() {
		cancel()
		running.Wait()
	}
	return n
}

// startFake runs a History on a fake server until the end of the test.
func startFake(t testing.TB, server *fakeServer, config Config) *node {
	n := start(config, func(c Config) *History { return newFake(server, c) })
	t.Cleanup(n.stop)
	return n
}

// ids returns the ids delivered of a topic so far.
func (n *node) ids(topic string) []int64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	var ids []int64
	for _, m := range n.delivered[topic] {
		ids = append(ids, m.ID)
	}
	return ids
}

// follow follows a topic, which has to succeed.
func (n *node) follow(t testing.TB, topic string) (release func()) {
	t.Helper()
	release, err := n.Follow(context.Background(), topic)
	if err != nil {
		t.Fatal(err)
	}
	return release
}

// publish publishes a message, which has to succeed.
func (n *node) publish(t testing.TB, topic, body string) int64 {
	t.Helper()
	id, err := n.Publish(context.Background(), topic, "new_msg", fmt.Appendf(nil, `{"body":%q}`, body), "")
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// waitForHead waits until messages up to an id were delivered.
func (n *node) waitForHead(t testing.TB, topic string, head int64) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		var at int64
		n.AtHead(topic, func(head int64) { at = head })
		if at >= head {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: delivered up to %d, want %d", topic, at, head)
		}
		time.Sleep(time.Millisecond) // there is no event at the head before it is reached
	}
}

// span is the ids from first to last.
func span(first, last int64) []int64 {
	var ids []int64
	for id := first; id <= last; id++ {
		ids = append(ids, id)
	}
	return ids
}

func wantIDs(t testing.TB, what string, got, want []int64) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: ids %v, want %v", what, got, want)
	}
}

func pageIDs(p Page) []int64 {
	var ids []int64
	for _, m := range p.Messages {
		ids = append(ids, m.ID)
	}
	return ids
}

// A lossyBus carries messages between nodes in memory. It delays each by a
// moment of its own, so that they change their order, doubles some and loses
// some.
type lossyBus struct {
	loss float64
	tell bool // of losses

	mu    sync.Mutex
	nodes []*node
	inbox map[*node]chan func()
	ends  []func()
}

// A port is a node's end of a lossyBus.
type port struct {
	bus *lossyBus
	own *node
}

// join connects a node; its port may be used before.
func (b *lossyBus) join(p *port, n *node) {
	inbox, done := make(chan func(), 1<<14), make(chan struct{})
	b.mu.Lock()
	p.bus, p.own = b, n
	if b.inbox == nil {
		b.inbox = map[*node]chan func(){}
	}
	b.nodes = append(b.nodes, n)
	b.inbox[n] = inbox
	b.ends = append(b.ends, func() { close(inbox); <-done })
	b.mu.Unlock()
	go func() { // the bus's dispatcher of that node
		defer close(done)
		var held []func()
		for arrival := range inbox {
			held = append(held, arrival)
			if rand.N(4) > 0 && len(held) < 8 && len(inbox) > 0 {
				continue
			}
			rand.Shuffle(len(held), func(i, j int) { held[i], held[j] = held[j], held[i] })
			for _, arrival := range held {
				arrival()
			}
			held = nil
		}
	}()
}

// close ends the dispatchers. No node may publish any more.
func (b *lossyBus) close() {
	for _, end := range b.ends {
		end()
	}
}

func (p *port) Alone() bool { return false }

func (p *port) Publish(kind byte, topic string, body []byte) error {
	if kind != KindHistory {
		return fmt.Errorf("kind %q", kind)
	}
	if p.bus == nil {
		return nil // not connected yet
	}
	p.bus.mu.Lock()
	defer p.bus.mu.Unlock()
	for _, n := range p.bus.nodes {
		switch {
		case n == p.own:
		case rand.Float64() < p.bus.loss:
			if p.bus.tell {
				p.bus.inbox[n] <- n.Lost
			}
		default:
			for range 1 + rand.N(10)/9 {
				p.bus.inbox[n] <- func() { n.HandleBus(topic, body) }
			}
		}
	}
	return nil
}
