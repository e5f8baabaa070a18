package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/trunkline/trunkline/test/harness"
)

const (
	lobbyMembers = 60
	lobbyTopics  = 3
	// lobbyEach is how long members come and go between two ends of nodes.
	lobbyEach = 3 * time.Second
	// leavesTimeout is how long the last departures may take: a killed node counts
	// as dead after 12 to 15 s, then the grace, and a second, and a job.
	leavesTimeout = 30 * time.Second
	leavesPoll    = 100 * time.Millisecond
)

// departures has members come, go, reload and change nodes while nodes are
// killed and stopped, and compares the jobs of departures with what happened.
func departures(ctx context.Context, s *scenario) error {
	l := &lobby{open: map[*harness.Node]bool{}}
	for _, name := range []string{"a", "b", "c"} {
		n, err := s.start(ctx, name, "GRACE="+lobbyGrace.String())
		if err != nil {
			return err
		}
		l.nodes = append(l.nodes, n)
		l.set(n, true)
	}
	stop := make(chan struct{})
	var members []*member
	var running sync.WaitGroup
	for i := range lobbyMembers {
		m := &member{lobby: l, stayer: stayer{fmt.Sprintf("lobby:%d", i%lobbyTopics), fmt.Sprintf("member-%d", i)}}
		members = append(members, m)
		running.Go(func() { m.run(ctx, stop) })
	}
	err := s.endNodes(ctx, l)
	close(stop)
	running.Wait()
	if err != nil {
		return err
	}
	want := map[stayer]expected{}
	var least, most, away int
	for _, m := range members {
		if m.err != nil {
			return fmt.Errorf("%s: %w", m.key, m.err)
		}
		want[m.stayer] = m.left
		least, most = least+m.left.least, most+m.left.most
		if m.goneForGood {
			away++
		}
	}
	s.note("%d to %d departures of %d members; %d of them lost their node and stayed away", least, most, len(members), away)
	s.judge.enough(s.phase, "departures", least, lobbyMembers)
	s.judge.enough(s.phase, "departures by the end of a node", away, 3)
	s.judge.enough(s.phase, "certain departures of a hundred", least*100/max(most, 1), 90)
	return s.judgeLeaves(ctx, want, least)
}

// endNodes kills one node, and stops another in order.
func (s *scenario) endNodes(ctx context.Context, l *lobby) error {
	rounds := 1
	if s.settings.long() {
		rounds = 3 // more would leave nobody who moves
	}
	for round := range rounds {
		harness.Pause(ctx, lobbyEach)
		killed := l.nodes[round%len(l.nodes)]
		l.quiet(ctx, killed, killed.Kill)
		harness.Pause(ctx, lobbyEach/2)
		if err := s.again(ctx, l, killed); err != nil {
			return err
		}
		stopped := l.nodes[(round+1)%len(l.nodes)]
		l.quiet(ctx, stopped, func() {})
		if err := stopped.Stop(); err != nil {
			return err
		}
		if err := s.again(ctx, l, stopped); err != nil {
			return err
		}
	}
	harness.Pause(ctx, lobbyEach)
	return nil
}

// again starts a node that has ended.
func (s *scenario) again(ctx context.Context, l *lobby, n *harness.Node) error {
	if err := n.Start(ctx); err != nil {
		return err
	}
	l.set(n, true)
	return nil
}

// judgeLeaves waits until there are enough departures, then for more that there
// should not be.
func (s *scenario) judgeLeaves(ctx context.Context, want map[stayer]expected, least int) error {
	began := time.Now()
	for time.Since(began) < leavesTimeout {
		n, err := s.count(ctx, "select count(*) from departures")
		if err != nil {
			return err
		}
		if n >= least {
			break
		}
		harness.Pause(ctx, leavesPoll)
	}
	took := time.Since(began)
	harness.Pause(ctx, lobbyGrace+2*linger)
	s.note("the last departure was counted %v after the end", took.Round(100*time.Millisecond))
	return s.compareLeaves(ctx, want)
}

// compareLeaves compares the tables with what should be in them.
func (s *scenario) compareLeaves(ctx context.Context, want map[stayer]expected) error {
	const worked = "select topic, key, count(*) from departures group by topic, key"
	const queued = "select args->>'topic', args->>'key', count(*) from trunkline.river_job where kind = 'departure' group by 1, 2"
	for what, sql := range map[string]string{"departures counted": worked, "jobs queued": queued} {
		got, err := s.stayers(ctx, sql)
		if err != nil {
			return err
		}
		s.judge.leaves(s.phase, what, got, want)
	}
	return s.counts(ctx, []counted{{"stays left behind", "select count(*) from trunkline.presence_stays", 0}})
}

// stayers reads how often each key left.
func (s *scenario) stayers(ctx context.Context, sql string) (map[stayer]int, error) {
	rows, err := s.db.Query(ctx, sql)
	if err != nil {
		return nil, err
	}
	got := map[stayer]int{}
	var of stayer
	var n int
	_, err = pgx.ForEachRow(rows, []any{&of.topic, &of.key, &n}, func() error {
		got[of] = n
		return nil
	})
	return got, err
}
