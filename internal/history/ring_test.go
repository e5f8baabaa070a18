package history

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestRingExpires(t *testing.T) {
	r := ring{maxMessages: 10, maxBytes: 1 << 20}
	began := time.Now()
	for id := int64(1); id <= 6; id++ {
		r.push(&Message{ID: id, InsertedAt: began.Add(time.Duration(id) * time.Second)})
	}
	r.expire(began.Add(4 * time.Second))
	if _, _, ok := r.page(2, 10, 1<<20); ok {
		t.Error("a page that begins with what is too old came from memory")
	}
	messages, _, ok := r.page(3, 10, 1<<20)
	if !ok || len(messages) != 3 || messages[0].ID != 4 {
		t.Errorf("%d messages, %v; want 4 to 6", len(messages), ok)
	}
}

// A page that was read before an edit that the ring has seen is out of date.
func TestRingKeepsEdits(t *testing.T) {
	r := ring{maxMessages: 10, maxBytes: 1 << 20}
	r.restart(3)
	r.push(&Message{ID: 4, Event: EventUpdated, RefersTo: 2})
	old := []*Message{{ID: 1}, {ID: 2}, {ID: 3}}
	r.prepend(0, 3, 3, old)
	if _, _, ok := r.page(0, 10, 1<<20); ok {
		t.Error("a message from before its edit is in the ring")
	}
	r.prepend(2, 3, 3, old[2:])
	if _, _, ok := r.page(2, 10, 1<<20); !ok {
		t.Error("a message that was not edited is not in the ring")
	}
	r.prepend(0, 3, 4, old)
	if _, _, ok := r.page(0, 10, 1<<20); !ok {
		t.Error("messages from after the edit are not in the ring")
	}
}

// The ring answers with exactly what was pushed and prepended, or not at all.
func TestRingModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := ring{maxMessages: rapid.IntRange(1, 8).Draw(t, "messages"), maxBytes: rapid.IntRange(600, 4000).Draw(t, "bytes")}
		log := map[int64]*Message{} // without what retention deleted
		head := rapid.Int64Range(0, 20).Draw(t, "head")
		for id := int64(1); id <= head; id++ {
			log[id] = &Message{ID: id, Payload: []byte(`{}`)}
		}
		r.restart(head)
		list := func(after, upTo int64) (messages []*Message) {
			for id := after + 1; id <= upTo; id++ {
				if m := log[id]; m != nil {
					messages = append(messages, m)
				}
			}
			return messages
		}
		t.Repeat(map[string]func(*rapid.T){
			"push": func(t *rapid.T) {
				head += int64(rapid.SampledFrom([]int{1, 1, 1, 1, 3}).Draw(t, "step"))
				log[head] = &Message{ID: head, Payload: make([]byte, rapid.IntRange(2, 300).Draw(t, "size"))}
				r.push(log[head])
			},
			"prepend": func(t *rapid.T) {
				after := rapid.Int64Range(0, head).Draw(t, "after")
				covered := rapid.Int64Range(after, head).Draw(t, "covered")
				r.prepend(after, covered, head, list(after, covered))
			},
			"page": func(t *rapid.T) {
				after := rapid.Int64Range(0, head+1).Draw(t, "after")
				limit := rapid.IntRange(1, 10).Draw(t, "limit")
				got, more, ok := r.page(after, limit, 1<<20)
				if !ok {
					return
				}
				want := list(after, head)
				if more != (len(want) > limit) {
					t.Fatalf("after %d, limit %d: more is %v of %d", after, limit, more, len(want))
				}
				if want = want[:min(limit, len(want))]; fmt.Sprint(got) != fmt.Sprint(want) {
					t.Fatalf("after %d: %v, want %v", after, got, want)
				}
			},
			"newest": func(t *rapid.T) {
				n := rapid.IntRange(1, 10).Draw(t, "n")
				if got, ok := r.newest(n, 1<<20, 1); ok {
					want := list(0, head)
					if want = want[max(0, len(want)-n):]; fmt.Sprint(got) != fmt.Sprint(want) {
						t.Fatalf("newest %d: %v, want %v", n, got, want)
					}
				}
			},
			"": func(t *rapid.T) {
				bytes := 0
				for _, m := range r.messages {
					bytes += messageBytes(m)
				}
				if bytes != r.bytes || bytes > r.maxBytes || len(r.messages) > r.maxMessages || r.head != head {
					t.Fatalf("%d messages, %d bytes of %d, head %d: want %d", len(r.messages), r.bytes, bytes, r.head, head)
				}
			},
		})
	})
}
