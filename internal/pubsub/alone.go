package pubsub

import "time"

// Alone reports whether, as far as can be known, no other node is there: the
// node has listened for Config.Silence, without a pause, and heard nobody for an
// hour. It says nothing of a node that started this moment: the first heartbeat
// of that one has yet to arrive. So it is for messages only that are missed by
// nobody for long, because whoever wants them finds them elsewhere, too.
func (b *Bus) Alone() bool {
	return b.dispatcher.peers.count.Load() == 0 && b.health.steady(time.Now())
}
