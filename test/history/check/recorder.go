package main

import (
	"fmt"
	"sync"
	"time"

	"github.com/trunkline/trunkline/test/history/verify"
)

// kind is a kind of publisher.
type kind string

const (
	byClient  kind = "clients"
	bySQL     kind = "SQL transactions"
	byCommand kind = "the command line"
)

// recorder collects what publishers were told.
type recorder struct {
	mu         sync.Mutex
	publishes  []verify.Publish
	complaints []string
	amounts    map[kind]map[verify.Outcome]int
	newest     map[kind]time.Time // of the last acknowledgement
}

func newRecorder() *recorder {
	return &recorder{amounts: map[kind]map[verify.Outcome]int{}, newest: map[kind]time.Time{}}
}

// add takes messages of one publisher, after those that it made before.
func (r *recorder) add(k kind, publishes ...verify.Publish) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.publishes = append(r.publishes, publishes...)
	if r.amounts[k] == nil {
		r.amounts[k] = map[verify.Outcome]int{}
	}
	for _, p := range publishes {
		r.amounts[k][p.Outcome]++
		if p.Outcome == verify.Committed {
			r.newest[k] = time.Now()
		}
	}
}

// complain records an answer that the contract rules out.
func (r *recorder) complain(format string, arguments ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.complaints = append(r.complaints, fmt.Sprintf(format, arguments...))
}

// amount is how many messages ended so; of all kinds for "".
func (r *recorder) amount(k kind, o verify.Outcome) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for each, amounts := range r.amounts {
		if k == "" || each == k {
			n += amounts[o]
		}
	}
	return n
}

// acknowledgedSince is whether each kind has had something acknowledged since.
func (r *recorder) acknowledgedSince(when time.Time, kinds ...kind) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, k := range kinds {
		if !r.newest[k].After(when) {
			return false
		}
	}
	return true
}
