package cluster

import (
	"fmt"
	"strings"
	"testing"

	"github.com/trunkline/trunkline/internal/pgtest"
)

// A client that never reads is cut while much is broadcast. The others, of both
// nodes, get everything, and the server's memory stays bounded.
func TestSlowReader(t *testing.T) { // alone, as it moves much
	const (
		messages = 1000
		size     = 50_000
		window   = 5         // messages under way, so that no good reader is overrun
		growth   = 100 << 20 // bytes that the process may grow by
	)
	url := databaseURL(pgtest.EmptyURL(t))
	a, b := start(t, conformance, url), start(t, conformance, url)
	topic := "room:busy"
	speaker := connect(t, a).join(t, topic)
	readers := []*client{speaker, connect(t, a).join(t, topic), connect(t, a).join(t, topic), connect(t, b).join(t, topic)}

	slow := connectWithoutReading(t, a, topic)
	sockets := a.metric(t, "trunkline_sockets")
	if want := 1 + float64(len(readers)-1); sockets != want {
		t.Fatalf("%v sockets on the node, want %v", sockets, want)
	}
	before := residentBytes(t, a.PID())
	most := before

	filler := strings.Repeat("x", size)
	received := make([]int, len(readers))
	cutAfter := -1
	for sent := range messages + window {
		if sent < messages {
			speaker.mustPush(t, topic, "new_msg", object{"body": filler, "n": sent})
		}
		if sent < window {
			continue
		}
		for i, c := range readers {
			f, err := c.next(patience)
			if err != nil {
				t.Fatalf("reader %d, message %d: %v", i, received[i], err)
			}
			want := fmt.Sprintf(`[null,null,%q,"new_msg",{"body":"%s","n":%d}]`, topic, filler, received[i])
			if string(f.data) != want {
				t.Fatalf("reader %d, message %d: got %s", i, received[i], f)
			}
			received[i]++
		}
		if sent%25 == 0 {
			most = max(most, residentBytes(t, a.PID()))
			if cutAfter < 0 && a.metric(t, "trunkline_sockets") == sockets-1 {
				cutAfter = sent
			}
		}
	}
	t.Logf("%d MB were broadcast; resident memory was %d MiB before and %d MiB at most", messages*size/1_000_000, before>>20, most>>20)
	if most-before > growth {
		t.Errorf("the process grew by %d MiB, the limit is %d", (most-before)>>20, growth>>20)
	}
	if cutAfter < 0 {
		t.Error("the client that does not read is still connected")
	} else {
		t.Logf("the client that does not read was cut after at most %d MB", cutAfter*size/1_000_000)
	}
	got := slow.drain(t)
	t.Logf("it finds %d of the messages in its buffers", got)
	if got >= messages {
		t.Error("the client that did not read got everything")
	}
	for _, c := range readers {
		c.undisturbed(t)
	}
}
