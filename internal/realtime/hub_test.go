package realtime

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"pgregory.net/rapid"

	"github.com/trunkline/trunkline/internal/wire"
)

// The hub is checked against a plain map: whatever is subscribed, and nothing
// else, gets a broadcast once.
func TestHubAgainstAModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		h := newHub(nil)
		topics := []string{"a", "b", "c"}
		got := map[*subscription]int{}
		var mu sync.Mutex
		model := map[string][]*subscription{}
		t.Repeat(map[string]func(*rapid.T){
			"subscribe": func(t *rapid.T) {
				topic := rapid.SampledFrom(topics).Draw(t, "topic")
				for range rapid.SampledFrom([]int{1, 1, 3, chunkSize, chunkSize + 7}).Draw(t, "n") {
					s := &subscription{topic: topic}
					s.fn = func(*Broadcast) {
						mu.Lock()
						defer mu.Unlock()
						got[s]++
					}
					h.subscribe(s)
					model[topic] = append(model[topic], s)
				}
			},
			"unsubscribe": func(t *rapid.T) {
				topic := rapid.SampledFrom(topics).Draw(t, "topic")
				for range min(len(model[topic]), rapid.SampledFrom([]int{1, 5, chunkSize}).Draw(t, "n")) {
					i := rapid.IntRange(0, len(model[topic])-1).Draw(t, "i")
					s := model[topic][i]
					h.unsubscribe(s)
					h.unsubscribe(s) // again: nothing happens
					model[topic] = slices.Delete(model[topic], i, i+1)
				}
			},
			"": func(t *rapid.T) {
				for _, topic := range topics {
					clear(got)
					n := h.dispatch(&Broadcast{Topic: topic}, nil, nil)
					if n != len(model[topic]) || len(got) != n || h.count(topic) != n {
						t.Fatalf("topic %s: %d delivered to %d subscribers, want %d", topic, n, len(got), len(model[topic]))
					}
					for _, s := range model[topic] {
						if got[s] != 1 {
							t.Fatalf("a subscriber of %s got %d", topic, got[s])
						}
					}
				}
			},
		})
		for _, topic := range topics {
			for _, s := range model[topic] {
				h.unsubscribe(s)
			}
			if h.shard(topic).topics[topic] != nil {
				t.Fatalf("topic %s left something behind", topic)
			}
		}
	})
}

func TestBroadcastReachesMembersOnceAndInOrder(t *testing.T) {
	t.Parallel()
	run(t, Config{}, func(t *testing.T, e *Engine) {
		var members []*client
		for range 3 * chunkSize {
			c := connect(t, e, wire.V2, "", plain)
			c.send(`["1","1","room","phx_join",{}]`)
			members = append(members, c)
		}
		old := connect(t, e, wire.V1, "", plain)
		old.send(`{"topic":"room","event":"phx_join","payload":{},"ref":"1"}`)
		old.got()
		for _, c := range members {
			c.got()
		}
		for i := range 3 {
			if err := e.Broadcast("room", "x", Payload{Data: fmt.Appendf(nil, `{"n":%d}`, i)}); err != nil {
				t.Fatal(err)
			}
		}
		for _, c := range members {
			c.want(`[null,null,"room","x",{"n":0}]`, `[null,null,"room","x",{"n":1}]`, `[null,null,"room","x",{"n":2}]`)
		}
		old.want(`{"topic":"room","event":"x","payload":{"n":0},"ref":null}`,
			`{"topic":"room","event":"x","payload":{"n":1},"ref":null}`,
			`{"topic":"room","event":"x","payload":{"n":2},"ref":null}`)
	})
}

func TestBroadcastFromLeavesOutOneChannel(t *testing.T) {
	t.Parallel()
	run(t, Config{}, func(t *testing.T, e *Engine) {
		h := func() Handler {
			return &fakeHandler{in: func(_ context.Context, c *Channel, event string, p Payload) (Reply, error) {
				return Reply{}, c.BroadcastFrom("room", event, p)
			}}
		}
		a, b := connect(t, e, wire.V2, "", h), connect(t, e, wire.V2, "", h)
		a.send(`["1","1","room","phx_join",{}]`, `["2","2","other","phx_join",{}]`)
		b.send(`["1","1","room","phx_join",{}]`)
		a.got()
		b.got()
		a.send(`["1","3","room","x",{}]`)
		a.want()
		b.want(`[null,null,"room","x",{}]`)
		a.send(`["2","4","other","x",{}]`) // another channel of the same connection
		a.want(`[null,null,"room","x",{}]`)
		b.want(`[null,null,"room","x",{}]`)
	})
}

func TestABroadcastThatSomeCannotGetIsAnError(t *testing.T) {
	t.Parallel()
	run(t, Config{}, func(t *testing.T, e *Engine) {
		a, old := connect(t, e, wire.V2, "", plain), connect(t, e, wire.V1, "", plain)
		a.send(`["1","1","room","phx_join",{}]`)
		old.send(`{"topic":"room","event":"phx_join","payload":{},"ref":"1"}`)
		a.got()
		old.got()
		if err := e.Broadcast("room", "x", Payload{Data: []byte{1, 2}, Binary: true}); !errors.Is(err, wire.ErrBinaryToV1) {
			t.Errorf("binary to a 1.0.0 client: %v", err)
		}
		if got := a.got(); len(got) != 1 {
			t.Errorf("the 2.0.0 member got %q", got)
		}
		if err := e.Broadcast("room", "x", Payload{Data: []byte(`[1]`)}); !errors.Is(err, wire.ErrPayloadNotMap) {
			t.Errorf("an array to a 2.0.0 client: %v", err)
		}
		old.want(`{"topic":"room","event":"x","payload":[1],"ref":null}`)
	})
}

func TestExtraSubscriptionsComeToHandleInfo(t *testing.T) {
	t.Parallel()
	run(t, Config{}, func(t *testing.T, e *Engine) {
		var infos []string
		c := connect(t, e, wire.V2, "", always(&fakeHandler{
			in: func(_ context.Context, c *Channel, event string, _ Payload) (Reply, error) {
				switch event {
				case "subscribe":
					return Reply{}, c.Subscribe("news")
				default:
					c.Unsubscribe("news")
					return Reply{}, nil
				}
			},
			info: func(_ *Channel, msg any) error {
				infos = append(infos, msg.(*Broadcast).Event)
				return nil
			},
		}))
		c.send(`["1","1","a","phx_join",{}]`, `["1",null,"a","subscribe",{}]`, `["1",null,"a","subscribe",{}]`)
		synctest.Wait()
		_ = e.Broadcast("news", "x", EmptyObject)
		c.send(`["1",null,"a","unsubscribe",{}]`)
		synctest.Wait()
		_ = e.Broadcast("news", "y", EmptyObject)
		synctest.Wait()
		if got := fmt.Sprint(infos); got != "[x x]" {
			t.Errorf("got %s: twice subscribed is twice delivered", got)
		}
	})
}

func FuzzBroadcastBody(f *testing.F) {
	f.Add([]byte(`j3:abc{"a":1}`))
	f.Add([]byte("b0:"))
	f.Fuzz(func(t *testing.T, body []byte) {
		b, err := parseBroadcast("t", body)
		if err != nil {
			return
		}
		again, err := parseBroadcast("t", BroadcastBody(b.Event, b.Payload))
		if err != nil || again.Event != b.Event || string(again.Payload.Data) != string(b.Payload.Data) || again.Payload.Binary != b.Payload.Binary {
			t.Fatalf("round trip of %q gave %+v, %v", body, again, err)
		}
	})
}
