package pubsub

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Whatever is lost, delayed or announced on the way: no message is handled
// twice or out of order, and at the end each one was handled or counted as lost.
func TestPeerCountsEveryLoss(t *testing.T) {
	t.Parallel()
	const own = "abcdefghij22"
	rapid.Check(t, func(t *rapid.T) {
		direct := rapid.Bool().Draw(t, "direct")
		p := &peer{}
		stream, epoch := byte(streamBroadcast), uint64(0)
		if direct {
			stream, epoch = streamDirect, 1
		}
		var sent, base, handled, lost uint64
		var newest uint64
		var delayed []header
		arrive := func(h header, n int) {
			missing, late := p.arrived(h, n)
			lost += uint64(missing)
			if late {
				return
			}
			if h.counter <= newest {
				t.Fatalf("message %d is handled after %d", h.counter, newest)
			}
			newest = h.counter + uint64(n) - 1
			handled += uint64(n)
		}
		if !direct { // the first thing heard of a broadcast stream is the base line
			sent = rapid.Uint64Range(0, 1<<40).Draw(t, "before")
			base = sent
			p.announced(heartbeat{broadcast: sent}, own)
		}
		announce := func() {
			h := heartbeat{broadcast: sent, direct: []directCounter{{"zzzzzzzzzz22", 9, 1 << 50}}}
			if direct {
				h.broadcast = 0
				h.direct = append(h.direct, directCounter{own, epoch, sent})
			}
			lost += uint64(p.announced(h, own))
		}
		t.Repeat(map[string]func(*rapid.T){
			"send": func(t *rapid.T) {
				n := rapid.IntRange(1, 5).Draw(t, "messages")
				h := header{stream: stream, epoch: epoch, counter: sent + 1}
				sent += uint64(n)
				switch rapid.SampledFrom([]string{"arrive", "arrive", "lose", "delay"}).Draw(t, "fate") {
				case "arrive":
					arrive(h, n)
				case "delay":
					if n == 1 {
						delayed = append(delayed, h)
					}
				}
			},
			"catch up": func(t *rapid.T) {
				for _, h := range delayed {
					if h.counter < p.next(direct) { // overtaken, so it was counted as lost
						arrive(h, 1)
					}
				}
				delayed = nil
			},
			"announce": func(*rapid.T) { announce() },
		})
		announce()
		if handled+lost != sent-base {
			t.Fatalf("%d sent, %d handled, %d lost", sent-base, handled, lost)
		}
	})
}

func (p *peer) next(direct bool) uint64 {
	if direct {
		return p.direct
	}
	return p.broadcast
}

func TestPeerNewEpoch(t *testing.T) {
	t.Parallel()
	p := &peer{}
	direct := func(epoch, counter uint64) header {
		return header{stream: streamDirect, epoch: epoch, counter: counter}
	}
	for _, step := range []struct {
		h    header
		lost int
		late bool
	}{
		{direct(1, 1), 0, false},
		{direct(1, 2), 0, false},
		{direct(4, 1), 0, false}, // the sender forgot us and began anew
		{direct(1, 3), 0, true},
		{direct(4, 4), 2, false},
		{direct(5, 3), 2, false}, // its first two are missing
	} {
		lost, late := p.arrived(step.h, 1)
		if lost != step.lost || late != step.late {
			t.Errorf("%+v: lost %d, late %v; want %d, %v", step.h, lost, late, step.lost, step.late)
		}
	}
}

func TestPeersAreForgotten(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	ps := newPeers()
	for range maxPeers + 10 {
		now = now.Add(time.Second)
		ps.find("web@"+newIncarnation(), now)
	}
	if len(ps.byID) != maxPeers || ps.count.Load() != maxPeers {
		t.Errorf("%d peers are kept, %d counted, want %d", len(ps.byID), ps.count.Load(), maxPeers)
	}
	ps.forgetSilent(now.Add(forgetPeerAfter + time.Second))
	if len(ps.byID) != 0 || ps.count.Load() != 0 {
		t.Errorf("%d silent peers are kept, %d counted", len(ps.byID), ps.count.Load())
	}
}
