package cluster

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/trunkline/trunkline/internal/pgtest"
)

// pair starts two nodes on a database of their own.
func pair(t testing.TB) (a, b *node) {
	t.Helper()
	url := databaseURL(pgtest.EmptyURL(t))
	return start(t, conformance, url), start(t, conformance, url)
}

// numbered is a payload that tells who sent it and when.
type numbered struct {
	From   string
	Number int
}

// Several clients of one node broadcast at once: a client of the other node gets
// everything, in each sender's order.
func TestBroadcastOrder(t *testing.T) {
	t.Parallel()
	const senders, messages = 3, 1000
	a, b := pair(t)
	topic := "room:order"
	receiver := connect(t, b).join(t, topic)
	began := time.Now()
	sending := make(chan error, senders)
	for i := range senders {
		c := connect(t, a).join(t, topic)
		go func() {
			for number := range messages {
				if _, err := c.push(topic, "new_msg", numbered{fmt.Sprint(i), number}); err != nil {
					sending <- err
					return
				}
			}
			sending <- nil
		}()
	}
	next := map[string]int{}
	for range senders * messages {
		var got numbered
		m := receiver.expect(t, topic, "new_msg")
		if err := json.Unmarshal(m.payload, &got); err != nil {
			t.Fatal(err)
		}
		if got.Number != next[got.From] {
			t.Fatalf("sender %s: number %d came, %d was due", got.From, got.Number, next[got.From])
		}
		next[got.From]++
	}
	t.Logf("%d messages of %d senders crossed in %v", senders*messages, senders, time.Since(began))
	for range senders {
		if err := <-sending; err != nil {
			t.Error(err)
		}
	}
	receiver.undisturbed(t)
}

// The time from a client of one node to a client of the other, without load.
func TestBroadcastLatency(t *testing.T) {
	t.Parallel()
	a, b := pair(t)
	topic := "room:latency"
	speaker, hearer := connect(t, a).join(t, topic), connect(t, b).join(t, topic)
	var took durations
	for n := range 200 {
		began := time.Now()
		speaker.mustPush(t, topic, "new_msg", object{"body": n})
		hearer.expect(t, topic, "new_msg")
		took = append(took, time.Since(began))
		speaker.expect(t, topic, "new_msg")
	}
	t.Logf("client to client across two nodes: %v", took)
	if took.quantile(0.5) > promptly {
		t.Errorf("half of the messages took more than %v", promptly)
	}
}

// sizes, in bytes, lie around what one notification holds (8,000) and go up to
// nearly the limit of a frame (1 MiB).
var sizes = []int{1, 100, 7_500, 7_900, 8_000, 8_192, 65_536, 300_000, 900_000}

func TestBroadcastSizes(t *testing.T) {
	t.Parallel()
	a, b := pair(t)
	topic := "room:sizes"
	from, to := connect(t, a).join(t, topic), connect(t, b).join(t, topic)
	for _, size := range sizes {
		sent := object{"body": randomText(t, size)}
		from.mustPush(t, topic, "new_msg", sent)
		for _, c := range []*client{from, to} {
			var got object
			m := c.expect(t, topic, "new_msg")
			if err := json.Unmarshal(m.payload, &got); err != nil {
				t.Fatal(err)
			}
			if got["body"] != sent["body"] {
				t.Errorf("a text of %d bytes arrived changed", size)
			}
		}

		data := randomBytes(size)
		if err := from.pushBinary(topic, "bin_bcast", data); err != nil {
			t.Fatal(err)
		}
		for _, c := range []*client{from, to} {
			f, err := c.next(patience)
			if err != nil {
				t.Fatal(err)
			}
			gotTopic, event, got, err := decodeBroadcast(f)
			if err != nil || gotTopic != topic || event != "bin_bcast" || string(got) != string(data) {
				t.Errorf("%d bytes arrived changed: %s %s %v", size, gotTopic, event, err)
			}
		}
	}
}

// randomText takes so many bytes as JSON, its quotes aside, and holds all that
// JSON and UTF-8 make difficult.
func randomText(t testing.TB, size int) string {
	t.Helper()
	alphabet := []string{"a", "Z", "9", " ", `"`, `\`, "/", "\n", "\t", "\x01", "<", "é", "€", "😀", "\u2028"}
	var text strings.Builder
	for left := size; left > 0; {
		next := alphabet[rand.IntN(len(alphabet))]
		encoded, err := json.Marshal(next)
		if err != nil {
			t.Fatal(err)
		}
		if takes := len(encoded) - len(`""`); takes <= left {
			text.WriteString(next)
			left -= takes
		}
	}
	return text.String()
}

func randomBytes(size int) []byte {
	data := make([]byte, size)
	for i := range data {
		data[i] = byte(rand.Uint32())
	}
	return data
}

// broadcast_from leaves out the sender alone, on both nodes.
func TestBroadcastFrom(t *testing.T) {
	t.Parallel()
	a, b := pair(t)
	topic := "room:from"
	sender, neighbour, remote := connect(t, a).join(t, topic), connect(t, a).join(t, topic), connect(t, b).join(t, topic)
	sender.mustPush(t, topic, "typing", object{"n": 1})
	neighbour.expect(t, topic, "typing")
	remote.expect(t, topic, "typing")
	remote.mustPush(t, topic, "new_msg", object{"n": 2}) // comes after whatever came back
	for _, c := range []*client{sender, neighbour, remote} {
		c.expect(t, topic, "new_msg")
		c.undisturbed(t)
	}
}

// A disconnect by socket id closes the user's connections on all nodes, and no
// others.
func TestDisconnect(t *testing.T) {
	t.Parallel()
	a, b := pair(t)
	one, two := userToken(t, "1"), userToken(t, "2")
	leaving := []*client{connectUser(t, a, one), connectUser(t, b, one).join(t, "room:lobby"), connectUser(t, b, one)}
	staying := []*client{connectUser(t, a, two).join(t, "room:lobby"), connectUser(t, b, two)}
	a.hook(t, object{"op": "disconnect", "id": "user_socket:1"})
	for _, c := range leaving {
		if code := c.closeCode(t, patience); code != 1001 {
			t.Errorf("closed with %d (%v), want 1001", code, c.err)
		}
	}
	for _, c := range staying {
		c.undisturbed(t)
	}
}
