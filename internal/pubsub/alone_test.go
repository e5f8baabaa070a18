package pubsub

import (
	"testing"
	"time"

	"github.com/trunkline/trunkline/internal/pgtest"
)

// A node is not sure to be alone until it has listened for a while, and no more
// as soon as it hears another one.
func TestAlone(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	const silence = 600 * time.Millisecond
	config := Config{DirectURL: url, Heartbeat: 100 * time.Millisecond, Silence: silence}
	began := time.Now()
	a := start(t, config)
	until := func(want bool) {
		t.Helper()
		for end := time.Now().Add(patience); a.Alone() != want; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("Alone is not %v", want)
			}
		}
	}
	until(true)
	if took := time.Since(began); took < silence {
		t.Errorf("sure after %v", took)
	}
	b := start(t, config)
	until(false)
	b.stop() // it may be back, or have been somebody who only sends
	time.Sleep(2 * silence)
	if a.Alone() {
		t.Error("alone when the other has hardly left")
	}
}

func TestSteady(t *testing.T) {
	t.Parallel()
	start := time.Unix(1000, 0)
	at := func(d time.Duration) time.Time { return start.Add(d) }
	h := newHealth(3 * time.Second)
	steady := func(d time.Duration, want bool) {
		t.Helper()
		if got := h.steady(at(d)); got != want {
			t.Errorf("steady after %v is %v", d, got)
		}
	}
	steady(time.Hour, false) // not running
	h.listening(nil, start)
	h.arrived(1, at(2500*time.Millisecond))
	steady(2900*time.Millisecond, false)
	steady(3*time.Second, true)
	steady(5600*time.Millisecond, false) // its own heartbeat is missing, so are perhaps others
	h.arrived(4, at(5700*time.Millisecond))
	steady(5700*time.Millisecond, true)
	h.listening(errSilent, at(6*time.Second))
	steady(6*time.Second, false)
	h.listening(nil, at(7*time.Second))
	steady(7*time.Second, false)
}
