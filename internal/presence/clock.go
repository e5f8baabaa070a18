package presence

import (
	"maps"
	"slices"
)

// Context is a vector clock: for each replica the clock up to which everything
// of it is known.
type Context map[Replica]uint64

// Clock is the context of one replica, as it tells it to the others.
type Clock struct {
	Replica Replica
	Context Context
}

// Dominates says whether c has at least as many replicas as o and reaches each
// clock of o. Contexts with different replicas dominate neither one the other.
func (c Context) Dominates(o Context) bool {
	if len(c) < len(o) {
		return false
	}
	for r, clock := range o {
		if c[r] < clock {
			return false
		}
	}
	return true
}

// Upperbound takes the later clock of what both have, and what only one has.
func (c Context) Upperbound(o Context) Context {
	return c.combine(o, func(a, b uint64) uint64 { return max(a, b) })
}

// Lowerbound takes the earlier clock of what both have, and what only one has.
func (c Context) Lowerbound(o Context) Context {
	return c.combine(o, func(a, b uint64) uint64 { return min(a, b) })
}

func (c Context) combine(o Context, pick func(a, b uint64) uint64) Context {
	bound := make(Context, max(len(c), len(o)))
	maps.Copy(bound, c)
	for r, clock := range o {
		if have, ok := bound[r]; ok {
			clock = pick(have, clock)
		}
		bound[r] = clock
	}
	return bound
}

// Replicas returns whose clocks these are, sorted.
func (c Context) Replicas() []Replica {
	return slices.SortedFunc(maps.Keys(c), Replica.Compare)
}

// Filter returns the clocks of those replicas only that o has too.
func (c Context) Filter(o Context) Context {
	shared := make(Context, min(len(c), len(o)))
	for r, clock := range c {
		if _, ok := o[r]; ok {
			shared[r] = clock
		}
	}
	return shared
}

// ClockSet holds clocks of which none dominates another: those whose replicas
// have news.
type ClockSet []Clock

// Append adds a clock unless the others taken together dominate it, and drops
// those that it dominates. An empty clock is ignored.
func (cs ClockSet) Append(clock Clock) ClockSet {
	if len(clock.Context) == 0 {
		return cs
	}
	together := Context{}
	for _, c := range cs {
		together = together.Upperbound(c.Context)
	}
	if together.Dominates(clock.Context) {
		return cs
	}
	kept := make(ClockSet, 0, len(cs)+1)
	for _, c := range cs {
		if !clock.Context.Dominates(c.Context) {
			kept = append(kept, c)
		}
	}
	return append(kept, clock)
}

// ToSync returns, sorted, the replicas to ask for a transfer: those that know
// more than own, and of several with the same news only one. What they know of
// replicas that own does not have counts for nothing: it would not be taken.
func (cs ClockSet) ToSync(own Clock) []Replica {
	var news ClockSet
	for _, c := range cs {
		known := c.Context.Filter(own.Context)
		if c.Replica != own.Replica && !own.Context.Dominates(known) {
			news = news.Append(Clock{c.Replica, known})
		}
	}
	var ask []Replica
	for _, c := range news {
		ask = append(ask, c.Replica)
	}
	slices.SortFunc(ask, Replica.Compare)
	return slices.Compact(ask)
}
