package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/trunkline/trunkline/test/harness"
)

const (
	repeatsTopic  = "shop:repeats"
	repeatedKeys  = 1000
	repeatUsers   = 10
	repeatOrders  = 3 // one key in so many is an order, with its message and rows
	repeatAtOnce  = 50
	repeatTimeout = 30 * time.Second
)

// repeats pushes each of 1,000 keys three times, over two nodes: at once, one
// after the other, or the last two while the first is worked.
func repeats(ctx context.Context, s *scenario) error {
	var nodes []*harness.Node
	for _, name := range []string{"a", "b"} {
		n, err := s.start(ctx, name)
		if err != nil {
			return err
		}
		nodes = append(nodes, n)
	}
	var users []*user
	var all keyed
	g, groupCtx := errgroup.WithContext(ctx)
	began := time.Now()
	for i := range repeatUsers {
		u := newUser(fmt.Sprintf("user%d", i))
		users = append(users, u)
		g.Go(func() error { return s.repeatAll(groupCtx, u, nodes, &all) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	took := time.Since(began)
	harness.Pause(ctx, linger)

	var slowest time.Duration
	for _, pushes := range all.all {
		s.judge.answers(s.phase, pushes, repeated)
		s.judge.same(s.phase, pushes)
		for _, p := range pushes {
			for _, a := range p.all() {
				slowest = max(slowest, a.at.Sub(p.sent))
			}
		}
	}
	s.judge.strays(s.phase, users...)
	s.judge.count(s.phase, "keys pushed", len(all.all), repeatedKeys)
	s.note("%d keys three times each in %v, the slowest answer after %v",
		len(all.all), took.Round(100*time.Millisecond), slowest.Round(10*time.Millisecond))
	orders := (repeatedKeys + repeatOrders - 1) / repeatOrders
	return s.counts(ctx, append(orderCounts(orders),
		counted{"jobs of all kinds", "select count(*) from trunkline.river_job where kind in ('charge', 'echo')", repeatedKeys}))
}

// keyed are the repeats of each key.
type keyed struct {
	mu  sync.Mutex
	all map[string][]*push
}

func (k *keyed) add(key string, p *push) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.all == nil {
		k.all = map[string][]*push{}
	}
	k.all[key] = append(k.all[key], p)
}

// repeatAll pushes a user's share of the keys.
func (s *scenario) repeatAll(ctx context.Context, u *user, nodes []*harness.Node, all *keyed) error {
	var sockets []*socket
	for _, n := range nodes {
		c, err := s.dial(ctx, n, u, repeatsTopic)
		if err != nil {
			return err
		}
		defer c.close()
		sockets = append(sockets, c)
	}
	var g errgroup.Group
	g.SetLimit(repeatAtOnce)
	for i := range repeatedKeys {
		if fmt.Sprintf("user%d", i%repeatUsers) != u.name {
			continue
		}
		g.Go(func() error { return repeatOne(ctx, i, sockets, all) })
	}
	return g.Wait()
}

// repeatOne pushes one key three times.
func repeatOne(ctx context.Context, number int, sockets []*socket, all *keyed) error {
	ctx, cancel := context.WithTimeout(ctx, repeatTimeout)
	defer cancel()
	key := fmt.Sprintf("key-%d", number)
	event, payload := "echo", object{"key": key, "text": key, "ms": number % 30}
	if number%repeatOrders == 0 {
		event, payload = "order", object{"key": key, "number": key, "amount": 1, "before_ms": number % 30}
	}
	var waiting []*push
	for repeat := range 3 {
		p, err := sockets[(number+repeat)%len(sockets)].ask(ctx, repeatsTopic, event, payload)
		if err != nil {
			return err
		}
		all.add(key, p)
		waiting = append(waiting, p)
		switch number / repeatUsers % 3 {
		case 0: // at once
		case 1:
			_, _ = p.await(ctx) // the judge finds what is missing
		case 2:
			harness.Pause(ctx, 10*time.Millisecond)
		}
	}
	awaitAll(ctx, repeatTimeout, waiting)
	return nil
}

// repeated wants the answer of the key's job.
func repeated(p *push, a answer) string {
	if p.event == "order" {
		return charged(p, a)
	}
	return echoed(p.key)(p, a)
}
