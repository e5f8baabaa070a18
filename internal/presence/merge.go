package presence

import "slices"

// Merge takes over what another replica knows, a delta or a state, and returns
// the entries that became visible and those that ceased to be, both sorted.
//
// A remote entry joins unless its tag is known here. A local one leaves if the
// other side knows its tag and has it no more. What it says of this replica
// itself and of replicas that are not known here is ignored.
func (s *State) Merge(d *Delta) (joins, leaves []*Entry) {
	joins, leaves = s.observe(d)
	s.Compact()
	return joins, leaves
}

// observe merges, and leaves the clouds as they come.
func (s *State) observe(d *Delta) (joins, leaves []*Entry) {
	for r, cloud := range d.Clouds {
		if !s.takes(r) {
			continue
		}
		for _, e := range d.Values[r] {
			if !s.knows(e.Tag) {
				joins = append(joins, e)
			}
		}
		leaves = append(leaves, s.values.removed(r, cloud, d.Values[r])...)
	}
	for r, cloud := range d.Clouds {
		if s.takes(r) {
			s.clouds[r] = s.clouds[r].Union(cloud)
		}
	}
	for _, e := range joins {
		s.values.put(e)
	}
	for _, e := range leaves {
		s.values.remove(e.Tag)
	}
	joins, leaves = s.online(joins), s.online(leaves)
	sortEntries(joins)
	sortEntries(leaves)
	s.topics.insert(joins)
	s.topics.remove(leaves)
	return joins, leaves
}

// Compact folds the clouds into the context: what joins on to a replica's
// clock raises it, and what is at or below it is dropped. Merge does it.
func (s *State) Compact() {
	for r, cloud := range s.clouds {
		clock, rest := cloud.compact(s.context[r])
		s.context[r] = clock
		if len(rest) == 0 {
			delete(s.clouds, r)
		} else {
			s.clouds[r] = rest
		}
	}
}

// ReplicaUp takes a replica in, or back, and returns the entries that became
// visible by that, sorted: those kept while it was down.
func (s *State) ReplicaUp(r Replica) (joins []*Entry) {
	if _, ok := s.context[r]; !ok {
		s.context[r] = 0
	}
	if !s.down[r] {
		return nil
	}
	delete(s.down, r)
	joins = s.entriesOf(r)
	s.topics.insert(joins)
	return joins
}

// ReplicaDown hides a replica and returns the entries that ceased to be
// visible, sorted. They are kept, and merges go on. Nothing happens if it is
// not known, or this one itself.
func (s *State) ReplicaDown(r Replica) (leaves []*Entry) {
	if !s.takes(r) || s.down[r] {
		return nil
	}
	s.down[r] = true
	leaves = s.entriesOf(r)
	s.topics.remove(leaves)
	return leaves
}

// RemoveDownReplicas forgets a replica that is permanently down, with all that
// is known of it, and returns the entries that ceased to be visible, sorted:
// none if it was down before. Generations have to forget it too.
func (s *State) RemoveDownReplicas(r Replica) (leaves []*Entry) {
	if !s.takes(r) {
		return nil
	}
	leaves = s.ReplicaDown(r)
	delete(s.values, r)
	delete(s.context, r)
	delete(s.clouds, r)
	delete(s.down, r)
	return leaves
}

// takes says whether entries of r are taken over from others.
func (s *State) takes(r Replica) bool {
	_, known := s.context[r]
	return known && r != s.replica
}

func (s *State) knows(tag Tag) bool {
	return tag.Clock <= s.context[tag.Replica] || s.clouds[tag.Replica].Has(tag.Clock)
}

// online returns those of the entries whose replicas are up.
func (s *State) online(entries []*Entry) []*Entry {
	if len(s.down) == 0 {
		return entries
	}
	return slices.DeleteFunc(entries, func(e *Entry) bool { return s.down[e.Tag.Replica] })
}

func (s *State) entriesOf(r Replica) []*Entry {
	entries := make([]*Entry, 0, len(s.values[r]))
	for _, e := range s.values[r] {
		entries = append(entries, e)
	}
	sortEntries(entries)
	return entries
}
