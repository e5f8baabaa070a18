package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/trunkline/trunkline/test/history/verify"
)

const fakeTopic = "room:fake"

// follow runs a subscriber against the fake server until it has been delivered
// so many messages, and returns what it has recorded, checked against a topic
// of this head.
func follow(t *testing.T, number, deliveries, head int, answer func(connection int, m message) []string) (*fakeServer, []verify.Violation) {
	t.Helper()
	f := startFake(t, answer)
	counts := &counts{}
	s := newSubscriber(number, f.cluster(), []string{fakeTopic}, counts)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { s.run(ctx) })
	defer running.Wait()
	defer cancel()
	eventually(t, "everything is delivered", func() bool { return int(counts.delivered.Load()) >= deliveries })
	cancel()
	running.Wait()

	run := verify.Run{Topics: []verify.Topic{{Name: fakeTopic, Head: int64(head)}}, Streams: []verify.Stream{s.streams[fakeTopic].record}}
	for id := 1; id <= head; id++ {
		p, err := verify.ParsePayload([]byte(stored(id)))
		if err != nil {
			t.Fatal(err)
		}
		run.Rows = append(run.Rows, verify.Row{Topic: fakeTopic, ID: int64(id), Event: "new_msg", Key: p.Key, Text: p.Text, Payload: p.Whole})
		run.Publishes = append(run.Publishes, verify.Publish{Publisher: "p", Topic: fakeTopic, Event: "new_msg", Key: p.Key, Text: p.Text, ID: int64(id)})
	}
	return f, verify.Check(run)
}

func live(ids ...int) (frames []string) {
	for _, id := range ids {
		frames = append(frames, eventOn(fakeTopic, "new_msg", stored(id)))
	}
	return frames
}

// A subscriber goes on where it was, over pages, events, errors and lost
// connections.
func TestSubscriberFollows(t *testing.T) {
	t.Parallel()
	joins := 0
	f, found := follow(t, 1, 9, 9, func(connection int, m message) []string {
		if m.Event != "phx_join" {
			return []string{}
		}
		joins++
		switch joins {
		case 1: // a page, and the rest as events
			frames := append([]string{replyTo(m, "ok", page(2, true, 1, 2))}, live(3, 4)...)
			return append(frames, eventOn(fakeTopic, "typing", `{"user_id":"x"}`), eventOn(fakeTopic, "phx_error", `{}`))
		case 2:
			return []string{replyTo(m, "error", `{"reason":"join crashed"}`)}
		case 3:
			return nil // the connection ends
		case 4: // nothing missed, then live
			frames := append([]string{replyTo(m, "ok", page(4, false))}, live(5, 6, 7)...)
			return append(frames, eventOn(fakeTopic, "phx_close", `{}`))
		}
		return []string{replyTo(m, "ok", page(9, false, 8, 9))}
	})
	for _, v := range found {
		t.Error(v)
	}
	var seen []string
	for _, params := range f.joined() {
		seen = append(seen, fmt.Sprint(params["last_seen_id"], " ", params["epoch"]))
	}
	want := "0 <nil>, 4 e, 4 e, 4 e, 7 e"
	if got := strings.Join(seen, ", "); got != want {
		t.Errorf("joined with %s, want %s", got, want)
	}
}

// What a server does wrong is in the records: nothing is filtered on the way.
func TestSubscriberRecordsWhatIsWrong(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		number     int // 0 asks for events
		deliveries int
		head       int
		answers    [][]string // to the first join, the second and so on; the connection ends between them
		want       []verify.Kind
	}{
		"a message live and again in the page": {
			1, 5, 4,
			[][]string{append([]string{page(2, false, 1, 2)}, live(3)...), {page(4, false, 3, 4)}},
			[]verify.Kind{verify.KindDuplicate},
		},
		"a message left out":  {1, 3, 4, [][]string{append([]string{page(2, false, 1, 2)}, live(4)...)}, []verify.Kind{verify.KindGap}},
		"a reply that skips":  {1, 3, 4, [][]string{append([]string{page(3, false, 1, 2)}, live(4)...)}, []verify.Kind{verify.KindComplaint, verify.KindGap}},
		"the newest left out": {1, 3, 4, [][]string{append([]string{page(2, false, 1, 2)}, live(3)...)}, []verify.Kind{verify.KindNotAtHead}},
		"out of order":        {1, 4, 4, [][]string{append([]string{page(2, false, 1, 2)}, live(4, 3)...)}, []verify.Kind{verify.KindOutOfOrder}},
		"live before the reply": {
			1, 4, 4,
			[][]string{append(live(3), page(2, false, 1, 2), live(4)[0])},
			[]verify.Kind{verify.KindOutOfOrder},
		},
		"a reset": {
			1, 2, 2,
			[][]string{{strings.Replace(page(2, false, 1, 2), `{`, `{"reset":true,`, 1)}},
			[]verify.Kind{verify.KindComplaint},
		},
		"another epoch": {
			1, 3, 3,
			[][]string{{page(2, false, 1, 2)}, {strings.Replace(page(3, false, 3), `"e"`, `"f"`, 1)}},
			[]verify.Kind{verify.KindComplaint},
		},
		"messages in the reply for one who wants events": {0, 2, 2, [][]string{{page(2, false, 1, 2)}}, []verify.Kind{verify.KindComplaint}},
		"no id": {
			1, 3, 2,
			[][]string{{page(2, false, 1, 2), eventOn(fakeTopic, "new_msg", `{"body":"m-3 text"}`)}},
			[]verify.Kind{verify.KindWrongID},
		},
		"a stranger": {1, 3, 2, [][]string{append([]string{page(2, false, 1, 2)}, live(3)...)}, []verify.Kind{verify.KindStranger}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			joins := 0
			_, found := follow(t, c.number, c.deliveries, c.head, func(_ int, m message) []string {
				switch {
				case m.Event != "phx_join":
					return []string{}
				case joins == len(c.answers):
					return []string{} // no answer
				}
				frames := slices.Clone(c.answers[joins])
				for i, frame := range frames {
					if strings.HasPrefix(frame, "{") {
						frames[i] = replyTo(m, "ok", frame)
					}
				}
				if joins++; joins < len(c.answers) {
					frames = append(frames, eventOn(fakeTopic, "phx_error", `{}`))
				}
				return frames
			})
			var got []verify.Kind
			for _, v := range found {
				got = append(got, v.Kind)
			}
			slices.Sort(got)
			if !slices.Equal(slices.Compact(got), c.want) {
				t.Errorf("found %v, want %v", found, c.want)
			}
		})
	}
}

// A paused subscriber reads nothing, and goes on where it was.
func TestPausedSubscriber(t *testing.T) {
	t.Parallel()
	f := startFake(t, func(_ int, m message) []string {
		if m.Event != "phx_join" {
			return []string{}
		}
		return []string{replyTo(m, "ok", page(2, false, 1, 2))}
	})
	counts := &counts{}
	s := newSubscriber(1, f.cluster(), []string{fakeTopic}, counts)
	s.gate.close()
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { s.run(ctx) })
	defer running.Wait()
	defer cancel()
	eventually(t, "it has joined", func() bool { return len(f.joined()) == 1 })
	if n := counts.delivered.Load(); n != 0 {
		t.Errorf("%d messages came through the closed gate", n)
	}
	s.gate.open()
	eventually(t, "it reads", func() bool { return counts.delivered.Load() == 2 })
	s.cut()
	eventually(t, "it has joined again", func() bool { return len(f.joined()) == 2 })
	if n := counts.reconnects.Load(); n != 1 {
		t.Errorf("%d reconnects, want 1", n)
	}
}
