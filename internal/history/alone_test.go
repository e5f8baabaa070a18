package history

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// Nobody is told where nobody is. Whoever comes is told to look for what was
// stored before it was heard of.
func TestAloneTellsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var bus recordingBus
		bus.alone.Store(true)
		n := startFake(t, newFakeServer(), Config{Bus: &bus})
		defer n.follow(t, "room:1")()
		n.publish(t, "room:1", "a")
		time.Sleep(time.Minute) // sweeps tell nobody, either
		if sent := bus.all(); len(sent) != 0 {
			t.Errorf("told %q", sent)
		}
		bus.alone.Store(false)
		for _, body := range []string{"b", "c"} {
			n.publish(t, "room:1", body)
		}
		time.Sleep(time.Second)
		sent := bus.all()
		requests := slices.DeleteFunc(slices.Clone(sent), func(s string) bool { return s != " " })
		if len(sent) != 3 || len(requests) != 1 {
			t.Errorf("told %q; want two messages and one request to sweep", sent)
		}
		wantIDs(t, "delivered", n.ids("room:1"), span(1, 3))
		n.stop()
	})
}

// A node that has just come finds what was stored before it was heard of.
func TestNewNodeSweepsSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newFakeServer()
		var bus recordingBus
		bus.alone.Store(true)
		before := startFake(t, server, Config{Bus: &bus})
		came := startFake(t, server, Config{})
		defer came.follow(t, "room:1")()
		before.publish(t, "room:1", "a")
		time.Sleep(settlePause + 100*time.Millisecond)
		wantIDs(t, "delivered", came.ids("room:1"), span(1, 1))
		before.stop()
		came.stop()
	})
}
