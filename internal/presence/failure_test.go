package presence_test

import (
	"strings"
	"testing"
	"time"

	"github.com/trunkline/trunkline/internal/presence"
)

func TestJoinIsSeenOnAllNodes(t *testing.T) {
	t.Parallel()
	simulate(t, func(t *testing.T, n *network) {
		nodes := n.startAll(3)
		owner := nodes[0].track("room", "ann")
		wantKeys(t, "room", "ann", nodes[0])
		took := within(t, 300*time.Millisecond, "join", func() bool {
			return nodes[1].keys("room") == "ann" && nodes[2].keys("room") == "ann"
		})
		t.Logf("join seen everywhere after %v", took)
		nodes[0].tracker.UntrackOwner(owner)
		time.Sleep(time.Second)
		wantKeys(t, "room", "", nodes...)
		wantLog(t, "room", "+ann -ann", nodes...)
	})
}

func TestNewNodeIsToldWhoIsThere(t *testing.T) {
	t.Parallel()
	simulate(t, func(t *testing.T, n *network) {
		nodes := n.startAll(2)
		nodes[0].track("room", "ann")
		nodes[1].track("room", "bob")
		time.Sleep(time.Second)
		late := n.start("late")
		took := within(t, 2*time.Second, "list", func() bool { return late.keys("room") == "ann bob" })
		t.Logf("a new node knows all after %v", took)
	})
}

func TestKilledNodeIsGoneWithinTenSeconds(t *testing.T) {
	t.Parallel()
	simulate(t, func(t *testing.T, n *network) {
		nodes := n.startAll(3)
		for i, nd := range nodes {
			nd.track("room", users(i, i+1)[0])
		}
		time.Sleep(time.Second)
		nodes[0].forget()
		nodes[1].forget()
		nodes[2].kill()
		took := within(t, 10*time.Second, "leave", func() bool {
			return nodes[0].keys("room") == "u0 u1" && nodes[1].keys("room") == "u0 u1"
		})
		t.Logf("gone after %v", took)
		time.Sleep(time.Minute)
		wantLog(t, "room", "-u2", nodes[:2]...)
	})
}

func TestStoppedNodeIsGoneAtOnce(t *testing.T) {
	t.Parallel()
	simulate(t, func(t *testing.T, n *network) {
		nodes := n.startAll(3)
		for i, nd := range nodes {
			nd.track("room", users(i, i+1)[0])
		}
		time.Sleep(time.Second)
		nodes[0].forget()
		nodes[2].shutDown()
		took := within(t, 200*time.Millisecond, "leave", func() bool {
			return nodes[0].keys("room") == "u0 u1" && nodes[1].keys("room") == "u0 u1"
		})
		t.Logf("gone after %v", took)
		time.Sleep(time.Minute)
		wantLog(t, "room", "-u2", nodes[0])
	})
}

func TestRestartUnderTheSameNameReplacesAtOnce(t *testing.T) {
	t.Parallel()
	simulate(t, func(t *testing.T, n *network) {
		named := func(c *presence.Config) { c.Name = "stable" }
		other := n.start("other")
		old := n.start("old", named)
		old.track("room", "ann")
		other.track("room", "bob")
		time.Sleep(time.Second)
		other.forget()
		old.kill()
		fresh := n.start("fresh", named)
		within(t, 100*time.Millisecond, "replaced", func() bool { return other.keys("room") == "bob" })
		fresh.track("room", "ann")
		within(t, 300*time.Millisecond, "back", func() bool { return other.keys("room") == "ann bob" })
		within(t, 2*time.Second, "converged", func() bool { return fresh.keys("room") == "ann bob" })
		time.Sleep(30 * time.Second)
		wantLog(t, "room", "-ann +ann", other)
	})
}

func TestBlackHoleHealsWithoutTrackingAnew(t *testing.T) {
	t.Parallel()
	simulate(t, func(t *testing.T, n *network) {
		nodes := n.startAll(3)
		for i, nd := range nodes {
			nd.track("room", users(i, i+1)[0])
		}
		time.Sleep(time.Second)
		for _, nd := range nodes {
			nd.forget()
		}
		hole := nodes[2]
		hole.cut()
		time.Sleep(15 * time.Second)
		hole.track("room", "u3")
		nodes[0].track("room", "u4")
		time.Sleep(15 * time.Second)
		wantKeys(t, "room", "u0 u1 u4", nodes[:2]...)
		wantKeys(t, "room", "u0 u1 u2 u3", hole)
		hole.heal()
		took := within(t, 2*time.Second, "converged", func() bool {
			for _, nd := range nodes {
				if nd.keys("room") != "u0 u1 u2 u3 u4" {
					return false
				}
			}
			return true
		})
		t.Logf("converged %v after healing", took)
		time.Sleep(time.Minute)
		wantLog(t, "room", "-u2 +u4 +u2 +u3", nodes[:2]...)
		wantLog(t, "room", "+u3 +u4", hole)
	})
}

// Postgres restarts: no node hears any, so none may judge another.
func TestNobodyIsDownWhileTheBusIs(t *testing.T) {
	t.Parallel()
	simulate(t, func(t *testing.T, n *network) {
		nodes := n.startAll(3)
		for i, nd := range nodes {
			nd.track("room", users(i, i+1)[0])
		}
		time.Sleep(time.Second)
		for _, nd := range nodes {
			nd.forget()
			nd.cut()
		}
		time.Sleep(30 * time.Second)
		for _, nd := range nodes {
			nd.heal()
			time.Sleep(400 * time.Millisecond)
		}
		time.Sleep(time.Minute)
		wantLog(t, "room", "", nodes...)
		wantKeys(t, "room", "u0 u1 u2", nodes...)
	})
}

// A hole too short for anybody to be down.
func TestShortHoleIsMadeUpForAtOnce(t *testing.T) {
	t.Parallel()
	simulate(t, func(t *testing.T, n *network) {
		nodes := n.startAll(3)
		for i, key := range users(0, 10) {
			nodes[2].cut()
			nodes[0].track("room", key)
			time.Sleep(4*time.Second + time.Duration(i)*103*time.Millisecond)
			nodes[2].heal()
			within(t, 900*time.Millisecond, key, func() bool { return nodes[2].keys("room") == nodes[0].keys("room") })
		}
		for _, d := range nodes[2].diffs("room") {
			if len(d.diff.Leaves) > 0 {
				t.Errorf("told leaves: %v", d.diff.Leaves)
			}
		}
	})
}

func TestForgottenNodeComesBackWhole(t *testing.T) {
	t.Parallel()
	simulate(t, func(t *testing.T, n *network) {
		nodes := n.startAll(3, func(c *presence.Config) { c.PermdownPeriod = 15 * time.Second })
		for i, nd := range nodes {
			nd.track("room", users(i, i+1)[0])
		}
		time.Sleep(time.Second)
		nodes[2].cut()
		time.Sleep(time.Minute)
		wantKeys(t, "room", "u0 u1", nodes[:2]...)
		nodes[2].track("room", "u3")
		nodes[2].heal()
		within(t, 2*time.Second, "converged", func() bool {
			return nodes[0].keys("room") == "u0 u1 u2 u3" && nodes[1].keys("room") == "u0 u1 u2 u3"
		})
	})
}

// One in five messages is lost, and nobody may notice for long.
func TestLostMessagesAreMadeUpFor(t *testing.T) {
	t.Parallel()
	simulate(t, func(t *testing.T, n *network) {
		nodes := n.startAll(3)
		n.lose(0.2)
		for i, key := range users(0, 200) {
			nodes[i%3].track("room", key)
			time.Sleep(50 * time.Millisecond)
		}
		n.lose(0)
		time.Sleep(2 * time.Second)
		if messages, _ := n.traffic(); messages > 5000 {
			t.Errorf("%d messages in 13 s", messages)
		}
		for _, nd := range nodes[1:] {
			if got, want := nd.keys("room"), nodes[0].keys("room"); got != want {
				t.Errorf("node %s lists %q, want %q", nd.id, got, want)
			}
			for _, d := range nd.diffs("room") {
				if len(d.diff.Leaves) > 0 {
					t.Errorf("node %s told leaves: %v", nd.id, d.diff.Leaves)
				}
			}
		}
	})
}

// Nodes with another number of shards, or with this node's name, are ignored.
func TestMismatchedNodesAreIgnored(t *testing.T) {
	t.Parallel()
	simulate(t, func(t *testing.T, n *network) {
		a := n.start("a")
		b := n.start("b", func(c *presence.Config) { c.Shards = 4 })
		c := n.start("c", func(c *presence.Config) { c.Name = "a" })
		b.track("room", "bob")
		c.track("room", "cem")
		time.Sleep(2 * time.Second)
		wantKeys(t, "room", "", a)
		a.tracker.HandleBus("x", []byte("nonsense"))
		a.tracker.HandleBus("x", nil)
	})
}

func TestLargeStateIsTransferredInParts(t *testing.T) {
	t.Parallel()
	for name, spacing := range map[string]time.Duration{"fast": 0, "slow": 400 * time.Millisecond} {
		t.Run(name, func(t *testing.T) { t.Parallel(); testLargeState(t, spacing) })
	}
}

func testLargeState(t *testing.T, spacing time.Duration) {
	simulate(t, func(t *testing.T, n *network) {
		n.spacing = spacing
		a := n.start("a", func(c *presence.Config) { c.Shards = 1 })
		meta := `{"text":"` + strings.Repeat("x", 2000) + `"}`
		for _, key := range users(0, 1500) {
			if _, err := a.tracker.Track(a.tracker.NewOwner(), "room", key, []byte(meta)); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Second)
		b := n.start("b", func(c *presence.Config) { c.Shards = 1 })
		within(t, 4*time.Second, "transfer", func() bool { return len(b.tracker.List(t.Context(), "room")) == 1500 })
		time.Sleep(5 * time.Second)
		messages, bytes := n.traffic()
		if bytes > 3_500_000 {
			t.Errorf("%d bytes for a state of 3 MB", bytes)
		}
		time.Sleep(10 * time.Second)
		moreMessages, moreBytes := n.traffic()
		t.Logf("%d messages of %d bytes in 10 idle seconds of two nodes", moreMessages-messages, moreBytes-bytes)
		if moreBytes-bytes > 20_000 {
			t.Errorf("%d bytes in 10 idle seconds", moreBytes-bytes)
		}
	})
}
