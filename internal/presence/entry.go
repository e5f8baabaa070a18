package presence

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// Owner is what is tracked, such as a channel: what Phoenix has a process for.
// It means something to its own replica only. Metas of one key are listed in
// the order of their owners, so owners should be numbered as they come.
type Owner uint64

// Tag names one add of one replica, once and for all.
type Tag struct {
	Replica Replica
	Clock   uint64
}

// Entry is one presence: an owner under a key in a topic. It never changes: an
// update removes it and adds another one. Within a replica, topic, owner and
// key together are unique.
type Entry struct {
	Topic string
	Owner Owner
	Key   string
	Meta  json.RawMessage // one JSON value, opaque here
	Tag   Tag
}

// Compare orders by topic, key, replica, owner, and clock.
func (e *Entry) Compare(o *Entry) int {
	if c := strings.Compare(e.Topic, o.Topic); c != 0 {
		return c
	}
	if c := strings.Compare(e.Key, o.Key); c != 0 {
		return c
	}
	if c := e.Tag.Replica.Compare(o.Tag.Replica); c != 0 {
		return c
	}
	return cmp.Or(cmp.Compare(e.Owner, o.Owner), cmp.Compare(e.Tag.Clock, o.Tag.Clock))
}

// Values are entries by their tags.
type Values map[Replica]map[uint64]*Entry

func (v Values) put(e *Entry) {
	of := v[e.Tag.Replica]
	if of == nil {
		of = make(map[uint64]*Entry)
		v[e.Tag.Replica] = of
	}
	of[e.Tag.Clock] = e
}

func (v Values) remove(tag Tag) {
	of := v[tag.Replica]
	delete(of, tag.Clock)
	if len(of) == 0 {
		delete(v, tag.Replica)
	}
}

// Len counts the entries.
func (v Values) Len() int {
	n := 0
	for _, of := range v {
		n += len(of)
	}
	return n
}

func (v Values) clone() Values {
	c := make(Values, len(v))
	for r, of := range v {
		c[r] = maps.Clone(of)
	}
	return c
}

// removed returns the entries of r that the other side has heard of, which
// its cloud tells, and has no more.
func (v Values) removed(r Replica, cloud Cloud, has map[uint64]*Entry) []*Entry {
	of := v[r]
	var gone []*Entry
	if cloud.Len() > len(of) {
		for clock, e := range of {
			if has[clock] == nil && cloud.Has(clock) {
				gone = append(gone, e)
			}
		}
		return gone
	}
	for _, s := range cloud {
		for clock := s.lo; clock <= s.hi; clock++ {
			if e := of[clock]; e != nil && has[clock] == nil {
				gone = append(gone, e)
			}
		}
	}
	return gone
}

func sortEntries(entries []*Entry) { slices.SortFunc(entries, (*Entry).Compare) }
