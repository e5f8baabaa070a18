//go:build linux

package load

import "fmt"

// idMark stands before the id of a durable message, in its payload, where it
// comes first.
const idMark = `{"id":`

// storedMark stands before a message's payload in the reply to a join.
const storedMark = `"payload":{"id":`

// A Follower checks that connections get all messages of durable topics: their
// ids are consecutive.
type Follower struct {
	// Received counts messages.
	Received uint64

	load *Load
	last map[*Conn]map[string]uint64
}

// NewFollower makes one that has followed nothing.
func NewFollower(l *Load) *Follower {
	return &Follower{load: l, last: map[*Conn]map[string]uint64{}}
}

// Last is the newest id that a connection has got of a topic.
func (f *Follower) Last(c *Conn, topic string) uint64 { return f.last[c][topic] }

// Seen says what a connection had got before.
func (f *Follower) Seen(c *Conn, topic string, id uint64) {
	if f.last[c] == nil {
		f.last[c] = map[string]uint64{}
	}
	f.last[c][topic] = id
}

// Handle is given each message that arrives, replies to joins included: those
// carry what was missed.
func (f *Follower) Handle(c *Conn, e Envelope) {
	if string(e.Event) != "phx_reply" {
		id, _, ok := Number(e.Payload, []byte(idMark))
		f.next(c, e.Topic, id, ok)
		return
	}
	for rest := e.Payload; ; {
		id, behind, ok := Number(rest, []byte(storedMark))
		if !ok {
			return
		}
		f.next(c, e.Topic, id, true)
		rest = behind
	}
}

func (f *Follower) next(c *Conn, topic []byte, id uint64, ok bool) {
	last := f.last[c][string(topic)]
	if !ok || id != last+1 {
		f.load.fail(fmt.Errorf("connection %d, topic %q: message %d came after %d: lost, doubled or out of order", c.ID, topic, id, last))
		return
	}
	f.Seen(c, string(topic), id)
	f.Received++
}
