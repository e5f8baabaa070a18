package presence

import (
	"encoding/binary"
	"slices"
	"time"
)

// A node that has started learns from a transfer who is there. Who lingers is in
// no replica's set any more, so the transfer is preceded by that. Who has nothing
// to transfer is not asked, and answers the hello by it.
//
//	lingers  = version kind replicas count linger*
//	linger   = milliseconds topic key count (replica clock owner meta)*
const kindLingers = 3

// all returns what lingers, in order.
func (g *grace) all() []lingering {
	var all []lingering
	for _, keys := range g.topics {
		for _, left := range keys {
			all = append(all, left)
		}
	}
	slices.SortFunc(all, func(a, b lingering) int { return a.entries[0].Compare(b.entries[0]) })
	return all
}

// adopt takes over what lingers on another node, for no longer than the period,
// and returns what that makes visible. What is there, or lingers, is known
// better here.
func (g *grace) adopt(others []lingering, s *State, now time.Time) (joins []*Entry) {
	for _, left := range others {
		topic, key := left.entries[0].Topic, left.entries[0].Key
		_, lingers := g.topics[topic][key]
		period := g.period(topic)
		if lingers || period <= 0 || len(s.GetByKey(topic, key)) > 0 {
			continue
		}
		if most := now.Add(period); left.until.After(most) {
			left.until = most
		}
		g.put(left)
		joins = append(joins, left.entries...)
	}
	sortEntries(joins)
	return joins
}

// lingersFor is what to tell a replica, if it has just started: then it knows
// nothing of this one. It is called with the lock held.
func (s *shard) lingersFor(asker Clock) []lingering {
	if asker.Context[s.tracker.replica] > 0 {
		return nil
	}
	return s.grace.all()
}

// greet is for those who say hello and will not ask.
func (s *shard) greet(other Clock, now time.Time) {
	node, ok := s.tracker.node(other.Replica)
	if !ok {
		return
	}
	var lingers []lingering
	s.mu.Lock()
	if s.state.Clocks().Context[s.tracker.replica] == 0 {
		lingers = s.lingersFor(other)
	}
	s.mu.Unlock()
	s.handOver(lingers, node, now)
}

// handOver tells a node what lingers here.
func (s *shard) handOver(all []lingering, node string, now time.Time) {
	for len(all) > 0 {
		n, size := 0, 0
		for n < len(all) && size < maxPart {
			for _, e := range all[n].entries {
				size += e.size()
			}
			n++
		}
		s.publish(&message{kind: msgLingers, delta: appendLingers(nil, all[:n], now)}, node)
		all = all[n:]
	}
}

// takeOver is the other side of handOver.
func (s *shard) takeOver(encoded []byte, now time.Time) error {
	others, err := decodeLingers(encoded, now)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.outbox.add(s.grace.adopt(others, s.state, now), nil)
	return nil
}

func appendLingers(b []byte, all []lingering, now time.Time) []byte {
	index := make(map[Replica]int)
	for _, left := range all {
		for _, e := range left.entries {
			index[e.Tag.Replica] = 0
		}
	}
	b, _ = appendReplicas(append(b, formatVersion, kindLingers), index)
	b = binary.AppendUvarint(b, uint64(len(all)))
	for _, left := range all {
		b = binary.AppendUvarint(b, uint64(max(0, left.until.Sub(now).Milliseconds())))
		b = appendString(b, left.entries[0].Topic)
		b = appendString(b, left.entries[0].Key)
		b = binary.AppendUvarint(b, uint64(len(left.entries)))
		for _, e := range left.entries {
			b = binary.AppendUvarint(b, uint64(index[e.Tag.Replica]))
			b = binary.AppendUvarint(b, e.Tag.Clock)
			b = binary.AppendUvarint(b, uint64(e.Owner))
			b = appendString(b, e.Meta)
		}
	}
	return b
}

// maxLinger bounds the time that is read: no grace period is longer.
const maxLinger = 365 * 24 * time.Hour

// decodeLingers reads what appendLingers made, all of b, and does not point into
// it.
func decodeLingers(b []byte, now time.Time) ([]lingering, error) {
	r := decoder{rest: b, size: len(b)}
	r.header(kindLingers)
	replicas := r.replicas()
	var all []lingering
	for n := r.count("keys", len(r.rest)); n > 0 && r.err == nil; n-- {
		left := time.Duration(min(r.uvarint("time"), uint64(maxLinger.Milliseconds()))) * time.Millisecond
		entries := r.entries(r.text("topic"), r.text("key"), replicas)
		all = append(all, lingering{entries, now.Add(left)})
	}
	return all, r.end()
}

// entries reads those of one key: at least one, sorted.
func (r *decoder) entries(topic, key string, replicas []Replica) []*Entry {
	var entries []*Entry
	for n := r.count("metas", len(r.rest)); n > 0 && r.err == nil; n-- {
		e := &Entry{Topic: topic, Key: key}
		e.Tag = Tag{r.replica(replicas), r.clock("clock", 0, 1)}
		e.Owner = Owner(r.uvarint("owner"))
		e.Meta = r.meta()
		if len(entries) > 0 && e.Compare(entries[len(entries)-1]) <= 0 {
			r.fail("metas are not in order")
		}
		entries = append(entries, e)
	}
	if len(entries) == 0 {
		r.fail("a key without metas")
	}
	return entries
}
