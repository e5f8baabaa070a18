package pubsub

import (
	"errors"
	"testing"
	"time"
)

func TestHealth(t *testing.T) {
	t.Parallel()
	start := time.Unix(1000, 0)
	at := func(d time.Duration) time.Time { return start.Add(d) }
	fresh := func() *health {
		h := newHealth(3 * time.Second)
		h.listening(nil, start)
		h.notifying(nil)
		h.confirmed(1, at(0))
		h.arrived(1, at(0))
		return h
	}
	dead := func(h *health, d time.Duration, want bool) {
		t.Helper()
		if got := h.listenerDead(at(d)); got != want {
			t.Errorf("listenerDead after %v is %v", d, got)
		}
	}

	h := fresh() // the listener hears nothing though the notifier sends
	h.confirmed(2, at(time.Second))
	h.confirmed(3, at(2*time.Second))
	dead(h, 2900*time.Millisecond, false)
	dead(h, 3100*time.Millisecond, true)
	if err := h.ready(at(3100 * time.Millisecond)); !errors.Is(err, errSilent) {
		t.Errorf("ready: %v, want errSilent", err)
	}
	h.listening(nil, at(3200*time.Millisecond))
	dead(h, 4*time.Second, false)

	h = fresh() // the notifier sends nothing, so the listener cannot hear
	dead(h, 3900*time.Millisecond, false)
	dead(h, 4100*time.Millisecond, true)

	h = fresh() // a heartbeat that overtakes its confirmation is not missing
	h.arrived(2, at(time.Second))
	h.confirmed(2, at(time.Second))
	dead(h, 3500*time.Millisecond, false)

	h = fresh()
	if err := h.ready(at(time.Second)); err != nil {
		t.Errorf("ready: %v", err)
	}
	gone := errors.New("gone")
	h.notifying(gone)
	if err := h.ready(at(time.Second)); !errors.Is(err, gone) {
		t.Errorf("ready: %v, want the notifier's error", err)
	}
	h.listening(gone, at(time.Second))
	dead(h, time.Hour, false) // nothing to replace
}

func TestBackoff(t *testing.T) {
	t.Parallel()
	b := backoff{least: 50 * time.Millisecond, most: time.Second}
	for round := range 2 {
		for i, limit := range []int{50, 100, 200, 400, 800, 1000, 1000} {
			limit := time.Duration(limit) * time.Millisecond
			if d := b.duration(); d < limit/2 || d > limit {
				t.Errorf("round %d, wait %d is %v, want %v to %v", round, i, d, limit/2, limit)
			}
		}
		b.reset()
	}
}

func TestInboxBound(t *testing.T) {
	t.Parallel()
	in := newInbox(10)
	big := arrival{payload: "12345678"}
	if !in.put(big) || in.put(big) {
		t.Error("the inbox does not keep to its bound")
	}
	if !in.put(arrival{missed: true}) {
		t.Error("a mark of a loss was refused")
	}
	taken := in.take()
	if len(taken) != 2 || in.put(big) {
		t.Error("what is taken counts until it is released")
	}
	in.release(taken[0])
	if !in.put(big) {
		t.Error("a released payload still counts")
	}
}
