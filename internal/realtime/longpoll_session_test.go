package realtime

import (
	"fmt"
	"net/http"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/trunkline/trunkline/internal/wire"
)

// Whatever polls come, leave, fail and replace each other: the client gets each
// message at most once and in order, and loses only what a poll had taken whose
// answer failed after a newer poll had begun.
func TestLongPollSessionDeliversInOrder(t *testing.T) {
	t.Parallel()
	n := newPollNode(t, nil, MountOptions{})
	mount, err := n.engine.NewMount("/rapid", MountOptions{Connect: connectPolls}, func() []Route { return nil })
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		socket := &Socket{engine: n.engine, mount: mount, version: wire.V2}
		s, err := n.engine.polls.open(socket)
		if err != nil {
			t.Fatal(err)
		}
		defer s.end(ErrClosed)

		var sent, got, lost []string
		var key pollKey     // of the newest poll
		var open bool       // the newest poll has neither taken nor withdrawn
		var told bool       // it was told that something waits
		var taken []string  // what it took and nobody knows the fate of
		var stale []pollKey // replaced polls
		begin := func() {
			if key.number > 0 {
				stale = append(stale, key)
			}
			lost = append(lost, taken...)
			taken = nil
			key, told, open = pollKey{node: "x", number: key.number + 1}, false, true
			mine := key
			s.poll(key, func() {
				if key != mine || told {
					t.Fatalf("poll %v was told, the newest is %v, told before: %v", mine, key, told)
				}
				told = true
			})
		}
		waiting := func() int { return len(sent) - len(got) - len(lost) - len(taken) }
		t.Repeat(map[string]func(*rapid.T){
			"send": func(t *rapid.T) {
				f, err := wire.V2.Broadcast("room", fmt.Sprint(len(sent)), EmptyObject)
				if err != nil || !s.send(f, nil) {
					t.Fatalf("not sent: %v", err)
				}
				sent = append(sent, string(f.Payload()))
			},
			"poll": func(*rapid.T) { begin() },
			"take": func(t *rapid.T) {
				if !open {
					t.Skip("no poll")
				}
				size := rapid.IntRange(0, 100).Draw(t, "size")
				had := waiting()
				a := s.take(key, size)
				open = false
				if want := map[bool]int{true: http.StatusOK, false: http.StatusNoContent}[had > 0]; a.status != want {
					t.Fatalf("took status %d with %d waiting", a.status, had)
				}
				for _, msg := range a.messages {
					taken = append(taken, string(msg))
				}
			},
			"withdraw": func(*rapid.T) { s.withdraw(key); open = false },
			"arrived": func(*rapid.T) {
				s.settle(key, true)
				got = append(got, taken...)
				taken = nil
			},
			"failed": func(*rapid.T) {
				s.settle(key, false)
				taken = nil
			},
			"stale": func(t *rapid.T) {
				if len(stale) == 0 {
					t.Skip("no replaced poll")
				}
				old := rapid.SampledFrom(stale).Draw(t, "old")
				s.withdraw(old)
				s.settle(old, rapid.Bool().Draw(t, "delivered"))
				if a := s.take(old, 100); a.status != http.StatusNoContent {
					t.Fatalf("a replaced poll got %+v", a)
				}
			},
			"": func(t *rapid.T) {
				if open && !told && waiting() > 0 {
					t.Fatalf("%d messages wait and the poll does not know", waiting())
				}
			},
		})
		for len(got)+len(lost)+len(taken) < len(sent) {
			begin()
			a := s.take(key, 100)
			if a.status != http.StatusOK {
				t.Fatalf("got %d, lost %d of %d messages", len(got), len(lost), len(sent))
			}
			s.settle(key, true)
			for _, msg := range a.messages {
				got = append(got, string(msg))
			}
		}
		rest := slices.DeleteFunc(slices.Clone(sent), func(m string) bool { return slices.Contains(lost, m) || slices.Contains(taken, m) })
		if !slices.Equal(got, rest) {
			t.Fatalf("got %q\nof %q\nlost %q", got, sent, lost)
		}
		if taken == nil && s.bytes != 0 {
			t.Fatalf("%d bytes are counted in an empty queue", s.bytes)
		}
	})
}
