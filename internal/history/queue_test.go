package history

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestFairShare(t *testing.T) {
	q := newQueue(1<<20, 1<<30, time.Hour)
	for i := range 3000 {
		_ = q.put(&pending{topic: "hot", event: fmt.Sprint(i)})
	}
	for i := range 5 {
		_ = q.put(&pending{topic: fmt.Sprint("cold", i), event: "x"})
	}
	batch, wait := q.take(1000, 1<<20)
	count := map[string]int{}
	for _, p := range batch {
		count[p.topic]++
	}
	if wait || len(batch) != 1000 || len(count) != 6 || count["hot"] != 995 {
		t.Errorf("a batch of %d: %v", len(batch), count)
	}
	for range 3000 { // as many as the hot topic
		_ = q.put(&pending{topic: "warm", event: "x"})
	}
	batch, _ = q.take(1000, 1<<20)
	hot := slices.DeleteFunc(batch, func(p *pending) bool { return p.topic != "hot" })
	if len(hot) != 500 {
		t.Errorf("one topic of two got %d of 1000", len(hot))
	}
}

func TestQueueBounds(t *testing.T) {
	q := newQueue(3, 40, time.Hour)
	if err := q.put(&pending{topic: "t", payload: make([]byte, 30)}); err != nil {
		t.Fatal(err)
	}
	if err := q.put(&pending{topic: "t", payload: make([]byte, 30)}); !errors.Is(err, ErrQueueFull) {
		t.Errorf("beyond the bytes: %v", err)
	}
	_ = q.put(&pending{topic: "t"})
	_ = q.put(&pending{topic: "t"})
	if err := q.put(&pending{topic: "t"}); !errors.Is(err, ErrQueueFull) {
		t.Errorf("beyond the messages: %v", err)
	}
	if batch, _ := q.take(10, 20); len(batch) != 1 {
		t.Errorf("a message larger than a batch came with %d others", len(batch)-1)
	}
}

// Whatever is put back or given up, messages leave in the order of their topic,
// each once, and the counts are right.
func TestQueueModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := newQueue(1000, 1<<20, time.Hour)
		waiting := map[string][]*pending{}
		var taken []*pending
		number := 0
		settle := func() { // what was taken and not put back was stored
			for _, p := range taken {
				if p.place != placeSent {
					continue
				}
				if first := waiting[p.topic][0]; first != p {
					t.Fatalf("%s: stored %s before %s", p.topic, p.event, first.event)
				}
				waiting[p.topic] = waiting[p.topic][1:]
			}
			taken = nil
		}
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				number++
				p := &pending{topic: rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "topic"), event: fmt.Sprint(number)}
				if err := q.put(p); err != nil {
					t.Fatal(err)
				}
				waiting[p.topic] = append(waiting[p.topic], p)
			},
			"take": func(t *rapid.T) {
				settle()
				batch, wait := q.take(rapid.IntRange(1, 5).Draw(t, "limit"), 1<<20)
				taken = q.seal(batch)
				for _, p := range taken {
					if wait && p.topic != taken[0].topic {
						t.Fatalf("%s and %s are waited for in one batch", p.topic, taken[0].topic)
					}
				}
			},
			"carry": func(t *rapid.T) {
				busy := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "topic")
				var back []*pending
				for _, p := range taken {
					if p.topic == busy {
						back = append(back, p)
					}
				}
				q.carry(back, true)
				settle()
			},
			"give up": func(t *rapid.T) {
				topic := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "topic")
				if len(waiting[topic]) == 0 {
					t.Skip("nothing waits")
				}
				i := rapid.IntRange(0, len(waiting[topic])-1).Draw(t, "which")
				p := waiting[topic][i]
				if sent := p.place == placeSent; q.giveUp(p) == sent {
					t.Fatalf("given up: %v, sent: %v", !sent, sent)
				} else if !sent {
					waiting[topic] = slices.Delete(waiting[topic], i, i+1)
				}
			},
			"": func(t *rapid.T) {
				q.mu.Lock()
				defer q.mu.Unlock()
				q.collect()
				count, lines := 0, 0
				for _, l := range q.order {
					count += len(l.messages)
					lines++
				}
				all := len(waiting["a"]) + len(waiting["b"]) + len(waiting["c"])
				for _, p := range taken {
					if p.place == placeSent {
						all--
					}
				}
				if messages, _ := q.load(); count != all || messages != all || lines != len(q.lines) {
					t.Fatalf("%d messages in %d lines of %d, counted %d; want %d", count, lines, len(q.lines), messages, all)
				}
			},
		})
	})
}
