package presence

import (
	"maps"
	"slices"
	"time"
)

// grace keeps the entries of keys that have gone from a topic with a grace
// period, and are shown until it is over or the key is there again. It belongs
// to its shard.
type grace struct {
	period func(topic string) time.Duration
	topics map[string]map[string]lingering
}

// lingering are the last entries of one key, which went together.
type lingering struct {
	entries []*Entry // sorted
	until   time.Time
}

// filter takes the joins and leaves that the state has just returned, and
// returns what is told of them: the leave of a key's last entries waits, and a
// join of the key meanwhile is told together with it.
func (g *grace) filter(joins, leaves []*Entry, s *State, now time.Time) (told, gone []*Entry) {
	told = joins
	if len(g.topics) > 0 {
		told = nil
		for _, of := range byKey(joins) {
			kept, replaced := g.rejoin(of)
			told = append(told, kept...)
			gone = append(gone, replaced...)
		}
	}
	for _, of := range byKey(leaves) {
		topic, key := of[0].Topic, of[0].Key
		period := g.period(topic)
		if period <= 0 || len(s.GetByKey(topic, key)) > 0 {
			gone = append(gone, of...)
			continue
		}
		g.put(lingering{of, now.Add(period)})
	}
	return told, gone
}

func (g *grace) put(left lingering) {
	topic, key := left.entries[0].Topic, left.entries[0].Key
	if g.topics[topic] == nil {
		g.topics[topic] = make(map[string]lingering)
	}
	g.topics[topic][key] = left
}

// rejoin takes the joins of one key. An entry that comes back itself, because
// its replica does, never went for those who watch.
func (g *grace) rejoin(joins []*Entry) (told, gone []*Entry) {
	topic, key := joins[0].Topic, joins[0].Key
	left, ok := g.topics[topic][key]
	if !ok {
		return joins, nil
	}
	g.remove(topic, key)
	return minus(joins, left.entries), minus(left.entries, joins)
}

func minus(entries, others []*Entry) []*Entry {
	var rest []*Entry
	for _, e := range entries {
		if !slices.ContainsFunc(others, func(o *Entry) bool { return o.Tag == e.Tag }) {
			rest = append(rest, e)
		}
	}
	return rest
}

// expire returns the entries whose time is over.
func (g *grace) expire(now time.Time) []*Entry {
	var gone []*Entry
	for topic, keys := range g.topics {
		for key, left := range keys {
			if !now.Before(left.until) {
				gone = append(gone, left.entries...)
				g.remove(topic, key)
			}
		}
	}
	sortEntries(gone)
	return gone
}

// with returns a topic's sorted entries together with those that linger there,
// of all keys or of one.
func (g *grace) with(entries []*Entry, topic string, keys ...string) []*Entry {
	lingers := g.topics[topic]
	if len(lingers) == 0 {
		return entries
	}
	if len(keys) == 0 {
		keys = slices.Collect(maps.Keys(lingers))
	}
	for _, key := range keys {
		entries = append(entries, lingers[key].entries...)
	}
	sortEntries(entries)
	return entries
}

func (g *grace) remove(topic, key string) {
	delete(g.topics[topic], key)
	if len(g.topics[topic]) == 0 {
		delete(g.topics, topic)
	}
}

// byKey gives the runs of sorted entries that have topic and key in common.
func byKey(sorted []*Entry) [][]*Entry {
	var runs [][]*Entry
	for len(sorted) > 0 {
		n := 1
		for n < len(sorted) && sorted[n].Topic == sorted[0].Topic && sorted[n].Key == sorted[0].Key {
			n++
		}
		runs = append(runs, sorted[:n:n])
		sorted = sorted[n:]
	}
	return runs
}
