package history

import (
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
		if len(bus.sent) != 0 {
			t.Errorf("told %q", bus.sent)
		}
		bus.alone.Store(false)
		for _, body := range []string{"b", "c"} {
			n.publish(t, "room:1", body)
		}
		time.Sleep(time.Second)
		sweeps := 0
		for _, sent := range bus.sent {
			if sent == " " {
				sweeps++
			}
		}
		if len(bus.sent) != 3 || sweeps != 1 {
			t.Errorf("told %q; want two messages and one request to sweep", bus.sent)
		}
		wantIDs(t, "delivered", n.ids("room:1"), span(1, 3))
		n.stop()
	})
}
