package main

import (
	"fmt"
	"slices"
	"time"
)

// maxDiffs is how many diffs of one topic a client may get in any second.
const maxDiffs = 20

// Kinds of violations.
const (
	kindMissing    = "missing member"
	kindGhost      = "ghost member"
	kindFlicker    = "flicker"
	kindLate       = "late"
	kindRate       = "too many diffs"
	kindDisconnect = "disconnected"
	kindComplaint  = "complaint"
)

// A violation is one way in which a promise was broken.
type violation struct{ phase, kind, detail string }

func (v violation) String() string { return fmt.Sprintf("%s: %s: %s", v.phase, v.kind, v.detail) }

// A judge collects the violations.
type judge struct{ found []violation }

func (j *judge) add(phase, kind, format string, arguments ...any) {
	j.found = append(j.found, violation{phase, kind, fmt.Sprintf(format, arguments...)})
}

// compare finds what somebody misses of a topic, and what should not be there.
func (j *judge) compare(phase, who, topic string, l listing, wanted map[int]entry) {
	listed := map[int]int{}
	var ghosts, missing []string
	for key, ids := range l {
		for _, id := range ids {
			listed[id]++
			if e, ok := wanted[id]; !ok || e.key != key || listed[id] > 1 {
				ghosts = append(ghosts, fmt.Sprintf("%s (meta %d)", key, id))
			}
		}
		if len(ids) == 0 {
			ghosts = append(ghosts, key+" (no meta)")
		}
	}
	for id, e := range wanted {
		if listed[id] == 0 {
			missing = append(missing, fmt.Sprintf("%s (meta %d)", e.key, id))
		}
	}
	if len(missing) > 0 {
		j.add(phase, kindMissing, "%s, %s: %s", who, topic, some(missing))
	}
	if len(ghosts) > 0 {
		j.add(phase, kindGhost, "%s, %s: %s", who, topic, some(ghosts))
	}
}

// flickers finds who was told to have left and had not. Metas of the node
// hidden are exempt where others watch: these may see them go and come back.
func (j *judge) flickers(phase string, r report, live map[int]entry, hidden int) {
	var names []string
	for _, id := range r.Left {
		e, ok := live[id]
		if ok && (e.node != hidden || r.Node == hidden) {
			names = append(names, fmt.Sprintf("%s (meta %d, of node %d)", e.key, id, e.node+1))
		}
	}
	if len(names) > 0 {
		j.add(phase, kindFlicker, "%s: %s", r.Name, some(names))
	}
}

// keys finds who seemed to come or go, in topics where only those who have left
// for good may go, and have to, each once. Nothing is promised to those who come
// back too late.
func (j *judge) keys(phase string, r report, left map[string]string, late map[string]bool) {
	var came, went, stayed []string
	for where, times := range r.Came {
		if !late[where] {
			came = append(came, fmt.Sprintf("%s (%d times)", where, times))
		}
	}
	for where, times := range r.Went {
		if !late[where] && (left[where] == "" || times > 1) {
			went = append(went, fmt.Sprintf("%s (%d times)", where, times))
		}
	}
	for where, topic := range left {
		if _, watches := r.Topics[topic]; watches && r.Went[where] == 0 {
			stayed = append(stayed, where)
		}
	}
	if len(came) > 0 {
		j.add(phase, kindFlicker, "%s was told that these joined: %s", r.Name, some(came))
	}
	if len(went) > 0 {
		j.add(phase, kindFlicker, "%s was told that these left: %s", r.Name, some(went))
	}
	if len(stayed) > 0 {
		j.add(phase, kindGhost, "%s was not told that these left: %s", r.Name, some(stayed))
	}
}

// rate finds who was told too often.
func (j *judge) rate(phase string, r report) {
	if r.Most > maxDiffs {
		j.add(phase, kindRate, "%s: %d in a second, the limit is %d", r.Name, r.Most, maxDiffs)
	}
}

// late finds what took too long.
func (j *judge) late(phase, what string, took, limit time.Duration) {
	if took > limit {
		j.add(phase, kindLate, "%s took %v, the limit is %v", what, took.Round(time.Millisecond), limit)
	}
}

// some names a few, in order, and how many there are.
func some(names []string) string {
	slices.Sort(names)
	const few = 3
	if len(names) <= few {
		return fmt.Sprint(names)
	}
	return fmt.Sprintf("%v and %d more", names[:few], len(names)-few)
}
