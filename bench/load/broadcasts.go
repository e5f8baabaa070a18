//go:build linux

package load

import (
	"fmt"
	"strings"
	"time"

	"github.com/trunkline/trunkline/bench/stats"
)

// numberMark stands before the number of a message, ten digits.
const numberMark = `"q":"`

// Broadcasts drives topics, each with publishers and members. Messages are
// numbered, and every member must get each, once, and those of one publisher in
// order.
type Broadcasts struct {
	// Latency is from the sending to each delivery, Whole to the last one.
	Latency, Whole *stats.Histogram
	// Sent counts broadcasts, Expected and Received deliveries.
	Sent, Expected, Received uint64

	load    *Load
	event   string
	payload []byte
	digits  int // where the number is in payload
	groups  []*group

	run     RunOptions
	ended   bool // nothing more is to be sent
	started int  // broadcasts of this run
	open    int  // broadcasts that somebody has not got
	resume  time.Time

	progress time.Time // of the last delivery
}

type group struct {
	publishers []source
	members    int
	turn       int // the publisher of the next broadcast at a rate
	// Rings by number.
	sent    []time.Time
	missing []int
}

// A source is a publisher. The n-th message of the p-th of k has the number
// n*k + p.
type source struct {
	conn *Conn
	next uint64 // messages sent
	open int
}

// RunOptions say how a driver sends.
type RunOptions struct {
	// InFlight is how many messages each publisher, or connection, may have under
	// way. The next is sent when one has reached all. Default 1.
	InFlight int
	// Publishers is how many of each topic's publishers send. Default all.
	Publishers int
	// Every sends at fixed times instead, whatever is under way, up to InFlight
	// of each; latencies count from those times.
	Every time.Duration
	// Pause is between the end of one and the beginning of the next, of a single
	// topic with a single publisher.
	Pause time.Duration
	// Duration and Count end it, whichever comes first; 0 is no limit.
	Duration time.Duration
	Count    int
	// Burst is how many broadcasts a push makes, in topics with one publisher: by
	// the event burst:<count>:<event>. Default 1, an ordinary push.
	Burst int
	// Limit is how long what is under way at the end may take. Default 30 s.
	Limit time.Duration
}

func (o RunOptions) withDefaults() RunOptions {
	o.InFlight = max(o.InFlight, 1)
	o.Burst = max(o.Burst, 1)
	if o.Limit == 0 {
		o.Limit = 30 * time.Second
	}
	return o
}

// NewBroadcasts makes one whose messages have payloads of size bytes. event is
// what publishers push.
func NewBroadcasts(l *Load, event string, size int) *Broadcasts {
	b := &Broadcasts{load: l, event: event, payload: NumberedPayload(size), digits: len("{" + numberMark)}
	b.Reset()
	return b
}

// NumberedPayload is an object of size bytes, 40 at least, whose number is 0.
func NumberedPayload(size int) []byte {
	const head, middle, tail = "{" + numberMark + "0000000000", `","body":"`, `"}`
	return []byte(head + middle + strings.Repeat("x", max(size-len(head+middle+tail), 0)) + tail)
}

// Reset forgets what was measured.
func (b *Broadcasts) Reset() {
	b.Latency, b.Whole = new(stats.Histogram), new(stats.Histogram)
	b.Sent, b.Expected, b.Received = 0, 0, 0
}

// Add makes a topic of its publishers and its members, who may include them.
func (b *Broadcasts) Add(publishers, members []*Conn) {
	for _, c := range members {
		c.group, c.expected = len(b.groups), make([]uint64, len(publishers))
	}
	g := &group{members: len(members)}
	for _, c := range publishers {
		g.publishers = append(g.publishers, source{conn: c})
	}
	b.groups = append(b.groups, g)
}

// Stall makes a member stop reading: nothing more is expected from it.
func (b *Broadcasts) Stall(c *Conn) {
	b.load.Stall(c)
	b.groups[c.group].members--
}

// Run sends until the options end it and waits until everybody has everything.
func (b *Broadcasts) Run(o RunOptions) error {
	b.run = o.withDefaults()
	b.ended, b.started, b.resume = false, 0, time.Time{}
	for _, g := range b.groups {
		window := b.run.InFlight * b.run.Burst * len(g.publishers)
		g.sent, g.missing = make([]time.Time, window), make([]int, window)
	}
	began := time.Now()
	due := began
	b.progress = began
	if b.run.Every == 0 {
		for range b.run.InFlight {
			for _, g := range b.groups {
				for p := range b.run.among(g) {
					b.send(g, p, time.Now())
				}
			}
		}
	}
	for !b.ended || b.open > 0 {
		now := time.Now()
		left := b.run.Limit
		if b.run.Duration > 0 {
			left = began.Add(b.run.Duration).Sub(now)
			b.ended = b.ended || left <= 0
		}
		if b.ended {
			break
		}
		if b.run.Every > 0 {
			for ; !due.After(now) && !b.ended; due = due.Add(b.run.Every) {
				for _, g := range b.groups {
					b.send(g, g.turn, due)
					g.turn = (g.turn + 1) % b.run.among(g)
				}
			}
			left = min(left, due.Sub(now))
		}
		if !b.resume.IsZero() {
			if left = min(left, b.resume.Sub(now)); left <= 0 {
				b.resume = time.Time{}
				b.send(b.groups[0], 0, now)
			}
		}
		if err := b.load.Poll(min(left, 100*time.Millisecond)); err != nil {
			return b.failed(err)
		}
		if b.open > 0 && b.load.Now().Sub(b.progress) > b.run.Limit {
			return b.failed(fmt.Errorf("nothing for %v", b.run.Limit))
		}
	}
	err := b.load.Until(b.run.Limit, "broadcasts that reached everybody", func() (int, int) { return b.started - b.open, b.started })
	if err != nil {
		return b.failed(err)
	}
	return nil
}

func (b *Broadcasts) failed(err error) error {
	return fmt.Errorf("%w; %d of %d deliveries came", err, b.Received, b.Expected)
}

// send makes one push.
func (b *Broadcasts) send(g *group, p int, at time.Time) {
	if b.ended || b.run.Count > 0 && b.started >= b.run.Count {
		b.ended = true
		return
	}
	from := &g.publishers[p]
	if from.open+b.run.Burst > b.run.InFlight*b.run.Burst {
		b.load.fail(fmt.Errorf("topic %q: %d broadcasts are under way: the rate is too high", from.conn.Topic, from.open))
		return
	}
	putNumber(b.payload[b.digits:], g.number(p))
	for range b.run.Burst {
		i := g.number(p) % uint64(len(g.sent))
		g.sent[i], g.missing[i] = at, g.members
		from.next++
	}
	from.open += b.run.Burst
	b.open += b.run.Burst
	b.started += b.run.Burst
	b.Sent += uint64(b.run.Burst)
	b.Expected += uint64(b.run.Burst * g.members)
	event := b.event
	if b.run.Burst > 1 {
		event = fmt.Sprintf("burst:%d:%s", b.run.Burst, b.event)
	}
	b.load.Push(from.conn, "", event, b.payload)
}

// among is how many publishers send.
func (o *RunOptions) among(g *group) int {
	if o.Publishers > 0 {
		return min(o.Publishers, len(g.publishers))
	}
	return len(g.publishers)
}

// number is that of the publisher's next message.
func (g *group) number(p int) uint64 {
	return g.publishers[p].next*uint64(len(g.publishers)) + uint64(p)
}

// Handle is given each message that arrives.
func (b *Broadcasts) Handle(c *Conn, e Envelope) {
	if string(e.Event) == "phx_reply" || c.expected == nil {
		return // to a join, or for a publisher that is no member
	}
	n, _, ok := Number(e.Payload, []byte(numberMark))
	if !ok {
		b.load.fail(fmt.Errorf("topic %q: no number in %.200q", c.Topic, e.Payload))
		return
	}
	g := b.groups[c.group]
	publishers := uint64(len(g.publishers))
	p := int(n % publishers)
	if nth := n / publishers; nth != c.expected[p] || nth >= g.publishers[p].next {
		b.load.fail(fmt.Errorf("topic %q, connection %d: message %d of publisher %d came, expected %d of %d: lost, doubled or out of order",
			c.Topic, c.ID, nth, p, c.expected[p], g.publishers[p].next))
		return
	}
	c.expected[p]++
	b.Received++
	now := b.load.Now()
	b.progress = now
	i := n % uint64(len(g.sent))
	took := now.Sub(g.sent[i])
	b.Latency.Add(took)
	if g.missing[i]--; g.missing[i] > 0 {
		return
	}
	b.Whole.Add(took)
	g.publishers[p].open--
	b.open--
	switch {
	case b.run.Every > 0 || b.ended:
	case b.run.Pause > 0:
		b.resume = time.Now().Add(b.run.Pause)
	case g.publishers[p].open%b.run.Burst == 0:
		b.send(g, p, time.Now())
	}
}

// putNumber writes ten digits.
func putNumber(out []byte, n uint64) {
	for i := 9; i >= 0; i-- {
		out[i] = byte('0' + n%10)
		n /= 10
	}
}
