package realtime

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/trunkline/trunkline/internal/wire"
)

// Broadcasts to a large topic that come while one goes out get on in one piece; a
// sender does not get its own, and who intercepts gets them one by one.
func TestBroadcastsGoTogether(t *testing.T) {
	t.Parallel()
	run(t, Config{}, func(t *testing.T, e *Engine) {
		var seen sync.Map
		hears := func() Handler {
			return &fakeHandler{intercepts: []string{"x"}, out: func(_ *Channel, _ string, p Payload) error {
				seen.Store(string(p.Data), true)
				return nil
			}}
		}
		var sender *Channel
		sends := func() Handler {
			return &fakeHandler{in: func(_ context.Context, c *Channel, _ string, _ Payload) (Reply, error) {
				sender = c
				return Reply{}, nil
			}}
		}
		slow, from, hearer := connect(t, e, wire.V2, "", plain), connect(t, e, wire.V1, "", sends), connect(t, e, wire.V2, "", hears)
		slow.send(`["1","1","room","phx_join",{}]`)
		from.send(`{"topic":"room","event":"phx_join","payload":{},"ref":"1"}`, `{"topic":"room","event":"me","payload":{},"ref":"2"}`)
		hearer.send(`["1","1","room","phx_join",{}]`)
		for range chunkSize {
			connect(t, e, wire.V2, "", plain).send(`["1","1","room","phx_join",{}]`)
		}
		slow.got()
		from.got()
		hearer.got()
		synctest.Wait()

		gate := make(chan struct{})
		slow.recorder.gate = gate
		var all sync.WaitGroup
		broadcast := func(n int, send func(string, string, Payload) error) {
			all.Go(func() {
				if err := send("room", "x", Payload{Data: fmt.Appendf(nil, `{"n":%d}`, n)}); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait() // it is in the first fan-out, or waits
		}
		// As many as there are workers go alone.
		last := runtime.GOMAXPROCS(0) + 2
		for n := range last {
			broadcast(n, e.Broadcast)
		}
		broadcast(last, sender.BroadcastFrom)
		close(gate)
		all.Wait()

		if got := slow.got(); len(got) != last+1 {
			t.Errorf("the slow one got %q", got)
		}
		if got := from.got(); len(got) != last {
			t.Errorf("the sender of the last got %q", got)
		}
		if n := slices.Max(append(slow.recorder.pieces, 0)); n < 3 || from.recorder.pieces != nil {
			t.Errorf("in one piece: %v, and %v to the sender", slow.recorder.pieces, from.recorder.pieces)
		}
		synctest.Wait()
		for n := range last + 1 {
			if _, ok := seen.Load(fmt.Sprintf(`{"n":%d}`, n)); !ok {
				t.Errorf("who intercepts did not get %d", n)
			}
		}
	})
}

// A function that is told of a broadcast may broadcast itself.
func TestAFunctionBroadcasts(t *testing.T) {
	t.Parallel()
	run(t, Config{}, func(t *testing.T, e *Engine) {
		c := connect(t, e, wire.V2, "", plain)
		c.send(`["1","1","room","phx_join",{}]`)
		c.got()
		cancel := e.Subscribe("room", func(b *Broadcast) {
			if b.Event == "x" {
				if err := e.Broadcast("room", "y", b.Payload); err != nil {
					t.Error(err)
				}
			}
		})
		defer cancel()
		if err := e.Broadcast("room", "x", EmptyObject); err != nil {
			t.Fatal(err)
		}
		c.want(`[null,null,"room","x",{}]`, `[null,null,"room","y",{}]`)
	})
}

// Many at once: everybody gets each broadcast once, and those of one broadcaster
// in order.
func TestManyBroadcastAtOnce(t *testing.T) {
	t.Parallel()
	run(t, Config{}, func(t *testing.T, e *Engine) {
		const broadcasters, each = 8, 200
		var clients []*client
		for range chunkSize + 10 {
			c := connect(t, e, wire.V2, "", plain)
			c.send(`["1","1","room","phx_join",{}]`)
			clients = append(clients, c)
		}
		for _, c := range clients {
			c.got()
		}
		var all sync.WaitGroup
		for who := range broadcasters {
			all.Go(func() {
				for n := range each {
					if err := e.Broadcast("room", fmt.Sprint(who), Payload{Data: fmt.Appendf(nil, `{"n":%d}`, n)}); err != nil {
						t.Error(err)
					}
				}
			})
		}
		all.Wait()
		for _, c := range clients {
			next := map[string]int{}
			for _, frame := range c.got() {
				var who string
				var n int
				if _, err := fmt.Sscanf(frame, `[null,null,"room",%q,{"n":%d}]`, &who, &n); err != nil {
					t.Fatal(frame, err)
				}
				if n != next[who] {
					t.Fatalf("of %s came %d, want %d", who, n, next[who])
				}
				next[who]++
			}
			for who := range broadcasters {
				if next[fmt.Sprint(who)] != each {
					t.Fatalf("%d of %d", next[fmt.Sprint(who)], who)
				}
			}
		}
	})
}
