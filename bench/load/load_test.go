//go:build linux

package load

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

const (
	patience = 20 * time.Second
	clients  = 5
)

func newLoad(t *testing.T) *Load {
	t.Helper()
	l, err := New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Shut)
	return l
}

func openClients(t *testing.T, l *Load, s *fakeServer) []*Conn {
	t.Helper()
	conns, times, err := l.Open(OpenOptions{
		Count: clients, Path: "/socket", Concurrent: 2, Limit: patience,
		Client: func(int) Client { return Client{Address: s.address(), Topic: "e:1"} },
	})
	if err != nil || len(conns) != clients || times.Count() != clients {
		t.Fatalf("%d of %d clients: %v", len(conns), clients, err)
	}
	return conns
}

// Everybody gets everything, and both ways of ending a connection work.
func TestBroadcasts(t *testing.T) {
	t.Parallel()
	for _, publishers := range []int{1, 3} {
		t.Run(fmt.Sprint(publishers, " publishers"), func(t *testing.T) { testBroadcasts(t, publishers) })
	}
}

func testBroadcasts(t *testing.T, publishers int) {
	l := newLoad(t)
	conns := openClients(t, l, startServer(t, nil))
	b := NewBroadcasts(l, "b", 128)
	b.Add(conns[:publishers], conns)
	l.Handle = b.Handle
	for name, o := range map[string]RunOptions{
		"one at a time": {Count: 10},
		"in flight":     {Count: 50, InFlight: 4},
		"at a rate":     {Count: 10, Every: time.Millisecond, InFlight: 1000},
	} {
		b.Reset()
		o.Limit = patience
		if err := b.Run(o); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if want := uint64(o.Count * clients); b.Received != want || b.Expected != want || b.Latency.Count() != want || b.Whole.Count() != uint64(o.Count) {
			t.Errorf("%s: %d deliveries of %d, expected %d", name, b.Received, b.Expected, want)
		}
	}
	b.Reset()
	if publishers == 1 {
		if err := b.Run(RunOptions{Count: 5, Pause: time.Millisecond, Limit: patience}); err != nil || b.Received != 5*clients {
			t.Errorf("with a pause: %d deliveries: %v", b.Received, err)
		}
	}
	b.Reset()
	if err := b.Run(RunOptions{Duration: 20 * time.Millisecond, InFlight: 2, Limit: patience}); err != nil || b.Received != b.Expected || b.Received == 0 {
		t.Errorf("%d of %d deliveries: %v", b.Received, b.Expected, err)
	}
	if err := l.Close(conns[:2], patience); err != nil {
		t.Error(err)
	}
	l.Reset(conns[2:])
	if left := len(l.Conns()); left != 0 {
		t.Errorf("%d connections are left", left)
	}
}

// What a server does wrong ends the run with an error.
func TestBroadcastsNotice(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		send func(client, broadcast int, frame []byte) [][]byte
		want string
	}{
		"loss": {func(client, broadcast int, frame []byte) [][]byte {
			if client == 3 && broadcast == 4 {
				return nil
			}
			return [][]byte{frame}
		}, "expected 4"},
		"loss of the last": {func(client, broadcast int, frame []byte) [][]byte {
			if client == 3 && broadcast == 9 {
				return nil
			}
			return [][]byte{frame}
		}, "49 of 50 deliveries"},
		"doubling": {func(client, broadcast int, frame []byte) [][]byte {
			if client == 3 && broadcast == 4 {
				return [][]byte{frame, frame}
			}
			return [][]byte{frame}
		}, "expected 5"},
		"close": {func(client, broadcast int, frame []byte) [][]byte {
			if client == 3 && broadcast == 4 {
				return [][]byte{appendFrame(nil, opClose, []byte{3, 0xf3}, 0)}
			}
			return [][]byte{frame}
		}, "the server closed it"},
	} {
		l := newLoad(t)
		conns := openClients(t, l, startServer(t, c.send))
		b := NewBroadcasts(l, "b", 128)
		b.Add(conns[:1], conns)
		l.Handle = b.Handle
		err := b.Run(RunOptions{Count: 10, InFlight: 2, Limit: time.Second})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

func TestRequests(t *testing.T) {
	t.Parallel()
	l := newLoad(t)
	conns := openClients(t, l, startServer(t, nil))
	r := NewRequests(l, conns, 128, func(*Conn, uint64) string { return "echo" })
	l.Handle = r.Handle
	for name, o := range map[string]RunOptions{
		"closed loop": {Count: 50, InFlight: 2},
		"at a rate":   {Count: 20, Every: time.Millisecond, InFlight: 1000},
	} {
		r.Reset()
		o.Limit = patience
		if err := r.Run(o); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if want := uint64(o.Count); r.Received != want || r.Sent != want || r.Latency.Count() != want {
			t.Errorf("%s: %d of %d answers, expected %d", name, r.Received, r.Sent, want)
		}
	}
}

// Answers in another order are taken where that is allowed; lost, doubled and
// unasked ones never are.
func TestRequestsInAnyOrder(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		answers string
		any     bool
		next    uint64
		fails   bool
	}{
		"in order":              {"012", false, 3, false},
		"another order":         {"201", true, 3, false},
		"another, not allowed":  {"10", false, 0, true},
		"doubled":               {"11", true, 0, true},
		"doubled, in order":     {"00", true, 1, true},
		"one that nobody asked": {"3", true, 0, true},
		"one is still awaited":  {"02", true, 1, false},
	} {
		l := newLoad(t)
		c := &Conn{sent: []time.Time{l.Now(), l.Now(), l.Now()}}
		r := NewRequests(l, nil, 128, nil)
		r.AnyOrder, r.ended = tt.any, true
		for _, n := range tt.answers {
			if l.Err() == nil {
				r.Handle(c, Envelope{Ref: []byte(string(n)), Payload: []byte("{}")})
			}
		}
		if c.next != tt.next || (l.Err() != nil) != tt.fails {
			t.Errorf("%s: next %d, %v", name, c.next, l.Err())
		}
	}
}

// A follower takes consecutive ids, in events and in replies to joins.
func TestFollower(t *testing.T) {
	t.Parallel()
	event := func(payload string) Envelope {
		return Envelope{Topic: []byte("d:1"), Event: []byte("m"), Payload: []byte(payload)}
	}
	reply := event(`{"response":{"messages":[{"id":3,"event":"m","payload":{"id":3,"body":"x"}},{"id":4,"event":"m","payload":{"id":4}}]},"status":"ok"}`)
	reply.Event = []byte("phx_reply")
	c := &Conn{}
	for name, tt := range map[string]struct {
		seen     uint64
		messages []Envelope
		received uint64
		fails    bool
	}{
		"events":         {0, []Envelope{event(`{"id":1}`), event(`{"id":2,"body":"x"}`)}, 2, false},
		"reply, event":   {2, []Envelope{reply, event(`{"id":5}`)}, 3, false},
		"loss":           {0, []Envelope{event(`{"id":2}`)}, 0, true},
		"doubling":       {2, []Envelope{reply, event(`{"id":4}`)}, 2, true},
		"loss in reply":  {1, []Envelope{reply}, 0, true},
		"without number": {0, []Envelope{event(`{}`)}, 0, true},
	} {
		l := newLoad(t)
		f := NewFollower(l)
		f.Seen(c, "d:1", tt.seen)
		for _, e := range tt.messages {
			f.Handle(c, e)
			if l.Err() != nil {
				break
			}
		}
		if f.Received != tt.received || (l.Err() != nil) != tt.fails {
			t.Errorf("%s: %d received, %v", name, f.Received, l.Err())
		}
	}
}
