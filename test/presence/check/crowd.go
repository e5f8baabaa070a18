package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/trunkline/trunkline/test/harness"
)

// A crowd is all members.
type crowd struct {
	cluster *cluster
	roll    *roll
	members []*member

	wanted   atomic.Int64 // memberships that members want
	joined   atomic.Int64 // those that the server has confirmed
	joins    atomic.Int64 // confirmations so far
	lastJoin atomic.Int64 // time of the latest, in nanoseconds
	lastLost atomic.Int64 // time of the latest end of a connection

	mu         sync.Mutex
	complaints []string
	lost       []string        // connections that ended since the phase began, with why
	late       map[string]bool // places of those who were away for too long

	tooLong time.Duration // 0: no time is

	running sync.WaitGroup
}

// newCrowd makes the users, of whom the first are there twice, but starts
// nobody. Each wants to be in its small topic.
func newCrowd(c *cluster, s settings) *crowd {
	cr := &crowd{cluster: c, roll: newRoll()}
	for i := range s.members + s.tabs {
		user := i % s.members
		m := &member{
			number: user, key: fmt.Sprintf("user-%04d", user), home: i % s.nodes,
			crowd: cr, topics: map[string]*membership{smallOf(user): {}},
		}
		m.node = m.home
		cr.wanted.Add(1)
		cr.members = append(cr.members, m)
	}
	return cr
}

// connect starts the members, at this pace.
func (cr *crowd) connect(ctx context.Context, each time.Duration) {
	cr.paced(ctx, each, func(m *member) { cr.running.Go(func() { m.run(ctx) }) })
}

// paced does something with every member, one after another, as planned.
func (cr *crowd) paced(ctx context.Context, each time.Duration, do func(*member)) {
	began := time.Now()
	for i, m := range cr.members {
		if ahead := time.Until(began.Add(time.Duration(i) * each)); ahead > 0 && !harness.Pause(ctx, ahead) {
			return
		}
		do(m)
	}
}

// awaitJoined waits until all have joined what they want. It returns when the
// last of them did.
func (cr *crowd) awaitJoined(ctx context.Context, limit time.Duration) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for cr.joined.Load() != cr.wanted.Load() {
		if !harness.Pause(ctx, pollEvery) {
			return time.Time{}, fmt.Errorf("%d of %d joins not confirmed within %v", cr.wanted.Load()-cr.joined.Load(), cr.wanted.Load(), limit)
		}
	}
	return time.Unix(0, cr.lastJoin.Load()), nil
}

// balance moves members from the nodes that have more than their share to those
// that have less, and returns when they are there.
func (cr *crowd) balance(ctx context.Context, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	share := len(cr.members) / len(cr.cluster.nodes)
	var surplus []*member
	moving := map[*member]int{}
	for i := range cr.cluster.nodes {
		if there := cr.at(i); len(there) > share {
			surplus = append(surplus, there[share:]...)
		}
	}
	for i := range cr.cluster.nodes {
		for room := share - len(cr.at(i)); room > 0 && len(surplus) > 0; room-- {
			moving[surplus[0]] = i
			surplus = surplus[1:]
		}
	}
	for m, to := range moving {
		m.move(to)
	}
	for m, to := range moving {
		for {
			if at, ok := m.where(); ok && at == to {
				break
			}
			if !harness.Pause(ctx, pollEvery) {
				return fmt.Errorf("%s has not come to %s within %v", m.key, cr.cluster.nodes[to].Name, limit)
			}
		}
	}
	return nil
}

// awaitLeft waits until nobody is on a node any more. It returns when the last
// connection ended.
func (cr *crowd) awaitLeft(ctx context.Context, node int, limit time.Duration) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for len(cr.at(node)) > 0 {
		if !harness.Pause(ctx, pollEvery) {
			return time.Time{}, fmt.Errorf("%d members are still on %s after %v", len(cr.at(node)), cr.cluster.nodes[node].Name, limit)
		}
	}
	return time.Unix(0, cr.lastLost.Load()), nil
}

func (cr *crowd) onJoin() {
	cr.joined.Add(1)
	cr.joins.Add(1)
	cr.lastJoin.Store(time.Now().UnixNano())
}

func (cr *crowd) complain(format string, arguments ...any) {
	cr.mu.Lock()
	defer cr.mu.Unlock()
	cr.complaints = append(cr.complaints, fmt.Sprintf(format, arguments...))
}

// returned notes who was away for too long.
func (cr *crowd) returned(topic, key string, away time.Duration) {
	if cr.tooLong == 0 || away <= cr.tooLong {
		return
	}
	cr.mu.Lock()
	defer cr.mu.Unlock()
	if cr.late == nil {
		cr.late = map[string]bool{}
	}
	cr.late[place(topic, key)] = true
}

// takeLate returns the places of those who were away for too long.
func (cr *crowd) takeLate() map[string]bool {
	cr.mu.Lock()
	defer cr.mu.Unlock()
	late := cr.late
	cr.late = nil
	return late
}

// takeComplaints returns those since the last call.
func (cr *crowd) takeComplaints() []string {
	cr.mu.Lock()
	defer cr.mu.Unlock()
	complaints := cr.complaints
	cr.complaints = nil
	return complaints
}

func (cr *crowd) disconnected(m *member, err error) {
	cr.lastLost.Store(time.Now().UnixNano())
	cr.mu.Lock()
	defer cr.mu.Unlock()
	cr.lost = append(cr.lost, fmt.Sprintf("%s: %v", m.key, err))
}

// takeLost returns the connections that ended since the last call.
func (cr *crowd) takeLost() []string {
	cr.mu.Lock()
	defer cr.mu.Unlock()
	lost := cr.lost
	cr.lost = nil
	return lost
}

// anyNode is where a member goes that has lost its connection.
func (cr *crowd) anyNode() int { return rand.IntN(len(cr.cluster.nodes)) }

// at are the members on a node.
func (cr *crowd) at(node int) []*member {
	var there []*member
	for _, m := range cr.members {
		if where, ok := m.where(); ok && where == node {
			there = append(there, m)
		}
	}
	return there
}

// churn has members come, go and change for a while. Those who have gone are
// back at the end.
func (cr *crowd) churn(ctx context.Context, d time.Duration) (changes int) {
	end := time.Now().Add(d)
	var gone []func()
	for time.Now().Before(end) && harness.Pause(ctx, churnEvery) {
		m := cr.members[rand.IntN(len(cr.members))]
		topic := smallOf(m.number)
		if rand.IntN(5) == 0 {
			topic = bigTopic
		}
		switch rand.IntN(3) {
		case 0:
			m.update(ctx, topic)
		case 1:
			m.leave(ctx, topic)
			gone = append(gone, func() { m.enter(ctx, topic) })
		case 2:
			if len(gone) > 0 {
				gone[0]()
				gone = gone[1:]
			}
		}
		changes++
	}
	for _, back := range gone {
		back()
	}
	return changes + len(gone)
}
