package presence

import "slices"

const maxClock = 1<<63 - 1

// Cloud is a set of clocks of one replica, kept as spans that are sorted and
// neither touch nor overlap: clocks come in long rows, so few spans hold many.
// Clocks are from 1 to the greatest int64.
type Cloud []span

// span holds the clocks from lo to hi, both within.
type span struct{ lo, hi uint64 }

// Clouds are the clocks of several replicas.
type Clouds map[Replica]Cloud

// Has says whether the clock is in the set.
func (c Cloud) Has(clock uint64) bool {
	i := c.search(clock)
	return i < len(c) && c[i].lo <= clock
}

// search finds the first span that does not end before the clock.
func (c Cloud) search(clock uint64) int {
	i, _ := slices.BinarySearchFunc(c, clock, func(s span, clock uint64) int {
		if s.hi < clock {
			return -1
		}
		return 1
	})
	return i
}

// Len counts the clocks.
func (c Cloud) Len() int {
	n := 0
	for _, s := range c {
		n += int(s.hi - s.lo + 1)
	}
	return n
}

// Add puts one clock into the set.
func (c *Cloud) Add(clock uint64) {
	s := *c
	i := s.search(clock)
	if i < len(s) && s[i].lo <= clock {
		return
	}
	below := i > 0 && s[i-1].hi+1 == clock
	above := i < len(s) && clock+1 == s[i].lo
	switch {
	case below && above:
		s[i-1].hi = s[i].hi
		s = slices.Delete(s, i, i+1)
	case below:
		s[i-1].hi = clock
	case above:
		s[i].lo = clock
	default:
		s = slices.Insert(s, i, span{clock, clock})
	}
	*c = s
}

// Union returns a new set with the clocks of both.
func (c Cloud) Union(o Cloud) Cloud {
	union := make(Cloud, 0, max(len(c), len(o)))
	for len(c) > 0 || len(o) > 0 {
		if len(c) == 0 || len(o) > 0 && o[0].lo < c[0].lo {
			c, o = o, c
		}
		next := c[0]
		c = c[1:]
		if n := len(union); n > 0 && next.lo <= union[n-1].hi+1 {
			union[n-1].hi = max(union[n-1].hi, next.hi)
		} else {
			union = append(union, next)
		}
	}
	return union
}

// compact takes from the front what joins on to the clock, and returns the
// clock that is reached without a hole, and what is above the next hole.
func (c Cloud) compact(clock uint64) (uint64, Cloud) {
	for len(c) > 0 && c[0].lo <= clock+1 {
		clock = max(clock, c[0].hi)
		c = c[1:]
	}
	return clock, c
}
