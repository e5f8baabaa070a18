package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/trunkline/trunkline/test/harness"
)

// patience is how much longer than promised is waited, to tell what comes late
// from what never does.
const patience = 20 * time.Second

// A check is one run of the checker.
type check struct {
	settings settings
	journal  *harness.Journal
	cluster  *cluster
	scene    // of the phases without a grace period
	judge    *judge
	stalls   stalls

	// Of the phase under way.
	phase   string
	began   time.Time
	mayLose bool // connections: a node has ended
	hidden  int  // the node whose members may seem to have left elsewhere

	holes   int
	victims int
	rolls   int
	figures []figure
}

// A scene is members and those who watch them.
type scene struct {
	crowd    *crowd
	audience *audience
}

// runCheck returns what was broken; an error when it could not run.
func runCheck(ctx context.Context, s settings, out io.Writer) (found []violation, err error) {
	k := &check{settings: s, journal: harness.NewJournal(out), judge: &judge{}}
	k.journal.Printf("building the server and starting Postgres and %d nodes; logs in %s", s.nodes, s.logs)
	k.cluster, err = startCluster(ctx, s, out)
	defer func() { err = errors.Join(err, k.cluster.remove()) }()
	if err != nil {
		return nil, err
	}
	if err := k.work(ctx); err != nil {
		return nil, err
	}
	defects, err := k.cluster.stopNodes()
	for _, d := range append(k.crowd.takeComplaints(), defects...) {
		k.judge.add("all", kindComplaint, "%s", d)
	}
	k.summary()
	return k.judge.found, err
}

// work runs the phases until the time is over, each at least once.
func (k *check) work(ctx context.Context) (err error) {
	running, stop := context.WithCancel(ctx)
	defer stop()
	if k.audience, err = newAudience(k.settings, k.settings.watch(), k.cluster); err != nil {
		return err
	}
	defer k.audience.phoenix.stop()
	defer k.audience.running.Wait()
	k.crowd = newCrowd(k.cluster, k.settings)
	defer k.crowd.running.Wait()
	defer stop()
	var watching sync.WaitGroup
	defer watching.Wait()
	watching.Go(func() { k.stalls.watch(running) })
	defer stop()
	k.audience.start(running)
	if err := k.gather(running); err != nil {
		return err
	}
	end := time.Now().Add(k.settings.duration)
	for round := 0; ; round++ {
		for _, p := range phases() {
			if !slices.Contains(k.settings.phases, p.name) || p.once && round > 0 {
				continue
			}
			if round > 0 && time.Now().After(end) {
				return nil
			}
			if err := k.run(running, p); err != nil {
				return fmt.Errorf("%s: %w", p.name, err)
			}
		}
		if time.Now().After(end) || !slices.ContainsFunc(phases(), func(p phase) bool { return !p.once && slices.Contains(k.settings.phases, p.name) }) {
			return nil
		}
	}
}

// gather connects the members, each to its small topic.
func (k *check) gather(ctx context.Context) error {
	k.phase, k.began, k.hidden = "gather", time.Now(), nobody
	k.crowd.connect(ctx, time.Millisecond)
	joined, err := k.crowd.awaitJoined(ctx, joinLimit)
	if err != nil {
		return err
	}
	k.note("%d members in %d topics after %v", len(k.crowd.members), len(k.settings.smallTopics()), joined.Sub(k.began).Round(time.Millisecond))
	return k.settle(ctx, k.scene, "knowing of the last join", joined, changeLimit)
}

// run does a phase and verifies it.
func (k *check) run(ctx context.Context, p phase) error {
	k.phase, k.mayLose, k.hidden = p.name, false, nobody
	if err := k.audience.begin(); err != nil {
		return err
	}
	k.crowd.takeLost()
	before := k.cluster.counters(ctx)
	k.began = time.Now()
	if err := p.do(k, ctx); err != nil {
		return err
	}
	k.cost(before, k.cluster.counters(ctx))
	return k.verify(ctx)
}

// note prints what was done.
func (k *check) note(format string, arguments ...any) {
	k.journal.Printf("%s: %s", k.phase, fmt.Sprintf(format, arguments...))
}

// settle waits until all observers agree with what is intended.
func (k *check) settle(ctx context.Context, s scene, what string, since time.Time, limit time.Duration) error {
	at, agreed, err := s.audience.agree(ctx, s.crowd.roll.intention, since.Add(limit+patience))
	if err != nil {
		return err
	}
	if agreed {
		k.timed(what, since, at, limit)
		return nil
	}
	k.note("%s: not within %v", what, limit+patience)
	reports, err := s.audience.reports(ctx)
	k.compare(reports, s.crowd.roll.intention())
	return err
}

// compare compares what observers believe with what is intended.
func (k *check) compare(reports []report, in intention) {
	for _, r := range reports {
		for topic, l := range r.Topics {
			k.judge.compare(k.phase, r.Name, topic, l, in[topic])
		}
	}
}

// gone waits until nobody is shown the metas any more.
func (k *check) gone(ctx context.Context, what string, ids map[int]bool, matters func(int) bool, since time.Time, limit time.Duration) error {
	at, done, err := k.audience.gone(ctx, ids, matters, since.Add(limit+patience))
	if err != nil {
		return err
	}
	if !done {
		at = time.Now()
	}
	k.timed(what, since, at, limit)
	return nil
}

// timed judges a duration that has a limit.
func (k *check) timed(what string, since, until time.Time, limit time.Duration) {
	took, stalled := max(0, until.Sub(since)), k.stalls.between(since, until)
	k.note("%s took %v", what, took.Round(time.Millisecond))
	if stalled > 0 {
		k.note("this process was stalled for %v of it", stalled.Round(time.Millisecond))
	}
	k.figure(what, took-stalled, limit)
	k.judge.late(k.phase, what, took-stalled, limit)
}

// verify is what holds at the end of each phase.
func (k *check) verify(ctx context.Context) error {
	if _, err := k.verifyScene(ctx, k.scene); err != nil {
		return err
	}
	if lost := k.crowd.takeLost(); len(lost) > 0 && !k.mayLose {
		k.judge.add(k.phase, kindDisconnect, "%s", some(lost))
	}
	return nil
}

// verifyScene compares what observers and servers say with what is intended, and
// looks at how they came to say so.
func (k *check) verifyScene(ctx context.Context, s scene) ([]report, error) {
	in := s.crowd.roll.intention()
	live := in.all()
	reports, err := s.audience.reports(ctx)
	if err != nil {
		return nil, err
	}
	k.compare(reports, in)
	most := 0
	for _, r := range reports {
		k.judge.flickers(k.phase, r, live, k.hidden)
		k.judge.rate(k.phase, r)
		most = max(most, r.Most)
	}
	k.note("at most %d diffs a second", most)
	return reports, s.audience.lists(ctx, func(node int, topic string, l listing) {
		k.judge.compare(k.phase, "the list of "+k.cluster.nodes[node].Name, topic, l, in[topic])
	})
}
