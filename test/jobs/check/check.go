package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/trunkline/trunkline/test/harness"
)

// linger is how long a phase listens for what should not come.
const linger = 1500 * time.Millisecond

// A check is one run of the checker.
type check struct {
	settings settings
	journal  *harness.Journal
	judge    *judge
	lab      *lab

	mu      sync.Mutex
	figures []string
}

// A phase proves one promise, on a cluster of its own.
type phase struct {
	name  string
	alone bool // it measures
	do    func(context.Context, *scenario) error
}

// phases are those of the checker, in order.
func phases() []phase {
	return []phase{
		{"latency", true, latency},
		{"backlog", true, backlog},
		{"rollback", false, rollback},
		{"worker-killed", false, workerKilled},
		{"client-node-killed", false, clientNodeKilled},
		{"repeats", false, repeats},
		{"departures", false, departures},
		{"webhooks", false, webhooks},
	}
}

func phaseNames() (names []string) {
	for _, p := range phases() {
		names = append(names, p.name)
	}
	return names
}

// A scenario is a phase under way.
type scenario struct {
	*check
	*cluster
	phase string
}

// runCheck returns what was broken; an error when it could not run.
func runCheck(ctx context.Context, s settings, out io.Writer) (found []violation, err error) {
	k := &check{settings: s, journal: harness.NewJournal(out), judge: &judge{}}
	k.journal.Printf("building the server and starting Postgres; logs in %s", s.logs)
	k.lab, err = newLab(ctx, s, out)
	defer func() { err = errors.Join(err, k.lab.remove()) }()
	if err != nil {
		return nil, err
	}
	err = k.work(ctx)
	k.summary()
	return k.judge.found, err
}

// work runs the phases, each once; those that measure nothing again and again
// until the time is over.
func (k *check) work(ctx context.Context) error {
	end := time.Now().Add(k.settings.duration)
	for _, p := range phases() {
		if p.alone && k.wants(p) {
			if err := k.run(ctx, p, 1); err != nil {
				return err
			}
		}
	}
	for round := 1; round == 1 || time.Now().Add(typicalRound).Before(end); round++ {
		g, ctx := errgroup.WithContext(ctx)
		for _, p := range phases() {
			if !p.alone && k.wants(p) {
				g.Go(func() error { return k.run(ctx, p, round) })
			}
		}
		if err := g.Wait(); err != nil {
			return err
		}
	}
	return nil
}

func (k *check) wants(p phase) bool { return slices.Contains(k.settings.phases, p.name) }

// run does a phase on a new cluster.
func (k *check) run(ctx context.Context, p phase, round int) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("%s: %w", p.name, err)
		}
	}()
	c, err := k.lab.cluster(ctx, fmt.Sprintf("%s-%d", p.name, round))
	if err != nil {
		return err
	}
	defer c.close()
	s := &scenario{check: k, cluster: c, phase: p.name}
	began := time.Now()
	if err := p.do(ctx, s); err != nil {
		return err
	}
	defects, err := c.stop()
	for _, d := range defects {
		k.judge.add(p.name, kindComplaint, "%s", d)
	}
	s.note("done after %v", time.Since(began).Round(100*time.Millisecond))
	return err
}

// note prints what was done.
func (s *scenario) note(format string, arguments ...any) {
	s.journal.Printf("%s: %s", s.phase, fmt.Sprintf(format, arguments...))
}

// figure notes a measurement, which the summary repeats.
func (s *scenario) figure(format string, arguments ...any) {
	s.note(format, arguments...)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.figures = append(s.figures, s.phase+": "+fmt.Sprintf(format, arguments...))
}

// dial connects a user to a node.
func (s *scenario) dial(ctx context.Context, n *harness.Node, u *user, topic string) (*socket, error) {
	c, err := dial(ctx, n.Address(), u, nil)
	if err != nil {
		return nil, err
	}
	if _, err := c.join(ctx, topic, object{}); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

// counts compares what statements count with what they should.
func (s *scenario) counts(ctx context.Context, wanted []counted) error {
	for _, w := range wanted {
		got, err := s.count(ctx, w.sql)
		if err != nil {
			return err
		}
		s.judge.count(s.phase, w.what, got, w.want)
	}
	return nil
}

// counted is how many of something a statement is to count.
type counted struct {
	what, sql string
	want      int
}

// summary prints the figures and the violations.
func (k *check) summary() {
	for _, f := range k.figures {
		k.journal.Printf("%s", f)
	}
	for _, v := range k.judge.found {
		k.journal.Printf("VIOLATION %s", v)
	}
	k.journal.Printf("%d phases, %d violations", len(k.settings.phases), len(k.judge.found))
}
