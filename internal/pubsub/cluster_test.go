package pubsub

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// patience is how long a test waits for what should happen at once.
const patience = 20 * time.Second

// A node is a running bus and what it received.
type node struct {
	*Bus
	stop func() // ends Run and waits for it

	mu       sync.Mutex
	changed  chan struct{} // closed and replaced at each event
	messages []Message
	losses   []Loss
}

const testKind = 7

// start runs a bus until the test ends.
func start(t testing.TB, config Config) *node {
	t.Helper()
	n := prepare(t, config)
	n.run(t)
	return n
}

// prepare makes a bus that records what it is told.
func prepare(t testing.TB, config Config) *node {
	t.Helper()
	if config.Logger == nil {
		config.Logger = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	bus, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	n := &node{Bus: bus, changed: make(chan struct{})}
	bus.Handle(testKind, func(m Message) {
		n.record(func() { n.messages = append(n.messages, m) })
	})
	bus.OnLoss(func(l Loss) {
		n.record(func() { n.losses = append(n.losses, l) })
	})
	return n
}

// run starts a prepared bus, and waits until it carries messages.
func (n *node) run(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	n.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(n.stop)
	select {
	case <-n.Started():
	case err := <-ended:
		ended <- nil
		t.Fatalf("Run: %v", err)
	case <-time.After(patience):
		t.Fatalf("not started: %v", n.Ready())
	}
}

func (n *node) record(f func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	f()
	close(n.changed)
	n.changed = make(chan struct{})
}

// wait waits until done, which is called with the lock held.
func (n *node) wait(t testing.TB, what string, done func() bool) {
	t.Helper()
	deadline := time.After(patience)
	for {
		n.mu.Lock()
		ok, changed := done(), n.changed
		n.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			n.mu.Lock()
			defer n.mu.Unlock()
			t.Fatalf("%s: not within %v; %d messages, losses %v, ready: %v", what, patience, len(n.messages), n.losses, n.Ready())
		}
	}
}

// await waits for a number of messages in all and returns them.
func (n *node) await(t testing.TB, count int) []Message {
	t.Helper()
	n.wait(t, "messages", func() bool { return len(n.messages) >= count })
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.messages
}

// heard tells whether a message of that topic came.
func (n *node) heard(topic string) func() bool {
	return func() bool {
		for i := len(n.messages) - 1; i >= 0; i-- {
			if n.messages[i].Topic == topic {
				return true
			}
		}
		return false
	}
}

func (n *node) publish(t testing.TB, topic, body string) {
	t.Helper()
	if err := n.Publish(testKind, topic, []byte(body)); err != nil {
		t.Fatal(err)
	}
}

// awaitReady waits until Ready returns an error, or none.
func (n *node) awaitReady(t testing.TB, want bool) time.Duration {
	t.Helper()
	started := time.Now()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for time.Since(started) < patience {
		if (n.Ready() == nil) == want {
			return time.Since(started)
		}
		<-tick.C
	}
	t.Fatalf("ready is still: %v", n.Ready())
	return 0
}

// awaitCounter waits until a counter has that value.
func awaitCounter(t testing.TB, c prometheus.Collector, least float64) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for began := time.Now(); testutil.ToFloat64(c) < least; <-tick.C {
		if time.Since(began) > patience {
			t.Fatalf("a counter is %v, not %v", testutil.ToFloat64(c), least)
		}
	}
}

func (n *node) lostTotal() float64 { return testutil.ToFloat64(n.metrics.lost) }
