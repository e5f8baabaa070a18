package main

import "time"

// A rate knows the largest number of events within a second.
type rate struct {
	within []time.Time // the last second
	most   int
}

// pause says that what comes next comes from elsewhere.
func (r *rate) pause() { r.within = nil }

func (r *rate) count(now time.Time) {
	r.within = append(r.within, now)
	for now.Sub(r.within[0]) >= time.Second {
		r.within = r.within[1:]
	}
	r.most = max(r.most, len(r.within))
}
