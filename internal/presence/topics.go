package presence

import (
	"iter"
	"slices"
	"strings"
)

// topics holds the entries of each topic in their order. A sorted slice makes
// a list a copy, and an insert a search and a move of memory: a few
// microseconds among 5,000.
type topics map[string][]*Entry

// insert adds entries, which must be sorted and not be there.
func (ts topics) insert(entries []*Entry) {
	for topic, run := range byTopic(entries) {
		list := ts[topic]
		from, to := len(list), len(list)+len(run)
		list = append(list, run...)
		// From the back: what lies above the next one is moved as one block.
		for i := len(run) - 1; i >= 0; i-- {
			at, _ := slices.BinarySearchFunc(list[:from], run[i], (*Entry).Compare)
			copy(list[to-(from-at):to], list[at:from])
			to -= from - at + 1
			list[to] = run[i]
			from = at
		}
		ts[topic] = list
	}
}

// remove takes out entries, which must be sorted and be there.
func (ts topics) remove(entries []*Entry) {
	for topic, run := range byTopic(entries) {
		list := ts[topic]
		if len(run) == len(list) {
			delete(ts, topic)
			continue
		}
		from, to := 0, 0
		for _, e := range run {
			at, _ := slices.BinarySearchFunc(list[from:], e, (*Entry).Compare)
			to += copy(list[to:], list[from:from+at])
			from += at + 1
		}
		to += copy(list[to:], list[from:])
		clear(list[to:])
		if list = list[:to]; cap(list) > 64 && to < cap(list)/4 {
			list = slices.Clone(list)
		}
		ts[topic] = list
	}
}

// byKey returns the entries of one key, as part of the topic's list.
func (ts topics) byKey(topic, key string) []*Entry {
	list := ts[topic]
	from, _ := slices.BinarySearchFunc(list, key, func(e *Entry, key string) int {
		return strings.Compare(e.Key, key)
	})
	to := from
	for to < len(list) && list[to].Key == key {
		to++
	}
	return list[from:to]
}

// byTopic gives each topic of sorted entries with its part of them.
func byTopic(sorted []*Entry) iter.Seq2[string, []*Entry] {
	return func(yield func(string, []*Entry) bool) {
		for len(sorted) > 0 {
			topic, n := sorted[0].Topic, 1
			for n < len(sorted) && sorted[n].Topic == topic {
				n++
			}
			if !yield(topic, sorted[:n:n]) {
				return
			}
			sorted = sorted[n:]
		}
	}
}
