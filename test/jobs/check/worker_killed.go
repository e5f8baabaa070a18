package main

import (
	"context"
	"fmt"
	"time"

	"github.com/trunkline/trunkline/test/harness"
)

const (
	killedTopic = "shop:killed"
	// killedMiddle is how many jobs are in the middle for sure when their node is
	// killed: so many before their side effect, so many after it.
	killedMiddle = 10
	killedShort  = 60
	// rescueLimit is how long a rescue may take beyond RescueAfter: the lease of
	// the leader, who is killed, River's look each 30 s, and a retry's delay.
	rescueLimit = 60 * time.Second
	// shortRescue is less than the lease, so that it costs a run no time.
	shortRescue   = 10 * time.Second
	killedTimeout = 8 * time.Second
	defaultRescue = 2 * time.Minute
	leaderTimeout = 30 * time.Second
)

// workerKilled kills the node that works jobs, River's leader too, when some of
// them have changed the application's table and some have not. Another node
// takes its place. Each is answered once, and each order charged once.
func workerKilled(ctx context.Context, s *scenario) error {
	settings, rescue := []string{"JOB_TIMEOUT=" + killedTimeout.String(), "RESCUE_AFTER=" + shortRescue.String()}, shortRescue
	if s.settings.long() {
		settings, rescue = nil, defaultRescue
	}
	b, err := s.start(ctx, "b", settings...)
	if err != nil {
		return err
	}
	if err := s.awaitLeader(ctx); err != nil {
		return err
	}
	a, err := s.start(ctx, "a", append(settings, noJobs)...)
	if err != nil {
		return err
	}
	c, err := s.dial(ctx, a, newUser("ann"), killedTopic)
	if err != nil {
		return err
	}
	defer c.close()
	pushes, err := killedOrders(ctx, c)
	if err != nil {
		return err
	}
	if err := s.awaitMiddle(ctx); err != nil {
		return err
	}
	b.Kill()
	killed := time.Now()
	if _, err := s.start(ctx, "c", settings...); err != nil {
		return err
	}
	awaitAll(ctx, rescue+rescueLimit, pushes)
	s.note("all answered %v after the kill, rescue after %v", time.Since(killed).Round(100*time.Millisecond), rescue)
	harness.Pause(ctx, linger)

	s.judge.answers(s.phase, pushes, charged)
	s.judge.strays(s.phase, c.user)
	again, err := s.count(ctx, "select count(*) from trunkline.river_job where kind = 'charge' and attempt > 1")
	if err != nil {
		return err
	}
	s.judge.enough(s.phase, "jobs tried again", again, 2*killedMiddle)
	s.note("%d of %d jobs were tried again", again, len(pushes))
	return s.counts(ctx, orderCounts(len(pushes)))
}

// killedOrders are those in the middle, and short ones around them.
func killedOrders(ctx context.Context, c *socket) (pushes []*push, err error) {
	order := func(name string, before, after int) {
		if err != nil {
			return
		}
		var p *push
		p, err = c.ask(ctx, killedTopic, "order", object{"key": name, "number": name, "amount": 1, "before_ms": before, "after_ms": after})
		pushes = append(pushes, p)
	}
	const long = 5_000 // ms, below the time-out
	for i := range killedMiddle {
		order(fmt.Sprintf("before-%d", i), long, 0)
		order(fmt.Sprintf("after-%d", i), 0, long)
	}
	for i := range killedShort {
		order(fmt.Sprintf("short-%d", i), i*7%40, i*11%40)
	}
	return pushes, err
}

// awaitMiddle waits until the long jobs are in their middle, and half of the
// short ones have been charged.
func (s *scenario) awaitMiddle(ctx context.Context) error {
	return s.await(ctx, killedTimeout, "jobs are under way", `
		select (select count(*) from charges where order_number like 'after-%') = 10
			and (select count(*) from charges where order_number like 'short-%') >= 30
			and (select count(*) from trunkline.river_job where state = 'running' and args->>'number' like 'before-%') = 10`)
}

// awaitLeader waits until River has a leader.
func (s *scenario) awaitLeader(ctx context.Context) error {
	return s.await(ctx, leaderTimeout, "River has a leader", "select exists (select from trunkline.river_leader)")
}

// await waits until a statement returns true.
func (s *scenario) await(ctx context.Context, limit time.Duration, what, sql string) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		var holds bool
		if err := s.db.QueryRow(ctx, sql).Scan(&holds); err != nil {
			return fmt.Errorf("waiting until %s: %w", what, err)
		}
		if holds {
			return nil
		}
		if !harness.Pause(ctx, pollEvery) {
			return fmt.Errorf("not within %v: %s", limit, what)
		}
	}
}

const pollEvery = 10 * time.Millisecond
