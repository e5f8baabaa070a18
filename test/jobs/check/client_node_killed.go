package main

import (
	"context"
	"fmt"
	"time"

	"github.com/trunkline/trunkline/test/harness"
)

const (
	movedTopic = "shop:moved"
	// movedEach is how many clients do the same.
	movedEach = 4
	// movedLimit is how long after the job's end, or after the client has joined
	// again if that is later, the answer may come.
	movedLimit   = time.Second
	movedTimeout = 15 * time.Second
	// movedSteps and movedLong are of a job that goes on until its client is back,
	// movedShort of one that does not.
	movedSteps = 5
	movedLong  = 500 * time.Millisecond
	movedShort = 160 * time.Millisecond
)

// A mover is a client whose node is killed, and who goes to the other one.
type mover struct {
	user        *user
	late        bool // back only when the job has ended
	named       bool // says by its join which keys it waits for
	acknowledge bool
	ask         *push
	rejoined    time.Time
}

func (m *mover) String() string {
	return fmt.Sprintf("late %v, names its keys %v, acknowledged %v", m.late, m.named, m.acknowledge)
}

// clientNodeKilled kills the node of clients whose jobs run on the other one.
func clientNodeKilled(ctx context.Context, s *scenario) error {
	a, err := s.start(ctx, "a", noJobs)
	if err != nil {
		return err
	}
	b, err := s.start(ctx, "b")
	if err != nil {
		return err
	}
	browser, err := startPhoenix(s.settings, a, "browser", movedTopic)
	if err != nil {
		return err
	}
	defer browser.stop()
	movers := newMovers()
	for _, m := range movers {
		c, err := s.dial(ctx, a, m.user, movedTopic)
		if err != nil {
			return err
		}
		defer c.close()
		each := movedLong
		if m.late {
			each = movedShort
		}
		m.ask, err = c.ask(ctx, movedTopic, "report", object{
			"key": m.user.name + "'s report", "steps": movedSteps, "step_ms": each.Milliseconds(), "acknowledge": m.acknowledge,
		})
		if err != nil {
			return err
		}
	}
	page := &mover{user: newUser("browser"), named: true}
	page.ask = newPush("report", "the browser's report")
	page.user.asked(page.ask)
	if err := browser.awaitJoins(ctx, 1); err != nil {
		return err
	}
	payload := object{"key": page.ask.key, "steps": movedSteps, "step_ms": movedLong.Milliseconds()}
	if err := browser.Command(object{"op": "push", "event": "report", "payload": payload}, nil); err != nil {
		return err
	}
	err = s.await(ctx, answerTimeout, "all jobs run", fmt.Sprintf(
		"select count(*) = %d from trunkline.river_job where kind = 'report' and state <> 'available' and attempted_at is not null", len(movers)+1))
	if err != nil {
		return err
	}
	if early, err := s.count(ctx, "select count(*) from trunkline.job_replies where answered_at is not null"); err != nil || early > 0 {
		return fmt.Errorf("%d jobs were done before the kill: %w", early, err)
	}
	browser.node.Store(b)
	a.Kill()
	return s.moveAll(ctx, b, browser, page, movers)
}

func newMovers() (movers []*mover) {
	for n := range 8 {
		for i := range movedEach {
			movers = append(movers, &mover{
				user: newUser(fmt.Sprintf("user%d-%d", n, i)), late: n&1 != 0, named: n&2 != 0, acknowledge: n&4 != 0,
			})
		}
	}
	return movers
}

// moveAll has the clients come back, and compares what they were told.
func (s *scenario) moveAll(ctx context.Context, b *harness.Node, browser *phoenix, page *mover, movers []*mover) error {
	var sockets []*socket
	defer func() {
		for _, c := range sockets {
			c.close()
		}
	}()
	comeBack := func(late bool) error {
		for _, m := range movers {
			if m.late != late {
				continue
			}
			c, err := dial(ctx, b.Address(), m.user, nil)
			if err != nil {
				return err
			}
			sockets = append(sockets, c)
			params := object{}
			if m.named {
				params["job_keys"] = []string{m.ask.key}
			}
			if m.rejoined, err = c.join(ctx, movedTopic, params); err != nil {
				return err
			}
		}
		return nil
	}
	if err := comeBack(false); err != nil {
		return err
	}
	err := s.await(ctx, movedTimeout, "the short jobs are done", fmt.Sprintf(
		"select count(*) >= %d from trunkline.job_replies where answered_at is not null", len(movers)/2))
	if err != nil {
		return err
	}
	if err := comeBack(true); err != nil {
		return err
	}
	var pushes []*push
	for _, m := range movers {
		pushes = append(pushes, m.ask)
	}
	awaitAll(ctx, movedTimeout, pushes)
	harness.Pause(ctx, linger)
	// Another tab, later: nothing is left for it.
	for _, m := range movers {
		c, err := s.dial(ctx, b, m.user, movedTopic)
		if err != nil {
			return err
		}
		sockets = append(sockets, c)
	}
	harness.Pause(ctx, linger)
	report, err := browser.report()
	if err != nil {
		return err
	}
	report.record(page.user)
	if len(report.Joins) > 1 {
		page.rejoined = time.UnixMilli(report.Joins[1])
	}
	return s.judgeMovers(ctx, append(movers, page))
}

func (s *scenario) judgeMovers(ctx context.Context, movers []*mover) error {
	var worst time.Duration
	for _, m := range movers {
		s.judge.strays(s.phase, m.user)
		s.judge.answers(s.phase, []*push{m.ask}, reported)
		var done time.Time
		if err := s.db.QueryRow(ctx, "select coalesce(answered_at, 'epoch') from trunkline.job_replies where key = $1", m.ask.key).Scan(&done); err != nil {
			return fmt.Errorf("the answer for %s: %w", m.ask.key, err)
		}
		if !m.late && m.rejoined.After(done) {
			s.judge.add(s.phase, kindIdle, "a client meant to be back before its job's end was not: %s", m.user.name)
		}
		due := done
		if m.rejoined.After(due) {
			due = m.rejoined
		}
		for _, a := range m.ask.all() {
			took := a.at.Sub(due)
			worst = max(worst, took)
			s.judge.late(s.phase, fmt.Sprintf("the answer for %s (%s)", m.user.name, m), took, movedLimit)
		}
	}
	s.figure("%d clients of a killed node, one of them phoenix.js: the answer at most %v after the job's end or the rejoin",
		len(movers), worst.Round(time.Millisecond))
	return s.counts(ctx, []counted{
		{"answers not marked as delivered", "select count(*) from trunkline.job_replies where delivered_at is null", 0},
		{"jobs", "select count(*) from trunkline.river_job where kind = 'report'", len(movers)},
	})
}

// reported wants the answer of a report, as an event.
func reported(_ *push, a answer) string {
	if a.event != eventJobReply || a.status != "ok" || a.field("steps") != float64(movedSteps) {
		return "want the event of a finished report"
	}
	return ""
}

// awaitJoins waits until the client has joined so many times.
func (p *phoenix) awaitJoins(ctx context.Context, joins int) error {
	ctx, cancel := context.WithTimeout(ctx, harness.PhoenixTimeout)
	defer cancel()
	for {
		r, err := p.report()
		if err != nil || len(r.Joins) >= joins {
			return err
		}
		if !harness.Pause(ctx, pollEvery) {
			return fmt.Errorf("phoenix.js: %d joins within %v", len(r.Joins), harness.PhoenixTimeout)
		}
	}
}
