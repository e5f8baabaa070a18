package main

import (
	"fmt"
	"slices"
	"sync"
	"time"
)

// Kinds of violations.
const (
	kindMissing   = "missing answer"
	kindDouble    = "double answer"
	kindWrong     = "wrong answer"
	kindStray     = "stray answer" // nobody asked
	kindCount     = "count"
	kindLate      = "late"
	kindSlow      = "slow"
	kindLeaves    = "departures"
	kindWebhook   = "webhook"
	kindComplaint = "complaint"
	kindIdle      = "too little" // the phase did too little to prove anything
)

// A violation is one way in which a promise was broken.
type violation struct{ phase, kind, detail string }

func (v violation) String() string { return fmt.Sprintf("%s: %s: %s", v.phase, v.kind, v.detail) }

// A judge collects the violations. It may be used from any goroutine.
type judge struct {
	mu    sync.Mutex
	found []violation
}

func (j *judge) add(phase, kind, format string, arguments ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.found = append(j.found, violation{phase, kind, fmt.Sprintf(format, arguments...)})
}

// answers finds pushes that were not answered exactly once, or not as they
// should have been: right says what is wrong with an answer, "" if nothing is.
func (j *judge) answers(phase string, pushes []*push, right func(*push, answer) string) {
	var missing []string
	for _, p := range pushes {
		got := p.all()
		switch {
		case len(got) == 0:
			missing = append(missing, p.String())
			continue
		case len(got) > 1:
			j.add(phase, kindDouble, "%s: %d times, %v", p, len(got), got)
		}
		for _, a := range got {
			if wrong := right(p, a); wrong != "" {
				j.add(phase, kindWrong, "%s: %s: %v", p, wrong, a)
			}
		}
	}
	if len(missing) > 0 {
		j.add(phase, kindMissing, "%s", some(missing))
	}
}

// same finds repeats of a push that were not all answered alike.
func (j *judge) same(phase string, repeats []*push) {
	for _, p := range repeats[1:] {
		first, other := repeats[0].all(), p.all()
		if len(first) > 0 && len(other) > 0 && !first[0].equal(other[0]) {
			j.add(phase, kindWrong, "%s: answered %v, its repeat %v", repeats[0], first[0], other[0])
		}
	}
}

// strays finds answers that belong to no push of their user.
func (j *judge) strays(phase string, users ...*user) {
	for _, u := range users {
		for _, s := range u.allStrays() {
			j.add(phase, kindStray, "%s: %s", u.name, s)
		}
	}
}

// count compares how many of something there are.
func (j *judge) count(phase, what string, got, want int) {
	if got != want {
		j.add(phase, kindCount, "%d %s, want %d", got, what, want)
	}
}

// enough finds that too little was done.
func (j *judge) enough(phase, what string, got, least int) {
	if got < least {
		j.add(phase, kindIdle, "%d %s, want at least %d", got, what, least)
	}
}

// late finds what took too long.
func (j *judge) late(phase, what string, took, limit time.Duration) {
	if took > limit {
		j.add(phase, kindLate, "%s took %v, the limit is %v", what, took.Round(time.Millisecond), limit)
	}
}

// slow finds what took more than so many times its floor.
func (j *judge) slow(phase, what string, ratio, limit float64) {
	if ratio > limit {
		j.add(phase, kindSlow, "%s is %.2f times its floor, the limit is %.1f", what, ratio, limit)
	}
}

// expected is how many departures somebody had: not certain where a return took
// about as long as the grace.
type expected struct{ least, most int }

// stayer is a key in a topic.
type stayer struct{ topic, key string }

// leaves compares the departures that were counted with those that happened.
func (j *judge) leaves(phase, what string, got map[stayer]int, want map[stayer]expected) {
	for s, n := range got {
		if w := want[s]; n > w.most {
			j.add(phase, kindLeaves, "%s: %d of %s in %s, want at most %d", what, n, s.key, s.topic, w.most)
		}
	}
	for s, w := range want {
		if n := got[s]; n < w.least {
			j.add(phase, kindLeaves, "%s: %d of %s in %s, want at least %d", what, n, s.key, s.topic, w.least)
		}
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
