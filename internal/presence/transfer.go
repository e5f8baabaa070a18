package presence

import (
	"maps"
	"slices"
	"time"
)

// maxPart bounds one message of a large delta, in encoded bytes, roughly.
const maxPart = 512 << 10

// transferPeriods is how long the next part of a transfer is waited for, in
// broadcast periods, before the transfer is asked for again.
const transferPeriods = 4

// broadcast sends what has changed here, with the clock. If nothing has, it
// sends the clock alone when it is due, or with a hello at once.
func (s *shard) broadcast(kind uint64) {
	s.mu.Lock()
	var delta *Delta
	if s.state.HasDelta() {
		delta = s.state.ResetDelta()
		s.generations.Push(delta)
	}
	if delta == nil && kind == msgHeartbeat && s.silent < s.tracker.config.MaxSilentPeriods {
		s.mu.Unlock()
		return
	}
	clock := s.state.Clocks()
	s.mu.Unlock()

	s.silent = 0
	if delta != nil {
		s.send(msgDelta, delta, clock)
		s.tracker.metrics.deltas.Inc()
	}
	if delta == nil || kind == msgHello {
		s.publish(&message{kind: kind, clock: AppendClock(nil, clock)})
		s.tracker.metrics.heartbeats.Inc()
	}
}

// send publishes a delta, in parts if it is large. The clock goes with the last
// part, lest the others believe that they have missed something.
func (s *shard) send(kind uint64, delta *Delta, clock Clock, node ...string) {
	parts := delta.split(maxPart)
	for i, part := range parts {
		m := &message{kind: kind, delta: AppendDelta(nil, part)}
		if i == len(parts)-1 {
			m.clock = AppendClock(nil, clock)
		}
		s.publish(m, node...)
	}
}

func (s *shard) publish(m *message, node ...string) {
	m.shard = uint64(s.index)
	s.tracker.publish(m, node...)
}

// receive takes a message of another node.
func (s *shard) receive(i item) {
	m := i.message
	var delta *Delta
	var clock Clock
	var err error
	switch {
	case m.kind == msgLingers:
		err = s.takeOver(m.delta, i.at)
	case len(m.delta) > 0:
		delta, err = DecodeDelta(m.delta)
	}
	if err == nil && len(m.clock) > 0 {
		clock, err = DecodeClock(m.clock)
	}
	if err != nil {
		s.tracker.metrics.ignored.WithLabelValues(ignoredMalformed).Inc()
		s.tracker.note(&s.tracker.notes.malformed, "presence message cannot be read", "from", m.sender.String(), "error", err)
		return
	}
	if delta != nil {
		s.merge(delta)
	}
	if len(clock.Context) > 0 {
		s.hear(Clock{m.sender, clock.Context}, i.at)
	}
	switch m.kind {
	case msgHello:
		s.owed = true
		s.hurry()
		s.greet(Clock{m.sender, clock.Context}, i.at)
	case msgRequest:
		s.transfer(Clock{m.sender, clock.Context})
	case msgTransfer:
		if s.asked[m.sender] = i.at; len(m.clock) > 0 {
			delete(s.asked, m.sender) // that was the last part
		}
	}
}

func (s *shard) merge(delta *Delta) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.show(s.state.Merge(delta))
	if len(delta.Range.Start) > 0 { // a part of one has none
		s.generations.Push(delta)
	}
}

// sampleClocks asks for transfers: of those who know more than this replica
// only such as know more than each other.
func (s *shard) sampleClocks(now time.Time) {
	heard := s.heard
	s.heard = nil
	if len(heard) == 0 {
		return
	}
	s.mu.Lock()
	own := s.state.Clocks()
	s.mu.Unlock()
	patience := s.tracker.config.BroadcastPeriod * transferPeriods
	for _, r := range heard.ToSync(own) {
		if at, ok := s.asked[r]; ok && now.Sub(at) < patience {
			continue
		}
		if node, ok := s.tracker.node(r); ok {
			s.asked[r] = now
			s.publish(&message{kind: msgRequest, clock: AppendClock(nil, own)}, node)
			s.tracker.metrics.transfersAsked.Inc()
		}
	}
}

// transfer answers a request.
func (s *shard) transfer(asker Clock) {
	node, ok := s.tracker.node(asker.Replica)
	if !ok {
		return
	}
	s.mu.Lock()
	delta := s.state.Extract(s.generations, asker.Replica, asker.Context)
	clock := s.state.Clocks()
	lingers := s.lingersFor(asker)
	s.mu.Unlock()
	s.handOver(lingers, node, time.Now())
	if !delta.Empty() {
		s.send(msgTransfer, delta, clock, node)
		s.tracker.metrics.transfersSent.Inc()
	}
}

// split returns the delta itself if it is small, or else parts of it. To merge
// all parts in any order is to merge the delta. A part tells of some tags only,
// and so has no range.
func (d *Delta) split(limit int) []*Delta {
	part, size := newDelta(), 0
	var parts []*Delta
	cut := func() {
		parts = append(parts, part)
		part, size = newDelta(), 0
	}
	for _, r := range slices.SortedFunc(maps.Keys(d.Clouds), Replica.Compare) {
		clocks := slices.Sorted(maps.Keys(d.Values[r]))
		for _, s := range d.Clouds[r] {
			lo := s.lo
			for len(clocks) > 0 && clocks[0] <= s.hi {
				e := d.Values[r][clocks[0]]
				clocks = clocks[1:]
				part.Values.put(e)
				if size += e.size(); size >= limit {
					part.Clouds[r] = append(part.Clouds[r], span{lo, e.Tag.Clock})
					lo = e.Tag.Clock + 1
					cut()
				}
			}
			if lo <= s.hi {
				part.Clouds[r] = append(part.Clouds[r], span{lo, s.hi})
				if size += spanSize; size >= limit {
					cut()
				}
			}
		}
	}
	if len(parts) == 0 {
		return []*Delta{d}
	}
	if !part.Empty() {
		parts = append(parts, part)
	}
	return parts
}

// spanSize and entrySize are upper bounds of what the numbers of a span and of
// an entry take when encoded.
const (
	spanSize  = 20
	entrySize = 50
)

func (e *Entry) size() int { return entrySize + len(e.Topic) + len(e.Key) + len(e.Meta) }
