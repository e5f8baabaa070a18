package presence_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/trunkline/trunkline/internal/presence"
)

// wantRate checks that no second, from any diff on, has more than 20 diffs.
func wantRate(t *testing.T, nd *node, topic string) {
	t.Helper()
	diffs := nd.diffs(topic)
	most := 0
	for i := range diffs {
		n := 0
		for n < len(diffs)-i && diffs[i+n].at.Sub(diffs[i].at) < time.Second {
			n++
		}
		most = max(most, n)
	}
	if most > 20 {
		t.Errorf("node %s told %d diffs of %s within a second", nd.id, most, topic)
	}
	t.Logf("node %s: %d diffs, at most %d in a second", nd.id, len(diffs), most)
}

func TestJoinStorm(t *testing.T) {
	t.Parallel()
	const members = 5000
	simulate(t, func(t *testing.T, n *network) {
		nodes := n.startAll(3)
		for _, nd := range nodes {
			nd.push(nd.watch("room"), nd.state("room"))
		}
		begin := time.Now()
		for i, key := range users(0, members) {
			nodes[i%3].track("room", key)
			time.Sleep(time.Until(begin.Add(time.Duration(i+1) * 10 * time.Second / members)))
		}
		took := within(t, 3*time.Second, "converged", func() bool {
			for _, nd := range nodes {
				if len(nd.tracker.List(t.Context(), "room")) != members {
					return false
				}
			}
			return true
		})
		messages, bytes := n.traffic()
		t.Logf("converged %v after the last join; %d messages of %d bytes received", took, messages, bytes)
		time.Sleep(time.Second)
		for _, nd := range nodes {
			wantRate(t, nd, "room")
			wantClients(t, nd, "room")
		}
		nodes[2].kill()
		gone := within(t, 10*time.Second, "leaves", func() bool {
			return len(nodes[0].tracker.List(t.Context(), "room")) < members
		})
		time.Sleep(time.Second)
		t.Logf("a third gone after %v", gone)
		wantClients(t, nodes[0], "room")
	})
}

func TestManyTopics(t *testing.T) {
	t.Parallel()
	const topics = 1000
	simulate(t, func(t *testing.T, n *network) {
		nodes := n.startAll(3)
		for i := range topics {
			for j, key := range users(0, 5) {
				nodes[(i+j)%3].track(fmt.Sprintf("room:%d", i), key)
			}
		}
		time.Sleep(2 * time.Second)
		for i := range topics {
			wantKeys(t, fmt.Sprintf("room:%d", i), "u0 u1 u2 u3 u4", nodes...)
		}
		nodes[2].shutDown()
		within(t, time.Second, "leaves", func() bool {
			return len(nodes[0].tracker.List(t.Context(), "room:0"))+len(nodes[0].tracker.List(t.Context(), "room:999")) < 10
		})
		time.Sleep(time.Second)
		for i := range topics {
			if got := len(nodes[0].tracker.List(t.Context(), fmt.Sprintf("room:%d", i))); got != 3 && got != 4 {
				t.Errorf("%d users are left in topic %d", got, i)
			}
		}
	})
}

// BenchmarkList lists a topic of 5,000 and encodes it, as for a presence_state.
func BenchmarkList(b *testing.B) {
	tr, _ := alone(b, 5000)
	var state []byte
	for b.Loop() {
		state = tr.List(b.Context(), "room").AppendJSON(state[:0])
	}
	b.ReportMetric(float64(len(state)), "bytes")
}

// BenchmarkTrack tracks and untracks in a topic of 5,000, on a node that runs.
func BenchmarkTrack(b *testing.B) {
	tr, run := alone(b, 5000)
	defer run()()
	for b.Loop() {
		owner := tr.NewOwner()
		if _, err := tr.Track(owner, "room", "new", json.RawMessage(`{"device":"phone","typing":false}`)); err != nil {
			b.Fatal(err)
		}
		tr.UntrackOwner(owner)
	}
}

// alone makes a tracker without others; run starts it and returns how to stop.
func alone(b *testing.B, members int) (tr *presence.Tracker, run func() (stop func())) {
	b.Helper()
	n := &network{nodes: make(map[string]*node)}
	tr, err := presence.New(presence.Config{
		Bus:     &node{id: "a", net: n},
		Ready:   func() error { return nil },
		Deliver: func(string, *presence.PresenceDiff) {},
	})
	if err != nil {
		b.Fatal(err)
	}
	for _, key := range users(0, members) {
		if _, err := tr.Track(tr.NewOwner(), "room", key, json.RawMessage(`{"device":"phone","typing":false}`)); err != nil {
			b.Fatal(err)
		}
	}
	return tr, func() func() {
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error)
		go func() { ended <- tr.Run(ctx) }()
		return func() {
			cancel()
			if err := <-ended; err != nil {
				b.Error(err)
			}
		}
	}
}
