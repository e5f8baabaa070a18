package presence

import (
	"errors"
	"maps"
	"math"
	"slices"
)

// ErrNotContiguous is a merge of two deltas between which something is missing.
var ErrNotContiguous = errors.New("deltas are not contiguous")

// Range says that a delta holds all that happened to each of these replicas
// after Start up to End. Both have the same replicas.
type Range struct{ Start, End Context }

// Delta is a part of what a replica knows: the tags in Clouds, and of those
// the entries that live. A tag without an entry has been removed. Every
// value's tag is in the clouds.
type Delta struct {
	Range  Range
	Clouds Clouds
	Values Values
}

func newDelta() *Delta {
	return &Delta{Range{Context{}, Context{}}, make(Clouds), make(Values)}
}

// Empty says whether the delta tells nothing.
func (d *Delta) Empty() bool { return len(d.Clouds) == 0 }

// Size is what the delta costs: its values and the tags of its clouds.
func (d *Delta) Size() int {
	n := d.Values.Len()
	for _, cloud := range d.Clouds {
		n += min(cloud.Len(), math.MaxInt-n)
	}
	return n
}

// Merge takes the other delta in, so that to merge this one into a state is to
// merge both. Their ranges must touch or overlap for each replica that both
// have; else it is ErrNotContiguous, and nothing is changed.
func (d *Delta) Merge(o *Delta) error {
	for r, end := range d.Range.End {
		if start, ok := o.Range.Start[r]; ok && (start > end || o.Range.End[r] < d.Range.Start[r]) {
			return ErrNotContiguous
		}
	}
	for r, cloud := range o.Clouds {
		for _, e := range d.Values.removed(r, cloud, o.Values[r]) {
			d.Values.remove(e.Tag)
		}
		for clock, e := range o.Values[r] {
			if !d.Clouds[r].Has(clock) {
				d.Values.put(e)
			}
		}
		d.Clouds[r] = d.Clouds[r].Union(cloud)
	}
	d.Range = Range{d.Range.Start.Lowerbound(o.Range.Start), d.Range.End.Upperbound(o.Range.End)}
	return nil
}

// RemoveDownReplicas forgets all that the delta tells of a replica.
func (d *Delta) RemoveDownReplicas(r Replica) {
	delete(d.Range.Start, r)
	delete(d.Range.End, r)
	delete(d.Clouds, r)
	delete(d.Values, r)
}

func (d *Delta) addTag(tag Tag) {
	cloud := d.Clouds[tag.Replica]
	cloud.Add(tag.Clock)
	d.Clouds[tag.Replica] = cloud
}

func (d *Delta) clone() *Delta {
	c := &Delta{Range{maps.Clone(d.Range.Start), maps.Clone(d.Range.End)}, make(Clouds, len(d.Clouds)), d.Values.clone()}
	for r, cloud := range d.Clouds {
		c.Clouds[r] = slices.Clone(cloud)
	}
	return c
}
