//go:build linux

package load

import (
	"fmt"
	"strconv"
	"time"

	"github.com/trunkline/trunkline/bench/stats"
)

// Requests drives pushes that are answered, each connection's in order
// unless AnyOrder. Those
// of raw connections are echoed.
type Requests struct {
	// Latency is from the sending, or from when it was due, to the answer.
	Latency *stats.Histogram
	// AnyOrder lets a connection's answers come in another order than its pushes.
	AnyOrder bool
	// Sent and Received count pushes and answers.
	Sent, Received uint64

	load    *Load
	event   func(c *Conn, n uint64) string
	payload []byte
	digits  int
	conns   []*Conn
	turn    int

	run   RunOptions
	ended bool
	began uint64 // Sent at the start of the run

	progress time.Time // of the last answer
}

// NewRequests pushes event, which may differ by connection and number, with
// payloads of size bytes.
func NewRequests(l *Load, conns []*Conn, size int, event func(c *Conn, n uint64) string) *Requests {
	r := &Requests{load: l, conns: conns, event: event, payload: NumberedPayload(size), digits: len("{" + numberMark)}
	r.Reset()
	return r
}

// Reset forgets what was measured.
func (r *Requests) Reset() { r.Latency, r.Sent, r.Received = new(stats.Histogram), 0, 0 }

// Run sends until the options end it, and waits for all answers. With Every the
// connections take turns.
func (r *Requests) Run(o RunOptions) error {
	r.run = o.withDefaults()
	r.ended, r.began = false, r.Sent
	for _, c := range r.conns {
		c.sent = make([]time.Time, 0, r.run.InFlight)
	}
	began := time.Now()
	due := began
	r.progress = began
	if r.run.Every == 0 {
		for range r.run.InFlight {
			for _, c := range r.conns {
				r.send(c, time.Now())
			}
		}
	}
	for !r.ended {
		now := time.Now()
		left := r.run.Limit
		if r.run.Duration > 0 {
			if left = began.Add(r.run.Duration).Sub(now); left <= 0 {
				r.ended = true
				break
			}
		}
		if r.run.Every > 0 {
			for ; !due.After(now) && !r.ended; due = due.Add(r.run.Every) {
				r.send(r.conns[r.turn], due)
				r.turn = (r.turn + 1) % len(r.conns)
			}
			left = min(left, due.Sub(now))
		}
		if err := r.load.Poll(min(left, 100*time.Millisecond)); err != nil {
			return fmt.Errorf("%w; %d of %d answers came", err, r.Received, r.Sent)
		}
		if r.Received < r.Sent && r.load.Now().Sub(r.progress) > r.run.Limit {
			return fmt.Errorf("nothing for %v; %d of %d answers came", r.run.Limit, r.Received, r.Sent)
		}
	}
	return r.load.Until(r.run.Limit, "answers", func() (int, int) { return int(r.Received), int(r.Sent) })
}

func (r *Requests) send(c *Conn, at time.Time) {
	if r.ended || r.run.Count > 0 && r.Sent-r.began >= uint64(r.run.Count) {
		r.ended = true
		return
	}
	if len(c.sent) == r.run.InFlight {
		r.load.fail(fmt.Errorf("connection %d: %d pushes are not answered: the rate is too high", c.ID, len(c.sent)))
		return
	}
	n := c.next + uint64(len(c.sent))
	c.sent = append(c.sent, at)
	r.Sent++
	putNumber(r.payload[r.digits:], n)
	r.load.Push(c, strconv.FormatUint(n, 10), r.event(c, n), r.payload)
}

// Handle is given each reply that arrives.
func (r *Requests) Handle(c *Conn, e Envelope) {
	n, ok := decimal(e.Ref)
	if !ok {
		return // to a join
	}
	i := n - c.next
	if n < c.next || i >= uint64(len(c.sent)) || c.sent[i].IsZero() || i > 0 && !r.AnyOrder {
		r.load.fail(fmt.Errorf("connection %d: the answer to push %d came, expected %d", c.ID, n, c.next))
		return
	}
	if echo, _, ok := Number(e.Payload, []byte(numberMark)); ok && echo != n {
		r.load.fail(fmt.Errorf("connection %d: push %d was answered with %d", c.ID, n, echo))
		return
	}
	r.Received++
	r.progress = r.load.Now()
	r.Latency.Add(r.progress.Sub(c.sent[i]))
	c.sent[i] = time.Time{}
	for len(c.sent) > 0 && c.sent[0].IsZero() {
		c.next++
		c.sent = c.sent[:copy(c.sent, c.sent[1:])]
	}
	if r.run.Every == 0 && !r.ended {
		r.send(c, time.Now())
	}
}
