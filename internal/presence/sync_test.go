package presence_test

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trunkline/trunkline/internal/presence"
)

// A node alone is ready soon after its start.
func TestAloneIsSynced(t *testing.T) {
	t.Parallel()
	simulate(t, func(t *testing.T, n *network) {
		alone := n.start("a")
		if err := alone.tracker.Ready(); !errors.Is(err, presence.ErrNotSynced) {
			t.Errorf("at its start: %v", err)
		}
		took := within(t, 350*time.Millisecond, "ready", func() bool { return alone.tracker.Ready() == nil })
		t.Logf("ready after %v", took)
	})
}

// When a node that has started is ready, it lists everybody, though half of the
// messages are lost and another node starts with it that knows nothing either.
func TestSyncedNodeListsEverybody(t *testing.T) {
	t.Parallel()
	for _, loss := range []float64{0, 0.5} {
		simulate(t, func(t *testing.T, n *network) {
			nodes := n.startAll(2)
			for _, key := range users(0, 1000) {
				nodes[0].track("room", key)
			}
			nodes[1].track("room", "z")
			time.Sleep(2 * time.Second)
			want := nodes[0].keys("room")
			n.lose(loss)
			for _, late := range []*node{n.start("late"), n.start("later")} {
				took := within(t, 14*time.Second, "ready", func() bool { return late.tracker.Ready() == nil })
				if late.keys("room") != want {
					t.Errorf("node %s is ready and lists %d bytes of %d", late.id, len(late.keys("room")), len(want))
				}
				t.Logf("loss %v: ready after %v", loss, took)
			}
			n.lose(0)
		})
	}
}

// A node that hears nothing at its start asks when it does.
func TestDeafStart(t *testing.T) {
	t.Parallel()
	simulate(t, func(t *testing.T, n *network) {
		nodes := n.startAll(2)
		nodes[0].track("room", "ann")
		time.Sleep(time.Second)
		var deaf atomic.Bool
		deaf.Store(true)
		late := n.start("late", func(c *presence.Config) {
			ready := c.Ready
			c.Ready = func() error {
				if deaf.Load() {
					return errors.New("deaf")
				}
				return ready()
			}
		})
		time.Sleep(3 * time.Second)
		if err := late.tracker.Ready(); !errors.Is(err, presence.ErrNotSynced) {
			t.Errorf("while it cannot hear: %v", err)
		}
		deaf.Store(false)
		took := within(t, 400*time.Millisecond, "ready", func() bool { return late.tracker.Ready() == nil })
		wantKeys(t, "room", "ann", late)
		t.Logf("ready %v after it could hear", took)
	})
}

// One who is known to be up and says nothing delays readiness only until it is
// down.
func TestSilentNodeDoesNotKeepOthersFromBeingSynced(t *testing.T) {
	t.Parallel()
	simulate(t, func(t *testing.T, n *network) {
		nodes := n.startAll(2)
		nodes[0].track("room", "ann")
		time.Sleep(time.Second)
		late := n.start("late")
		time.Sleep(20 * time.Millisecond) // its hello is answered in 50 ms
		nodes[1].kill()
		within(t, 15*time.Second, "ready", func() bool { return late.tracker.Ready() == nil })
		wantKeys(t, "room", "ann", late)
	})
}
