package presence_test

import (
	"fmt"
	"testing"
	"time"
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
