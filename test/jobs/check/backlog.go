package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/trunkline/trunkline/test/harness"
)

const (
	backlogJobs    = 20_000
	backlogListens = 3   // clients on each node
	backlogLeast   = 100 // jobs done in each window
	// A job takes from backlogMS to three times as long, as calls of other services do.
	backlogMS     = 100
	backlogEach   = 5 * time.Millisecond
	backlogWindow = 700 * time.Millisecond
	backlogPause  = 160 * time.Millisecond // until what was switched shows
	backlogRounds = 7
	// backlogLimit is how many times the 99th percentile of live messages may
	// take while the backlog is worked off.
	backlogLimit = 1.5
)

// backlogArgs is a job of the servers that nobody waits for.
type backlogArgs struct {
	MS int `json:"ms"`
}

// Kind of the job.
func (backlogArgs) Kind() string { return "echo" }

// backlog measures live messages between clients while both nodes work off many
// jobs, and while they do not: the queue is paused every other window.
func backlog(ctx context.Context, s *scenario) error {
	l := &live{scenario: s, rounds: backlogRounds}
	if s.settings.long() {
		l.rounds *= 2
	}
	err := l.connect(ctx)
	defer l.close()
	if err != nil {
		return err
	}
	if l.river, err = newInserter(s.cluster); err != nil {
		return err
	}
	return s.untilWithin("the 99th percentile of live messages during the backlog", backlogLimit, func() (float64, error) { return l.measure(ctx) })
}

// live are messages between clients, and how long they take.
type live struct {
	*scenario
	river   *river.Client[pgx.Tx]
	rounds  int
	sockets []*socket // the first one sends
	took    samples
}

// connect starts the nodes and connects their clients.
func (l *live) connect(ctx context.Context) error {
	for _, name := range []string{"a", "b"} {
		n, err := l.start(ctx, name, defaultPool)
		if err != nil {
			return err
		}
		for i := range backlogListens {
			c, err := dial(ctx, n.Address(), newUser(fmt.Sprintf("%s%d", name, i)), l.hear)
			if err != nil {
				return err
			}
			l.sockets = append(l.sockets, c)
			if _, err := c.join(ctx, liveTopic, object{}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (l *live) close() {
	for _, c := range l.sockets {
		c.close()
	}
}

// queue pauses the jobs and adds a backlog of them.
func (l *live) queue(ctx context.Context) error {
	if err := l.river.QueuePause(ctx, river.QueueDefault, nil); err != nil {
		return err
	}
	jobs := make([]river.InsertManyParams, backlogJobs)
	for i := range jobs {
		jobs[i].Args = backlogArgs{MS: backlogMS + i%(2*backlogMS)}
	}
	_, err := l.river.InsertManyFast(ctx, jobs)
	return err
}

// measure returns how many times the 99th percentile with jobs under way takes
// what that of the window before it does: the median of all such pairs, as some
// windows are disturbed by what else the machine does.
func (l *live) measure(ctx context.Context) (ratio float64, err error) {
	if err := l.queue(ctx); err != nil {
		return 0, err
	}
	var with, without []time.Duration
	var pairs []float64
	done := 0
	for n := range l.rounds {
		quiet, err := l.window(ctx)
		if err != nil {
			return 0, err
		}
		busy, worked, err := l.windowOfWork(ctx)
		if err != nil {
			return 0, err
		}
		without, with = append(without, quiet...), append(with, busy...)
		pairs = append(pairs, percentile(busy, 99).Seconds()/percentile(quiet, 99).Seconds())
		done += worked
		l.judge.enough(l.phase, fmt.Sprintf("jobs done in window %d", n+1), worked, backlogLeast)
	}
	const left = "select count(*) from trunkline.river_job where kind = 'echo' and state = 'available'"
	waiting, err := l.count(ctx, left)
	if err != nil {
		return 0, err
	}
	l.judge.enough(l.phase, "jobs still waiting at the end", waiting, 1)
	l.note("%d jobs done in %d windows of %v", done, l.rounds, backlogWindow)
	l.judge.enough(l.phase, "live messages", min(len(with), len(without)), l.rounds*backlogListens*10)
	l.figure("live messages without the backlog: p50 %v, p99 %v (%d)", round(median(without)), round(percentile(without, 99)), len(without))
	l.figure("live messages while it is worked off: p50 %v, p99 %v (%d)", round(median(with)), round(percentile(with, 99)), len(with))
	return medianRatio(pairs), nil
}

// windowOfWork is a window with the queue resumed, and how many jobs were done.
func (l *live) windowOfWork(ctx context.Context) (window []time.Duration, worked int, err error) {
	const done = "select count(*) from trunkline.river_job where kind = 'echo' and state = 'completed'"
	before, err := l.count(ctx, done)
	if err != nil {
		return nil, 0, err
	}
	if err := l.river.QueueResume(ctx, river.QueueDefault, nil); err != nil {
		return nil, 0, err
	}
	if window, err = l.window(ctx); err != nil {
		return nil, 0, err
	}
	after, err := l.count(ctx, done)
	if err != nil {
		return nil, 0, err
	}
	return window, after - before, l.river.QueuePause(ctx, river.QueueDefault, nil)
}

const liveTopic = "live:chat"

func (l *live) hear(m message, at time.Time) {
	var said struct{ At time.Time }
	if m.Event == "said" && json.Unmarshal(m.Payload, &said) == nil {
		l.took.add(at.Sub(said.At))
	}
}

// window returns how long messages took in it.
func (l *live) window(ctx context.Context) ([]time.Duration, error) {
	harness.Pause(ctx, backlogPause)
	l.took.take()
	err := paced(ctx, backlogEach, backlogWindow, func(ctx context.Context) error {
		_, err := l.sockets[0].ask(ctx, liveTopic, "say", object{"at": time.Now()})
		return err
	})
	harness.Pause(ctx, backlogPause/4) // for the last
	return l.took.take(), err
}
