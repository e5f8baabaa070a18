package realtime

import (
	"sync"

	"github.com/trunkline/trunkline/internal/sock"
)

// dispatch hands b to the local subscribers, and returns how many took it. In a
// topic of several chunks it is written later, so that a subscriber gets all
// that is under way in one write, which is what a fan-out costs; whatever is
// sent to the same client afterwards comes after it all the same. In a smaller
// topic it is written with few, at once if that is nil. written, if not nil, is
// counted up until it is written to all.
func (h *hub) dispatch(b *Broadcast, few *sock.Batch, written *sync.WaitGroup) (delivered int) {
	chunks, functions := h.find(b.Topic)
	switch {
	case len(chunks) == 1:
		delivered = chunks[0].deliver(b, few)
	case len(chunks) > 1:
		batch := h.pool.NewLargeBatch(written)
		for _, c := range chunks {
			delivered += c.deliver(b, batch)
		}
		batch.Write()
	}
	for _, s := range functions {
		s.fn(b)
	}
	return delivered + len(functions)
}

// deliver copies the subscribers first, so that nothing is written under the
// lock. batch is nil if the frames are to be written at once.
func (c *chunk) deliver(b *Broadcast, batch *sock.Batch) (delivered int) {
	var buf [chunkSize]*subscription
	for _, s := range c.copyTo(&buf) {
		if s.deliver(b, batch) {
			delivered++
		}
	}
	return delivered
}

// deliver reports whether the subscriber took the broadcast.
func (s *subscription) deliver(b *Broadcast, batch *sock.Batch) bool {
	if s.direct != nil && batch != nil && s.channel != b.from && (b.ID == 0 || !s.follows) {
		if f, err := b.frame(s.version); err == nil && s.direct.TryPost(f.WebSocket(), batch) {
			return true
		}
	}
	switch {
	case s.socket != nil:
		if b.Event == "disconnect" {
			s.socket.disconnect()
			return true
		}
		return false
	case s.channel == b.from:
		return false
	case !s.member:
		return s.channel.enqueueBroadcast(item{kind: itemInfo, msg: b})
	case b.ID != 0 && s.channel.follower != nil:
		return s.channel.follow(b, batch)
	case s.channel.intercepted(b.Event):
		return s.channel.enqueueBroadcast(item{kind: itemOut, event: b.Event, payload: b.Payload})
	default:
		f, err := b.frame(s.channel.socket.version)
		return err == nil && s.channel.socket.sendEphemeral(f, batch)
	}
}
