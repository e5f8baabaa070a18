package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/trunkline/trunkline/internal/devdb"
	"github.com/trunkline/trunkline/test/harness"
)

// The promises.
const (
	changeLimit = 3 * time.Second  // from the last change until everybody knows
	killLimit   = 10 * time.Second // until a killed node's members are gone
	stopLimit   = 2 * time.Second  // a stopped one's
	healLimit   = 2 * time.Second  // from the end of a fault until everybody agrees
	// renewLimit is for a network that has forgotten the connections: an attempt
	// to connect that was under way is given up after 2 s.
	renewLimit = healLimit + 2*time.Second
	// gracePeriod is that of the topics patient:*.
	gracePeriod = 20 * time.Second
)

const (
	churnFor   = 5 * time.Second
	churnEvery = 10 * time.Millisecond
	outage     = 5 * time.Second // of Postgres
	// joinLimit is how long the members may take to be back: their own waits
	// and what a busy machine adds.
	joinLimit = time.Minute
)

// nobody is no node.
const nobody = -1

// A phase is one thing that is done and verified.
type phase struct {
	name string
	once bool // at the beginning only
	do   func(*check, context.Context) error
}

func phases() []phase {
	return []phase{
		// Before the big topic: 5,000 who are told of 1,700 that leave and come
		// back, four times, keep a small machine from all else.
		{"rolling", true, (*check).rolling},
		{"storm", true, (*check).storm},
		{"churn", false, (*check).churn},
		{"kill", false, (*check).kill},
		{"stop", false, (*check).stop},
		{"hole", false, (*check).hole},
		{"restart", false, (*check).restart},
	}
}

func phaseNames() (names []string) {
	for _, p := range phases() {
		names = append(names, p.name)
	}
	return names
}

// storm: all members join one topic.
func (k *check) storm(ctx context.Context) error {
	k.crowd.paced(ctx, k.settings.storm/time.Duration(len(k.crowd.members)), func(m *member) { m.enter(ctx, bigTopic) })
	joined, err := k.crowd.awaitJoined(ctx, joinLimit)
	if err != nil {
		return err
	}
	k.note("%d joins in %v", len(k.crowd.members), joined.Sub(k.began).Round(time.Millisecond))
	return k.settle(ctx, k.scene, "knowing of the last join", joined, changeLimit)
}

// churn: members come, go and change.
func (k *check) churn(ctx context.Context) error {
	k.note("%d changes", k.crowd.churn(ctx, churnFor))
	return k.back(ctx)
}

// back waits until all who have gone are back and everybody knows.
func (k *check) back(ctx context.Context) error {
	ended := time.Now()
	joined, err := k.crowd.awaitJoined(ctx, joinLimit)
	if err != nil {
		return err
	}
	if joined.Before(ended) {
		joined = ended
	}
	return k.settle(ctx, k.scene, "knowing of the last change", joined, changeLimit)
}

// kill: a node ends as by kill -9. Half of its members come back elsewhere at
// once, the others when they have gone everywhere.
func (k *check) kill(ctx context.Context) error {
	victim := k.victim()
	ids := k.crowd.roll.intention().idsOf(victim)
	letGo := hold(k.crowd.at(victim))
	began := time.Now()
	k.cluster.nodes[victim].kill()
	everybody := func(int) bool { return true }
	err := k.gone(ctx, fmt.Sprintf("the disappearance of %d metas of %s", len(ids), k.cluster.nodes[victim].Name), ids, everybody, began, killLimit)
	letGo()
	if err != nil {
		return err
	}
	k.mayLose = true
	if err := k.back(ctx); err != nil {
		return err
	}
	return k.reopen(ctx, victim)
}

// hold keeps half of the members away, once their connections end, until letGo is
// called.
func hold(members []*member) (letGo func()) {
	members = members[:len(members)/2]
	for _, m := range members {
		m.held.Store(true)
	}
	return func() {
		for _, m := range members {
			m.held.Store(false)
		}
	}
}

// stop: a node ends in order. It closes connections in batches, so that not all
// clients come to the others at once: what counts is the time from the end of the
// last one. Its members come back elsewhere as in kill.
func (k *check) stop(ctx context.Context) error {
	victim := k.victim()
	n := k.cluster.nodes[victim]
	ids := k.crowd.roll.intention().idsOf(victim)
	stopped := make(chan error, 1)
	letGo := hold(k.crowd.at(victim))
	began := time.Now()
	go func() { stopped <- n.stop() }()
	others := func(home int) bool { return home != victim }
	lost, err := k.crowd.awaitLeft(ctx, victim, joinLimit)
	if err != nil {
		return errors.Join(err, <-stopped)
	}
	k.note("%s closed the connections of its members within %v of SIGTERM", n.Name, lost.Sub(began).Round(time.Millisecond))
	err = k.gone(ctx, fmt.Sprintf("the disappearance of %d metas of %s", len(ids), n.Name), ids, others, lost, stopLimit)
	letGo()
	if err := <-stopped; err != nil {
		k.judge.add(k.phase, kindComplaint, "%v", err)
	}
	if err != nil {
		return err
	}
	k.mayLose = true
	if err := k.back(ctx); err != nil {
		return err
	}
	return k.reopen(ctx, victim)
}

// victim is each node in turn.
func (k *check) victim() int {
	k.victims++
	return k.victims % len(k.cluster.nodes)
}

// reopen starts the node again; its observers go back to it, and its share of the
// members.
func (k *check) reopen(ctx context.Context, node int) error {
	if err := k.cluster.nodes[node].start(ctx); err != nil {
		return err
	}
	if err := k.audience.home(ctx, node); err != nil {
		return err
	}
	if err := k.settle(ctx, k.scene, "agreement after the return of "+k.cluster.nodes[node].Name, time.Now(), changeLimit); err != nil {
		return err
	}
	if err := k.crowd.balance(ctx, joinLimit); err != nil {
		return err
	}
	return k.back(ctx)
}

// hole: the network between a node and Postgres swallows everything for a while,
// and members of all nodes come, go and change meanwhile.
func (k *check) hole(ctx context.Context) error {
	victim := k.victim()
	n, held := k.cluster.nodes[victim], k.settings.hole()
	k.hidden = victim
	began := time.Now()
	n.link.Freeze()
	defer n.link.Thaw()
	changes := k.crowd.churn(ctx, churnFor)
	ids := k.crowd.roll.intention().idsOf(victim)
	others := func(home int) bool { return home != victim }
	err := k.gone(ctx, fmt.Sprintf("the disappearance of %d metas of %s", len(ids), n.Name), ids, others, began, killLimit)
	if err != nil {
		return err
	}
	if _, err := k.crowd.awaitJoined(ctx, joinLimit); err != nil {
		return err
	}
	harness.Pause(ctx, time.Until(began.Add(held)))
	how, limit := "what was under way was delivered late", healLimit
	if k.holes++; k.holes%2 == 0 {
		how, limit = "old connections stayed dead", renewLimit
		n.link.Renew()
	} else {
		n.link.Thaw()
	}
	healed := time.Now()
	k.note("%s was cut off for %v, with %d changes; %s", n.Name, healed.Sub(began).Round(time.Millisecond), changes, how)
	return k.settle(ctx, k.scene, "agreement after the hole", healed, limit)
}

// restart: Postgres is away for a while, with changes as in hole.
func (k *check) restart(ctx context.Context) error {
	began := time.Now()
	if err := k.cluster.postgres.StopServer(ctx, devdb.Fast); err != nil {
		return err
	}
	changes := k.crowd.churn(ctx, outage)
	if _, err := k.crowd.awaitJoined(ctx, joinLimit); err != nil {
		return err
	}
	if err := k.cluster.postgres.StartServer(ctx); err != nil {
		return err
	}
	healed := time.Now()
	k.note("Postgres was away for %v, with %d changes", healed.Sub(began).Round(time.Millisecond), changes)
	return k.settle(ctx, k.scene, "agreement after the restart of Postgres", healed, healLimit)
}
