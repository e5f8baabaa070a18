package sock

import "sync/atomic"

// Stats is a snapshot of a Pool's counters since it was made.
type Stats struct {
	Connections int    // open now
	Accepted    uint64 // upgraded in all

	BytesIn, BytesOut uint64 // on the wire, frame headers included
	MessagesIn        uint64 // whole messages handed to handlers
	MessagesOut       uint64 // frames taken by Send
	WriteCalls        uint64 // calls that wrote to the network

	IdleClosed uint64 // closed for IdleTimeout
	SlowBytes  uint64 // reset because QueueBytes was exceeded
	SlowStall  uint64 // reset because of StallTimeout
}

// counters are kept in shards of one cache line or two, so that cores sending
// at once do not fight over one.
type counters struct {
	bytesIn, bytesOut       atomic.Uint64
	messagesIn, messagesOut atomic.Uint64
	writeCalls              atomic.Uint64
	_                       [24]byte
}

const counterShards = 16

// Stats returns a snapshot of the counters; they are not taken at one instant.
func (p *Pool) Stats() Stats {
	s := Stats{
		Accepted:   p.accepted.Load(),
		IdleClosed: p.idleClosed.Load(),
		SlowBytes:  p.slowBytes.Load(),
		SlowStall:  p.slowStall.Load(),
	}
	p.mu.Lock()
	s.Connections = len(p.conns)
	p.mu.Unlock()
	for i := range p.counts {
		c := &p.counts[i]
		s.BytesIn += c.bytesIn.Load()
		s.BytesOut += c.bytesOut.Load()
		s.MessagesIn += c.messagesIn.Load()
		s.MessagesOut += c.messagesOut.Load()
		s.WriteCalls += c.writeCalls.Load()
	}
	return s
}
