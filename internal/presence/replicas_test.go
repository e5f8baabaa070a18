package presence

import (
	"slices"
	"testing"
	"time"
)

func TestReplicas(t *testing.T) {
	t.Parallel()
	a1, a2, a3, b1 := Replica{"a", 1}, Replica{"a", 2}, Replica{"a", 3}, Replica{"b", 1}
	start := time.Unix(1000, 0)
	rs := NewReplicas(10*time.Second, 60*time.Second)

	beat := func(r Replica, after time.Duration, wantOK bool, want ...Change) {
		t.Helper()
		if got, ok := rs.PutHeartbeat(r, start.Add(after)); ok != wantOK || !slices.Equal(got, want) {
			t.Fatalf("heartbeat of %v after %v: %v, %v, want %v", r, after, got, ok, want)
		}
	}
	detect := func(after time.Duration, want ...Change) {
		t.Helper()
		if got := rs.DetectDown(start.Add(after)); !slices.Equal(got, want) {
			t.Fatalf("detected after %v: %v, want %v", after, got, want)
		}
	}
	status := func(r Replica, want Status) {
		t.Helper()
		if got, ok := rs.Status(r); got != want || ok != (want != 0) {
			t.Fatalf("%v is %v, want %v", r, got, want)
		}
	}

	beat(a1, 0, true, Change{a1, Up})
	beat(b1, 0, true, Change{b1, Up})
	beat(b1, 5*time.Second, true)
	detect(10 * time.Second)
	detect(11*time.Second, Change{a1, Down})
	detect(12 * time.Second)
	status(a1, Down)
	beat(a1, 13*time.Second, true, Change{a1, Up})
	status(a1, Up)

	// Started anew: while up, and while down.
	beat(a2, 14*time.Second, true, Change{a1, Permdown}, Change{a2, Up})
	status(a1, 0)
	beat(a1, 14*time.Second, false)
	beat(b1, 20*time.Second, true)
	detect(25*time.Second, Change{a2, Down})
	beat(a3, 26*time.Second, true, Change{a2, Permdown}, Change{a3, Up})

	// Silent for good, down before or not.
	detect(40*time.Second, Change{a3, Down}, Change{b1, Down})
	detect(81*time.Second, Change{b1, Permdown})
	status(b1, 0)
	beat(b1, 82*time.Second, true, Change{b1, Up})
	beat(a3, 82*time.Second, true, Change{a3, Up})
	detect(143*time.Second, Change{a3, Permdown}, Change{b1, Permdown})
}

func TestAReplicaThatTookLeave(t *testing.T) {
	t.Parallel()
	a1, a2 := Replica{"a", 1}, Replica{"a", 2}
	start := time.Unix(1000, 0)
	rs := NewReplicas(10*time.Second, 60*time.Second)
	if got := rs.Depart(a1, start); got != nil {
		t.Fatalf("one that was not known: %v", got)
	}
	if _, ok := rs.PutHeartbeat(a1, start); ok {
		t.Fatal("a late message brought it back")
	}
	if got, ok := rs.PutHeartbeat(a2, start); !ok || !slices.Equal(got, []Change{{a2, Up}}) {
		t.Fatalf("started anew: %v %v", got, ok)
	}
	if got := rs.Depart(a1, start); got != nil {
		t.Fatalf("the old one again: %v", got)
	}
	if got := rs.Depart(a2, start); !slices.Equal(got, []Change{{a2, Permdown}}) {
		t.Fatalf("leave: %v", got)
	}
	if _, ok := rs.PutHeartbeat(a2, start.Add(60*time.Second)); ok {
		t.Fatal("a late message brought it back")
	}
	rs.DetectDown(start.Add(61 * time.Second))
	if len(rs.departed) != 0 {
		t.Fatalf("departures are kept: %v", rs.departed)
	}
}
