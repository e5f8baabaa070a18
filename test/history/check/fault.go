package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/trunkline/trunkline/internal/devdb"
	"github.com/trunkline/trunkline/test/harness"
)

// A fault breaks something, keeps it broken for a while and mends it, even when
// ctx ends meanwhile. It returns what it did.
type fault struct {
	name string
	do   func(ctx context.Context) (string, error)
}

// saboteur breaks one thing after another.
type saboteur struct {
	cluster     *cluster
	subscribers []*subscriber
	journal     *harness.Journal
	watch       func(name string, mended time.Time) // told of the end of each

	done map[string]int // by name
	// holes tells how the next black hole ends: both ways take turns.
	holes int
}

func (s *saboteur) faults() []fault {
	return []fault{
		{"kill -9 of a node", s.killNode},
		{"end of the listening backends", s.cutListeners},
		{"fast restart of Postgres", func(ctx context.Context) (string, error) { return s.restartPostgres(ctx, devdb.Fast) }},
		{"immediate restart of Postgres", func(ctx context.Context) (string, error) { return s.restartPostgres(ctx, devdb.Immediate) }},
		{"black hole before Postgres", s.blackHole},
		{"pause of clients", s.pauseClients},
	}
}

// run breaks something each so often until stop ends. Each kind has its turn
// before any has the next, in an order that differs.
func (s *saboteur) run(ctx, stop context.Context, every time.Duration) error {
	s.done = map[string]int{}
	var deck []fault
	next := time.Now().Add(every / 2)
	for harness.Pause(stop, time.Until(next)) {
		next = time.Now().Add(every)
		if len(deck) == 0 {
			deck = s.faults()
			rand.Shuffle(len(deck), func(i, j int) { deck[i], deck[j] = deck[j], deck[i] })
		}
		f := deck[0]
		deck = deck[1:]
		what, err := f.do(ctx)
		if err != nil {
			return fmt.Errorf("fault %s: %w", f.name, err)
		}
		s.done[f.name]++
		s.journal.Printf("fault: %s: %s", f.name, what)
		s.watch(f.name, time.Now())
	}
	return nil
}

// total is how many faults there were.
func (s *saboteur) total() (n int) {
	for _, times := range s.done {
		n += times
	}
	return n
}

func (s *saboteur) killNode(ctx context.Context) (string, error) {
	n, down := s.cluster.anyNode(), between(time.Second, 3*time.Second)
	n.Kill()
	harness.Pause(ctx, down)
	if err := n.Start(ctx); err != nil {
		return "", err
	}
	return fmt.Sprintf("%s was down for %v", n.Name, down.Round(time.Millisecond)), nil
}

func (s *saboteur) cutListeners(ctx context.Context) (string, error) {
	cut, err := s.cluster.database.cutListeners(ctx)
	if err == nil && cut == 0 {
		err = fmt.Errorf("there are none")
	}
	return fmt.Sprintf("%d backends", cut), err
}

func (s *saboteur) restartPostgres(ctx context.Context, mode devdb.StopMode) (string, error) {
	began, down := time.Now(), between(500*time.Millisecond, 6*time.Second)
	if err := s.cluster.database.StopServer(ctx, mode); err != nil {
		return "", err
	}
	harness.Pause(ctx, down)
	if err := s.cluster.database.StartServer(ctx); err != nil {
		return "", err
	}
	return fmt.Sprintf("down for %v", time.Since(began).Round(time.Millisecond)), nil
}

// blackHole cuts a node, or those who publish by SQL or command, off from Postgres without
// closing anything.
func (s *saboteur) blackHole(ctx context.Context) (string, error) {
	victim, name := s.cluster.application, "the publishers by SQL and by command"
	if number := rand.IntN(len(s.cluster.nodes) + 1); number < len(s.cluster.nodes) {
		n := s.cluster.nodes[number]
		victim, name = n.link, n.Name
	}
	held := between(3*time.Second, 8*time.Second)
	victim.Freeze()
	harness.Pause(ctx, held)
	after := "and delivered late what was under way"
	if s.holes++; s.holes%2 == 0 {
		after = "and old connections stayed dead"
		victim.Renew()
	} else {
		victim.Thaw()
	}
	return fmt.Sprintf("%s, for %v %s", name, held.Round(time.Millisecond), after), nil
}

// pauseClients stops a fifth of the subscribers; half of these read on
// afterwards, the others find their connections cut.
func (s *saboteur) pauseClients(ctx context.Context) (string, error) {
	held := between(4*time.Second, 8*time.Second)
	var paused []*subscriber
	for _, i := range rand.Perm(len(s.subscribers))[:(len(s.subscribers)+4)/5] {
		paused = append(paused, s.subscribers[i])
		s.subscribers[i].gate.close()
	}
	harness.Pause(ctx, held)
	for i, subscriber := range paused {
		if i%2 == 0 {
			subscriber.cut()
		}
		subscriber.gate.open()
	}
	return fmt.Sprintf("%d subscribers did not read for %v", len(paused), held.Round(time.Millisecond)), nil
}
