package presence_test

import (
	"testing"
	"time"

	"github.com/trunkline/trunkline/internal/presence"
)

func graceful(c *presence.Config) {
	c.Options = func(topic string) presence.Options {
		if topic == "room" {
			return presence.Options{Grace: 5 * time.Second}
		}
		return presence.Options{}
	}
}

func TestGraceSwallowsAReturn(t *testing.T) {
	t.Parallel()
	simulate(t, func(t *testing.T, n *network) {
		nodes := n.startAll(2, graceful)
		a, b := nodes[0], nodes[1]
		a.watch("room")
		owner := a.track("room", "ann")
		a.track("hall", "ann")
		time.Sleep(time.Second)
		a.tracker.UntrackOwner(owner)
		time.Sleep(3 * time.Second)
		wantKeys(t, "room", "ann", a, b)
		if one, ok := a.tracker.GetByKey(t.Context(), "room", "ann"); !ok || len(one.Metas) != 1 {
			t.Errorf("by key: %v", one)
		}
		wantLog(t, "room", "+ann", a, b)
		b.track("room", "ann")
		time.Sleep(10 * time.Second)
		wantLog(t, "room", "+ann +ann-ann", a, b)
		wantKeys(t, "room", "ann", a, b)
		wantClients(t, a, "room")
	})
}

func TestGraceEnds(t *testing.T) {
	t.Parallel()
	simulate(t, func(t *testing.T, n *network) {
		nodes := n.startAll(2, graceful)
		one := nodes[0].track("room", "ann")
		two := nodes[0].track("room", "ann")
		elsewhere := nodes[0].track("hall", "ann")
		time.Sleep(time.Second)
		for _, owner := range []presence.Owner{one, two, elsewhere} {
			nodes[0].tracker.UntrackOwner(owner)
			time.Sleep(time.Second)
		}
		wantLog(t, "hall", "+ann -ann", nodes...)
		wantLog(t, "room", "+ann -ann", nodes...) // a meta that is not the last
		wantKeys(t, "room", "ann", nodes...)
		time.Sleep(2900 * time.Millisecond)
		wantKeys(t, "room", "ann", nodes...)
		time.Sleep(time.Second)
		wantLog(t, "room", "+ann -ann -ann", nodes...)
		wantKeys(t, "room", "", nodes...)
	})
}

// Each node of three is stopped and started anew, and its users come back to
// another one at once.
func TestRollingRestartIsNotSeen(t *testing.T) {
	t.Parallel()
	simulate(t, func(t *testing.T, n *network) {
		nodes := n.startAll(3, graceful)
		home := make(map[string]int)
		for i, key := range users(0, 9) {
			nodes[i%3].track("room", key)
			home[key] = i % 3
		}
		time.Sleep(time.Second)
		for _, nd := range nodes {
			nd.push(nd.watch("room"), nd.state("room"))
		}
		everybody := nodes[0].keys("room")
		for i := range nodes {
			nodes[i].shutDown()
			time.Sleep(500 * time.Millisecond)
			for key, at := range home {
				if at == i {
					home[key] = (i + 1) % 3
					nodes[home[key]].track("room", key)
				}
			}
			nodes[i] = n.start("r"+nodes[i].id, graceful)
			time.Sleep(3 * time.Second)
			for _, nd := range nodes {
				if got := nd.keys("room"); got != everybody {
					t.Errorf("node %s lists %q after restart %d, want %q", nd.id, got, i, everybody)
				}
				for _, d := range nd.diffs("room") {
					for key := range d.diff.Leaves {
						if _, back := d.diff.Joins[key]; !back {
							t.Errorf("node %s told that %s left", nd.id, key)
						}
					}
				}
			}
		}
		time.Sleep(10 * time.Second)
		wantKeys(t, "room", everybody, nodes...)
		wantClients(t, nodes[0], "room")
	})
}

// A node that was silent and returns within the grace period: its entries never
// went.
func TestGraceCoversANodeThatReturns(t *testing.T) {
	t.Parallel()
	simulate(t, func(t *testing.T, n *network) {
		nodes := n.startAll(2, graceful)
		nodes[0].track("room", "ann")
		nodes[0].track("room", "ann")
		time.Sleep(time.Second)
		nodes[1].forget()
		nodes[0].cut()
		time.Sleep(9 * time.Second)
		wantKeys(t, "room", "ann", nodes[1])
		nodes[0].heal()
		time.Sleep(20 * time.Second)
		wantLog(t, "room", "", nodes[1])
		if one, _ := nodes[1].tracker.GetByKey(t.Context(), "room", "ann"); len(one.Metas) != 2 {
			t.Errorf("metas: %v", one.Metas)
		}
	})
}

// A node that starts shows who lingers on the others, for as long as they do.
func TestGraceReachesANodeThatStarts(t *testing.T) {
	t.Parallel()
	simulate(t, func(t *testing.T, n *network) {
		nodes := n.startAll(3, graceful)
		nodes[0].track("room", "ann")
		nodes[0].track("room", "bob")
		nodes[0].track("hall", "bob")
		nodes[1].track("room", "eve")
		time.Sleep(time.Second)
		nodes[0].shutDown()
		left := time.Now()
		time.Sleep(time.Second)
		fresh := n.start("fresh", graceful)
		within(t, time.Second, "readiness", func() bool { return fresh.tracker.Ready() == nil })
		wantKeys(t, "room", "ann bob eve", fresh)
		wantKeys(t, "hall", "", fresh)
		fresh.push(fresh.watch("room"), fresh.state("room"))
		time.Sleep(time.Second)
		fresh.forget()
		nodes[2].track("room", "ann")
		time.Sleep(time.Second)
		wantLog(t, "room", "+ann-ann", fresh)
		time.Sleep(time.Until(left.Add(4900 * time.Millisecond)))
		wantKeys(t, "room", "ann bob eve", fresh, nodes[1], nodes[2])
		time.Sleep(600 * time.Millisecond)
		wantKeys(t, "room", "ann eve", fresh, nodes[1], nodes[2])
		time.Sleep(10 * time.Second)
		wantLog(t, "room", "+ann-ann -bob", fresh)
		wantClients(t, fresh, "room")
	})
}

// So it does where the others have nobody themselves, and never had.
func TestGraceReachesANodeThatStartsAmongEmptyOnes(t *testing.T) {
	t.Parallel()
	simulate(t, func(t *testing.T, n *network) {
		nodes := n.startAll(2, graceful)
		nodes[0].track("room", "ann")
		time.Sleep(time.Second)
		nodes[0].shutDown()
		fresh := n.start("fresh", graceful)
		within(t, time.Second, "readiness", func() bool { return fresh.tracker.Ready() == nil })
		wantKeys(t, "room", "ann", fresh)
		time.Sleep(6 * time.Second)
		wantKeys(t, "room", "", fresh, nodes[1])
	})
}
