package main

import "slices"

// A listing is what somebody believes of a topic: the ids of the metas by key.
type listing map[string][]int

// place names a key in a topic, as phoenix.js's observers do.
func place(topic, key string) string { return topic + " " + key }

// A report is what one observer believes, and what it was told.
type report struct {
	Name string `json:"name"`
	Node int    `json:"node"` // the node that it watches
	// Topics that it watches.
	Topics map[string]listing `json:"topics"`
	// Left are ids that it was told had left since the phase began.
	Left []int `json:"left"`
	// Most is the largest number of diffs of the big topic that came within a
	// second since the phase began.
	Most int `json:"most"`
	// Came and Went are how often keys joined and left since the phase began, by
	// place; empty unless they are watched.
	Came map[string]int `json:"came"`
	Went map[string]int `json:"went"`
	// Joins counts the joins of its channels so far.
	Joins int `json:"joins"`
}

// agrees is whether a listing is what was intended.
func (l listing) agrees(wanted map[int]entry) bool {
	metas := 0
	for key, ids := range l {
		metas += len(ids)
		for _, id := range ids {
			if e, ok := wanted[id]; !ok || e.key != key {
				return false
			}
		}
	}
	return metas == len(wanted) // ids are listed once, or their number differs
}

// keys counts those that it believes in.
func (r *report) keys() (n int) {
	for _, l := range r.Topics {
		n += len(l)
	}
	return n
}

// agrees is whether all that it believes is what was intended.
func (r *report) agrees(in intention) bool {
	for topic, l := range r.Topics {
		if !l.agrees(in[topic]) {
			return false
		}
	}
	return true
}

// knows is whether all that is intended is in its lists.
func (r *report) knows(in intention) bool {
	for topic, l := range r.Topics {
		for id, e := range in[topic] {
			if !slices.Contains(l[e.key], id) {
				return false
			}
		}
	}
	return true
}

// shows is whether any of the ids is in its lists.
func (r *report) shows(ids map[int]bool) bool {
	for _, l := range r.Topics {
		for _, listed := range l {
			for _, id := range listed {
				if ids[id] {
					return true
				}
			}
		}
	}
	return false
}
