package presence

// defaultMaxDeltaSizes are Phoenix's sizes of the delta generations.
var defaultMaxDeltaSizes = [...]int{100, 1000, 10_000}

// Generations are the deltas of the recent past, merged: one for each size, so
// that a replica which missed little is sent little
// (Phoenix.Tracker.DeltaGeneration).
type Generations struct {
	maxSizes []int
	deltas   []*Delta
}

// NewGenerations keeps one generation for each size, in values plus tags. The
// sizes must rise; the default is 100, 1000 and 10,000.
func NewGenerations(maxSizes ...int) *Generations {
	if len(maxSizes) == 0 {
		maxSizes = defaultMaxDeltaSizes[:]
	}
	return &Generations{maxSizes: maxSizes, deltas: make([]*Delta, len(maxSizes))}
}

// Push merges a delta, own or received, into each generation. A generation
// that outgrows its size is replaced by the next smaller one; the smallest, by
// the delta alone.
//
// A delta that is older than a generation, and not contiguous, leaves it as it
// was. If it is newer, something was missed: the generation starts anew with
// it for the replicas concerned. (Phoenix's keeps what it had, and is of no use
// for them until it is full.)
func (g *Generations) Push(d *Delta) {
	smaller := d
	for i, generation := range g.deltas {
		if generation == nil {
			generation = newDelta()
		}
		for r, start := range d.Range.Start {
			if end, ok := generation.Range.End[r]; ok && start > end {
				generation.RemoveDownReplicas(r)
			}
		}
		_ = generation.Merge(d) // an older one, which leaves it as it was
		if generation.Size() > g.maxSizes[i] {
			g.deltas[i] = smaller.clone()
		} else {
			g.deltas[i] = generation
		}
		smaller = generation
	}
}

// RemoveDownReplicas forgets all that the generations tell of a replica.
func (g *Generations) RemoveDownReplicas(r Replica) {
	for _, d := range g.deltas {
		if d != nil {
			d.RemoveDownReplicas(r)
		}
	}
}

// fulfilling returns the first generation that brings one who knows everything
// up to known, to the clocks of target.
func (g *Generations) fulfilling(known, target Context) *Delta {
	for _, d := range g.deltas {
		if d != nil && d.Range.covers(known, target) {
			return d
		}
	}
	return nil
}

func (rg Range) covers(known, target Context) bool {
	for r, clock := range target {
		start, ok := rg.Start[r]
		if !ok || start > known[r] || rg.End[r] < clock {
			return false
		}
	}
	return true
}
