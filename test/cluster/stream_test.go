package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A stream is a client that broadcasts numbered messages until it is stopped,
// and a client, of another node perhaps, that receives them.
type stream struct {
	topic     string
	quit      chan struct{} // ends the sending
	done      chan struct{} // ends the receiving
	sending   sync.WaitGroup
	receiving sync.WaitGroup
	sent      atomic.Int64 // messages 1 to sent were pushed

	mu       sync.Mutex // guards the following
	arrivals []arrival
	changed  chan struct{} // closed and replaced at each arrival
	echoed   int64         // came back to the sender
	failure  error
}

type arrival struct {
	number int64
	at     time.Time
}

// startStream takes over two clients that have joined the topic.
func startStream(t testing.TB, from, to *client, topic string, every time.Duration) *stream {
	t.Helper()
	s := &stream{topic: topic, quit: make(chan struct{}), done: make(chan struct{}), changed: make(chan struct{})}
	s.sending.Go(func() { s.send(from, every) })
	s.receiving.Go(func() { s.receive(from, func(arrival) { s.echoed++ }) })
	s.receiving.Go(func() { s.receive(to, func(a arrival) { s.arrivals = append(s.arrivals, a) }) })
	t.Cleanup(s.end)
	return s
}

func (s *stream) send(from *client, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-s.quit:
			return
		case <-tick.C:
			number := s.sent.Load() + 1
			if _, err := from.push(s.topic, "new_msg", object{"body": strconv.FormatInt(number, 10)}); err != nil {
				s.fail(err)
				return
			}
			s.sent.Store(number)
		}
	}
}

// receive calls count, with the lock held, for each message.
func (s *stream) receive(c *client, count func(arrival)) {
	for {
		select {
		case <-s.done:
			return
		case <-c.ended:
			s.fail(fmt.Errorf("%w: %w", errEnded, c.err))
			return
		case f := <-c.inbox:
			number, err := numberOf(f)
			if err != nil {
				s.fail(err)
				return
			}
			if number == 0 {
				continue
			}
			s.mu.Lock()
			count(arrival{number, f.at})
			close(s.changed)
			s.changed = make(chan struct{})
			s.mu.Unlock()
		}
	}
}

// numberOf is 0 for a reply, which must be ok.
func numberOf(f frame) (int64, error) {
	m, err := f.decode()
	if err != nil {
		return 0, err
	}
	var p struct{ Body, Status string }
	if err := json.Unmarshal(m.payload, &p); err != nil {
		return 0, fmt.Errorf("%s: %w", f, err)
	}
	switch {
	case m.event == "phx_reply" && p.Status == "ok":
		return 0, nil
	case m.event == "new_msg":
		return strconv.ParseInt(p.Body, 10, 64)
	}
	return 0, errors.New("unexpected: " + f.String())
}

func (s *stream) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failure == nil {
		s.failure = err
	}
}

// stop ends the sending and returns how many messages were sent.
func (s *stream) stop() int64 {
	select {
	case <-s.quit:
	default:
		close(s.quit)
	}
	s.sending.Wait()
	return s.sent.Load()
}

func (s *stream) end() {
	s.stop()
	select {
	case <-s.done:
	default:
		close(s.done)
	}
	s.receiving.Wait()
}

// awaitAfter waits for the first message with a number beyond mark and returns
// when it came. What was under way when mark was taken does not count.
func (s *stream) awaitAfter(t testing.TB, mark int64) time.Time {
	t.Helper()
	var found arrival
	s.await(t, fmt.Sprintf("a message sent after number %d", mark), func() bool {
		for i := len(s.arrivals) - 1; i >= 0 && s.arrivals[i].number > mark; i-- {
			found = s.arrivals[i]
		}
		return found.number > 0
	})
	return found.at
}

// awaitSince waits for the first message that comes after that moment, whenever
// it was sent, and returns when it came.
func (s *stream) awaitSince(t testing.TB, since time.Time) time.Time {
	t.Helper()
	var found arrival
	s.await(t, "a message that comes from now on", func() bool {
		for i := len(s.arrivals) - 1; i >= 0 && s.arrivals[i].at.After(since); i-- {
			found = s.arrivals[i]
		}
		return found.number > 0
	})
	return found.at
}

// longestSilence returns the longest time between two arrivals of that span.
func (s *stream) longestSilence(from, to time.Time) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	longest := time.Duration(0)
	for i := len(s.arrivals) - 1; i > 0 && s.arrivals[i].at.After(from); i-- {
		if !s.arrivals[i].at.After(to) {
			longest = max(longest, s.arrivals[i].at.Sub(s.arrivals[i-1].at))
		}
	}
	return longest
}

// await waits until the condition, which is called with the lock held, holds.
func (s *stream) await(t testing.TB, what string, holds func() bool) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	for {
		s.mu.Lock()
		held, failure, changed, arrived := holds(), s.failure, s.changed, len(s.arrivals)
		s.mu.Unlock()
		if held {
			return
		}
		if failure != nil {
			t.Fatalf("%s: %v", s.topic, failure)
		}
		select {
		case <-changed:
		case <-deadline.C:
			t.Fatalf("%s: not within %v: %s (%d sent, %d arrived)", s.topic, patience, what, s.sent.Load(), arrived)
		}
	}
}

// settle ends the sending, waits until the last message has arrived on both
// sides, and checks that none came out of order or twice. It returns how many
// are missing.
func (s *stream) settle(t testing.TB) (sent, missing int64) {
	t.Helper()
	sent = s.stop()
	s.await(t, "everything comes back to the sender", func() bool { return s.echoed == sent })
	s.awaitAfter(t, sent-1)
	s.mu.Lock()
	defer s.mu.Unlock()
	last := int64(0)
	for _, a := range s.arrivals {
		if a.number <= last {
			t.Errorf("%s: number %d came after %d", s.topic, a.number, last)
		}
		last = a.number
	}
	missing = sent - int64(len(s.arrivals))
	t.Logf("%s: %d sent, %d missing", s.topic, sent, missing)
	return sent, missing
}

// books are what one node has published and another has received, or counted as
// lost. What was published before the other had heard of it is in neither.
type books struct {
	from, to *node
	before   float64 // missing when the books were opened
}

// openBooks is called when both nodes are ready and no test traffic flows.
func openBooks(t testing.TB, from, to *node) *books {
	t.Helper()
	b := &books{from: from, to: to}
	same := 0
	eventually(t, patience, "what is on its way between the nodes arrives", func() bool {
		missing := b.missing(t)
		if same++; missing != b.before {
			b.before, same = missing, 0
		}
		return same >= 5
	})
	return b
}

func (b *books) missing(t testing.TB) float64 {
	t.Helper()
	return b.from.metric(t, "trunkline_bus_published_messages_total") -
		b.to.metric(t, "trunkline_bus_received_messages_total") -
		b.to.metric(t, "trunkline_bus_lost_messages_total")
}

// balanced checks that all that was published since was received, or counted as
// lost, once.
func (b *books) balanced(t testing.TB) {
	t.Helper()
	var missing float64
	defer func() {
		if t.Failed() {
			t.Logf("bus: %v messages are neither received nor counted as lost, %v before", missing, b.before)
		}
	}()
	eventually(t, patience, "each message is received or counted as lost, once", func() bool {
		missing = b.missing(t)
		return missing == b.before
	})
}
