package presence

import (
	"maps"
	"slices"
)

// Extract answers a transfer request: it returns what this replica can tell to
// one whose context is known. It tells only of replicas that the asker knows,
// is behind with, and is not itself; so its removes are safe to apply. The
// result is empty if there is nothing, for instance only what the next
// ResetDelta will tell anyway.
//
// It is the first generation that covers all the asker lacks, or else taken
// from the state.
func (s *State) Extract(g *Generations, asker Replica, known Context) *Delta {
	target := make(Context)
	for r, have := range known {
		clock, ok := s.context[r]
		if r == s.replica {
			clock = s.delta.Range.Start[r]
		}
		if ok && r != asker && clock > have {
			target[r] = clock
		}
	}
	if d := g.fulfilling(known, target); d != nil {
		return d.only(target)
	}
	d := newDelta()
	for r := range target {
		s.extract(d, r, known[r])
	}
	return d
}

// only returns the part of the delta that tells of these replicas.
func (d *Delta) only(of Context) *Delta {
	part := newDelta()
	for r := range of {
		part.Range.Start[r] = d.Range.Start[r]
		part.Range.End[r] = d.Range.End[r]
		part.Clouds[r] = slices.Clone(d.Clouds[r])
		if values := d.Values[r]; len(values) > 0 {
			part.Values[r] = maps.Clone(values)
		}
	}
	return part
}

// extract puts what is known of r into the delta, for one who knows everything
// up to the clock known. Of the tags up to there those are told that have no
// entry any more: the asker may still have it.
func (s *State) extract(d *Delta, r Replica, known uint64) {
	end := s.context[r]
	var living []uint64
	values := make(map[uint64]*Entry)
	for clock, e := range s.values[r] {
		if clock <= known {
			living = append(living, clock)
		} else {
			values[clock] = e
		}
	}
	slices.Sort(living)
	var told Cloud
	from := uint64(1)
	for _, clock := range append(living, end+1) {
		if from < clock {
			told = append(told, span{from, clock - 1})
		}
		from = clock + 1
	}
	d.Range.Start[r], d.Range.End[r] = known, end
	d.Clouds[r] = told.Union(s.clouds[r])
	if len(values) > 0 {
		d.Values[r] = values
	}
}
