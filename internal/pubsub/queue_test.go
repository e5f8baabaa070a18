package pubsub

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// drops counts what a queue reports, by reason.
type drops map[string]int

func (d drops) add(reason string, n int) { d[reason] += n }

func TestQueueFull(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	dropped := drops{}
	one := outgoing{topic: "t", body: []byte("0")}
	q := newQueue("trunkline", 3*one.size(), time.Minute, dropped.add)
	put := func(body string) error { return q.put(now, "", 1, "t", []byte(body)) }

	for i := range 5 { // away: the newest stay
		if err := put(fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	if dropped[dropQueueFull] != 2 {
		t.Errorf("dropped %v, want 2 as queue_full", dropped)
	}
	q.setAway(false) // there: the publisher is told
	if err := put("5"); !errors.Is(err, ErrQueueFull) {
		t.Errorf("put into a full queue: %v, want ErrQueueFull", err)
	}
	batch, left := q.take(now, 1<<20)
	if len(batch) != 3 || left != 0 || string(batch[0].body) != "2" || batch[0].counter != 3 {
		t.Errorf("took %d messages from %s/%d on, %d left; want 3 from 2/3 on, 0", len(batch), batch[0].body, batch[0].counter, left)
	}
	q.close()
	if err := put("6"); !errors.Is(err, ErrClosed) {
		t.Errorf("put into a closed queue: %v, want ErrClosed", err)
	}
}

func TestQueueExpires(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	dropped := drops{}
	q := newQueue("trunkline", 1<<20, 10*time.Second, dropped.add)
	for i := range 4 {
		if err := q.put(now.Add(time.Duration(i)*5*time.Second), "", 1, "t", nil); err != nil {
			t.Fatal(err)
		}
	}
	batch, _ := q.take(now.Add(20*time.Second), 1<<20) // ages 20, 15, 10, 5
	if len(batch) != 2 || batch[0].counter != 3 || dropped[dropExpired] != 2 {
		t.Errorf("took %d messages, dropped %v; want the last 2, 2 expired", len(batch), dropped)
	}
	if h := q.announce(now); h.broadcast != 4 {
		t.Errorf("announced %d, want 4: the dropped ones count", h.broadcast)
	}
}

func TestQueueForgetsDirectStreams(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	q := newQueue("trunkline", 1<<20, time.Minute, drops{}.add)
	first := newIncarnation()
	put := func(incarnation string) outgoing {
		t.Helper()
		now = now.Add(time.Millisecond)
		if err := q.put(now, incarnation, 1, "t", nil); err != nil {
			t.Fatal(err)
		}
		batch, _ := q.take(now, 1<<20)
		return batch[0]
	}
	before := put(first)
	for range maxDirectStreams {
		put(newIncarnation())
	}
	if len(q.direct) != maxDirectStreams {
		t.Errorf("%d streams are kept, want %d", len(q.direct), maxDirectStreams)
	}
	if after := put(first); after.counter != 1 || after.stream.epoch <= before.stream.epoch {
		t.Errorf("a forgotten stream goes on as %d of epoch %d after epoch %d", after.counter, after.stream.epoch, before.stream.epoch)
	}
}

// Whatever is put, taken, put back and dropped: what is taken is in order, and
// each message is taken, dropped or still there.
func TestQueueModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		now := time.Unix(1000, 0)
		dropped := drops{}
		q := newQueue("trunkline", 2000, 10*time.Second, dropped.add)
		nodes := []string{"", newIncarnation(), newIncarnation()}
		last := make(map[*stream]uint64)
		accepted, taken := 0, 0
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				err := q.put(now, rapid.SampledFrom(nodes).Draw(t, "node"), 1, "t", make([]byte, rapid.IntRange(0, 900).Draw(t, "size")))
				if err == nil {
					accepted++
				} else if q.away || !errors.Is(err, ErrQueueFull) {
					t.Fatal(err)
				}
			},
			"take": func(t *rapid.T) {
				batch, _ := q.take(now, rapid.IntRange(1, 3000).Draw(t, "bytes"))
				if rapid.Bool().Draw(t, "fail") {
					q.putBack(batch)
					return
				}
				taken += len(batch)
				for _, m := range batch {
					if m.counter <= last[m.stream] {
						t.Fatalf("message %d after %d", m.counter, last[m.stream])
					}
					last[m.stream] = m.counter
					if m.counter > m.stream.settled {
						t.Fatalf("message %d is taken, but only %d settled", m.counter, m.stream.settled)
					}
				}
			},
			"away":  func(t *rapid.T) { q.setAway(rapid.Bool().Draw(t, "away")) },
			"pause": func(t *rapid.T) { now = now.Add(time.Duration(rapid.IntRange(0, 12).Draw(t, "seconds")) * time.Second) },
			"": func(t *rapid.T) {
				messages, bytes := q.load()
				if accepted != taken+messages+dropped[dropQueueFull]+dropped[dropExpired] {
					t.Fatalf("accepted %d, taken %d, queued %d, dropped %v", accepted, taken, messages, dropped)
				}
				sum := 0
				for i := range q.items {
					sum += q.items[i].size()
				}
				if sum != bytes {
					t.Fatalf("%d bytes are counted as %d", sum, bytes)
				}
			},
		})
	})
}
