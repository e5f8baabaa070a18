package realtime

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/trunkline/trunkline/internal/wire"
)

// Only what goes to a large topic waits for others; a sender does not get its
// own, and who intercepts gets it in its mailbox.
func TestWhatWaits(t *testing.T) {
	t.Parallel()
	run(t, Config{}, func(t *testing.T, e *Engine) {
		hears := func() Handler {
			return &fakeHandler{intercepts: []string{"x"}, out: func(c *Channel, event string, p Payload) error {
				return c.Push(event, p)
			}}
		}
		sends := func() Handler {
			return &fakeHandler{in: func(_ context.Context, c *Channel, _ string, p Payload) (Reply, error) {
				return Reply{}, c.BroadcastFrom("room", "x", p)
			}}
		}
		first, from, hearer := connect(t, e, wire.V2, "", plain), connect(t, e, wire.V1, "", sends), connect(t, e, wire.V2, "", hears)
		first.send(`["1","1","room","phx_join",{}]`)
		from.send(`{"topic":"room","event":"phx_join","payload":{},"ref":"1"}`)
		hearer.send(`["1","1","room","phx_join",{}]`)
		push := func(posted int) {
			t.Helper()
			for _, c := range []*client{first, from, hearer} {
				c.got()
			}
			from.send(`{"topic":"room","event":"go","payload":{"n":1},"ref":"2"}`)
			first.want(`[null,null,"room","x",{"n":1}]`)
			hearer.want(`["1",null,"room","x",{"n":1}]`)
			from.want()
			if first.recorder.posted != posted || from.recorder.posted+hearer.recorder.posted != 0 {
				t.Errorf("%d, %d and %d frames might wait", first.recorder.posted, from.recorder.posted, hearer.recorder.posted)
			}
		}
		push(0)
		for range chunkSize {
			connect(t, e, wire.V2, "", plain).send(`["1","1","room","phx_join",{}]`)
		}
		push(1)
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
