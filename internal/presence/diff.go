package presence

import (
	"encoding/json"
	"maps"
	"slices"
)

// Diff is what changed in one topic. Both lists are sorted. No tag is in both:
// phoenix.js applies the joins first, then the leaves.
type Diff struct {
	Topic         string
	Joins, Leaves []*Entry
}

// Presence is what is told of one key: its metas.
type Presence struct {
	Key   string
	Metas []json.RawMessage
}

// Group gathers sorted entries of one topic under their keys, in their order.
func Group(entries []*Entry) []Presence {
	var presences []Presence
	for _, e := range entries {
		if n := len(presences); n == 0 || presences[n-1].Key != e.Key {
			presences = append(presences, Presence{Key: e.Key})
		}
		last := &presences[len(presences)-1]
		last.Metas = append(last.Metas, e.Meta)
	}
	return presences
}

// Diffs collects joins and leaves until they are told to the clients, as one
// diff for each topic. What comes and goes in between is not told at all,
// unless somebody may have seen it: whoever hands out a topic's list must call
// Observe. Then a client that applies each diff which follows its list has what
// the topic's list has.
//
// It holds at most one change for each entry that was visible since the last
// diff. Keep its period short.
type Diffs struct{ topics map[string]*collected }

type collected struct {
	changes  map[Tag]*change
	observed int // times
}

// A change is what became of one entry since the last diff.
type change struct {
	entry    *Entry
	was, is  bool // visible
	since    int  // how often the topic was observed before
	observed bool // and whether it was between the first and the last change
}

// NewDiffs collects from now on.
func NewDiffs() *Diffs { return &Diffs{make(map[string]*collected)} }

// Add takes in what State's methods returned.
func (ds *Diffs) Add(joins, leaves []*Entry) {
	for _, e := range joins {
		ds.add(e, true)
	}
	for _, e := range leaves {
		ds.add(e, false)
	}
}

func (ds *Diffs) add(e *Entry, is bool) {
	topic := ds.topics[e.Topic]
	if topic == nil {
		topic = &collected{changes: make(map[Tag]*change)}
		ds.topics[e.Topic] = topic
	}
	c := topic.changes[e.Tag]
	if c == nil {
		c = &change{entry: e, was: !is, since: topic.observed}
		topic.changes[e.Tag] = c
	}
	c.is = is
	c.observed = c.observed || topic.observed > c.since
	if c.is == c.was && !c.observed {
		delete(topic.changes, e.Tag)
	}
}

// Observe says that the topic's list has been handed out: what is in it is
// known to somebody, though no diff has told it, and so is what is not.
func (ds *Diffs) Observe(topic string) {
	if c := ds.topics[topic]; c != nil {
		c.observed++
	}
}

// Topics returns, sorted, the topics that may have a diff.
func (ds *Diffs) Topics() []string { return slices.Sorted(maps.Keys(ds.topics)) }

// Take returns the diff of a topic, which starts anew; false if there is
// nothing to tell. An entry that somebody may have seen in between is told as
// it is now: to join what is known or to leave what is not changes nothing.
func (ds *Diffs) Take(topic string) (Diff, bool) {
	diff := Diff{Topic: topic}
	if c := ds.topics[topic]; c != nil {
		for _, change := range c.changes {
			if change.is {
				diff.Joins = append(diff.Joins, change.entry)
			} else {
				diff.Leaves = append(diff.Leaves, change.entry)
			}
		}
		delete(ds.topics, topic)
	}
	sortEntries(diff.Joins)
	sortEntries(diff.Leaves)
	return diff, len(diff.Joins)+len(diff.Leaves) > 0
}
