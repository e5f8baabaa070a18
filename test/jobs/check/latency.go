package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/trunkline/trunkline/test/harness"
)

const (
	latencyEach    = 10 * time.Millisecond // 100 a second
	latencyWindow  = time.Second
	latencyRounds  = 3
	latencyClients = 10
	latencyTopic   = "live:latency"
	latencyText    = "hi"
	// latencyLimit is how many times a database round trip and River's own time
	// from insert to start the median may take.
	latencyLimit  = 3
	answerTimeout = 10 * time.Second
)

// latency measures what it takes from a push on a node that runs no jobs to the
// answer of a job that does nothing, on the other. What it is compared with
// takes turns with it.
func latency(ctx context.Context, s *scenario) (err error) {
	a, err := s.start(ctx, "a", noJobs, defaultPool)
	if err != nil {
		return err
	}
	if _, err := s.start(ctx, "b", defaultPool); err != nil {
		return err
	}
	var clients []*socket // each push of one waits for those before it to be queued
	for i := range latencyClients {
		c, err := s.dial(ctx, a, newUser(fmt.Sprintf("user%d", i)), latencyTopic)
		if err != nil {
			return err
		}
		defer c.close()
		clients = append(clients, c)
	}
	floor, err := startFloor(ctx, s.cluster)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, floor.stop()) }()

	l := &latencies{scenario: s, clients: clients, floor: floor, rounds: latencyRounds}
	if s.settings.long() {
		l.rounds *= 4
	}
	if err := l.warmUp(ctx); err != nil {
		return fmt.Errorf("warming up: %w", err)
	}
	if err := s.untilWithin("the median from push to reply", latencyLimit, func() (float64, error) { return l.measure(ctx) }); err != nil {
		return err
	}
	s.judge.answers(s.phase, l.pushes, echoed(latencyText))
	for _, c := range clients {
		s.judge.strays(s.phase, c.user)
	}
	return nil
}

// latencies are measurements of pushes, and of what they are compared with.
type latencies struct {
	*scenario
	clients []*socket
	floor   *floor
	rounds  int
	replies samples

	mu     sync.Mutex
	pushes []*push
}

func (l *latencies) warmUp(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	if err := l.push(ctx); err != nil {
		return err
	}
	return errors.Join(l.floor.insertToStart(ctx), l.floor.roundTrip(ctx), l.floor.commit(ctx))
}

// push pushes for the next client, and waits for the answer. One that is missing
// is the judge's matter.
func (l *latencies) push(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	l.mu.Lock()
	p, err := l.clients[len(l.pushes)%len(l.clients)].ask(ctx, latencyTopic, "echo", object{"text": latencyText})
	l.pushes = append(l.pushes, p)
	l.mu.Unlock()
	if err != nil {
		return err
	}
	if a, err := p.await(ctx); err == nil {
		l.replies.add(a.at.Sub(p.sent))
	}
	return nil
}

// measure returns how many times the median of pushes takes what that of their
// floor does, which takes turns with them.
func (l *latencies) measure(ctx context.Context) (ratio float64, err error) {
	l.replies.take()
	l.floor.forget()
	for range l.rounds {
		err := paced(ctx, latencyEach, latencyWindow, l.push)
		err = errors.Join(err, paced(ctx, latencyEach, latencyWindow, l.floor.insertToStart))
		// One after the other: they share a connection.
		for began := time.Now(); time.Since(began) < latencyWindow && err == nil; harness.Pause(ctx, latencyEach) {
			err = errors.Join(l.floor.roundTrip(ctx), l.floor.commit(ctx))
		}
		if err != nil {
			return 0, err
		}
	}
	medianOf := func(what string, of *samples) time.Duration {
		all := of.take()
		l.judge.enough(l.phase, "measurements of "+what, len(all), l.rounds*10)
		l.figure("%s: p50 %v, p99 %v (%d)", what, round(median(all)), round(percentile(all, 99)), len(all))
		return median(all)
	}
	took := medianOf("push on one node to reply of a no-op job on the other", &l.replies)
	floor := medianOf("River's insert to start", &l.floor.starts) + medianOf("database round trip", &l.floor.trips)
	medianOf("single-row commit", &l.floor.commits)
	return took.Seconds() / floor.Seconds(), nil
}

// echoed wants the text back.
func echoed(text string) func(*push, answer) string {
	return func(_ *push, a answer) string {
		if a.status != "ok" || a.field("text") != text {
			return fmt.Sprintf("want ok and the text %q", text)
		}
		return ""
	}
}
