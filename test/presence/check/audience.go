package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/trunkline/trunkline/test/harness"
)

const (
	pollEvery   = 50 * time.Millisecond
	homeTimeout = 20 * time.Second
)

// An audience is all observers.
type audience struct {
	cluster   *cluster
	observers []*observer
	phoenix   remote
	running   sync.WaitGroup
}

// remote are the observers of another process.
type remote interface {
	begin() error
	reports(ctx context.Context) ([]report, error)
	// cut has those whose home is the node go back to it.
	cut(home int)
	stop()
}

func newAudience(s settings, w watch, c *cluster) (*audience, error) {
	a := &audience{cluster: c}
	for home := range c.nodes {
		for i := range w.observers {
			name := fmt.Sprintf("observer %d of %s", i+1, c.nodes[home].Name)
			o := newObserver(name, home, w.watched(i, w.observers, crowdChannels-1), c)
			o.keys = w.keys
			a.observers = append(a.observers, o)
		}
	}
	p, err := startPhoenix(s, w, c)
	a.phoenix = p
	return a, err
}

// crowdChannels is how many topics one client may watch: see
// examples/conformance.
const crowdChannels = 200

func (a *audience) start(ctx context.Context) {
	for _, o := range a.observers {
		a.running.Go(func() { o.run(ctx) })
	}
}

// begin begins a phase.
func (a *audience) begin() error {
	for _, o := range a.observers {
		o.begin()
	}
	return a.phoenix.begin()
}

// home has those whose home is the node go back to it, and returns when they
// have joined their topics there.
func (a *audience) home(ctx context.Context, node int) error {
	ctx, cancel := context.WithTimeout(ctx, homeTimeout)
	defer cancel()
	reports, err := a.reports(ctx)
	if err != nil {
		return err
	}
	due := map[string]int{} // joins, by name
	for _, r := range reports {
		if r.Node == node {
			due[r.Name] = r.Joins + len(r.Topics)
		}
	}
	for _, o := range a.observers {
		if o.home == node {
			o.cut()
		}
	}
	a.phoenix.cut(node)
	for len(due) > 0 {
		if !harness.Pause(ctx, pollEvery) {
			return fmt.Errorf("%d observers have not come back within %v", len(due), homeTimeout)
		}
		if reports, err = a.reports(ctx); err != nil {
			return err
		}
		for _, r := range reports {
			if r.Joins >= due[r.Name] {
				delete(due, r.Name)
			}
		}
	}
	return nil
}

func (a *audience) reports(ctx context.Context) ([]report, error) {
	reports, err := a.phoenix.reports(ctx)
	for _, o := range a.observers {
		reports = append(reports, o.report())
	}
	return reports, err
}

// agree waits until all lists are what is intended, and returns when that was;
// false when they were not until the deadline.
func (a *audience) agree(ctx context.Context, intended func() intention, deadline time.Time) (time.Time, bool, error) {
	return a.await(ctx, deadline,
		func(o *observer, in intention) bool { return o.agrees(in) },
		func(r *report, in intention) bool { return r.agrees(in) }, intended)
}

// know waits until all that is intended is shown to everybody, whatever else is.
func (a *audience) know(ctx context.Context, intended func() intention, deadline time.Time) (time.Time, bool, error) {
	return a.await(ctx, deadline,
		func(o *observer, in intention) bool { r := o.report(); return r.knows(in) },
		func(r *report, in intention) bool { return r.knows(in) }, intended)
}

// gone waits until none of the ids is shown any more to those for whom it
// matters.
func (a *audience) gone(ctx context.Context, ids map[int]bool, matters func(home int) bool, deadline time.Time) (time.Time, bool, error) {
	return a.await(ctx, deadline,
		func(o *observer, _ intention) bool { return !matters(o.home) || !o.shows(ids) },
		func(r *report, _ intention) bool { return !matters(r.Node) || !r.shows(ids) },
		func() intention { return nil })
}

// await waits for the observers of this process, and then for those of phoenix.js,
// which are dearer to ask.
func (a *audience) await(
	ctx context.Context, deadline time.Time, holds func(*observer, intention) bool,
	reported func(*report, intention) bool, intended func() intention,
) (time.Time, bool, error) {
	for {
		in := intended()
		all := true
		for _, o := range a.observers {
			if all = holds(o, in); !all {
				break
			}
		}
		asked := time.Now()
		if all {
			reports, err := a.phoenix.reports(ctx)
			if err != nil {
				return asked, false, err
			}
			for i := range reports {
				all = all && reported(&reports[i], in)
			}
			if all {
				return asked, true, nil
			}
		}
		if time.Now().After(deadline) || !harness.Pause(ctx, pollEvery) {
			return asked, false, ctx.Err()
		}
	}
}

// lists has the servers list all topics: for each node, what it says of those
// that its observers watch.
func (a *audience) lists(ctx context.Context, each func(node int, topic string, l listing)) error {
	for home, n := range a.cluster.nodes {
		if !n.open.Load() {
			continue
		}
		asked := map[string]bool{}
		for _, o := range a.observers {
			if o.home != home {
				continue
			}
			for _, topic := range o.topics {
				if asked[topic] {
					continue
				}
				asked[topic] = true
				l, err := o.ask(ctx, topic)
				if err != nil {
					return fmt.Errorf("%s: %w", o.name, err)
				}
				each(home, topic, l)
			}
		}
	}
	return nil
}
