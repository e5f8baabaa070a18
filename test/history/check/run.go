package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/trunkline/trunkline/test/harness"
	"github.com/trunkline/trunkline/test/history/verify"
)

// quiet is how long nothing may come any more once everything is there.
const quiet = 2 * time.Second

// A publisher publishes until stop ends, then finishes what it has begun, until
// ctx ends.
type publisher interface {
	run(ctx, stop context.Context)
}

// A check is one run of the checker.
type check struct {
	settings
	journal     *harness.Journal
	cluster     *cluster
	record      *recorder
	counts      *counts
	publishers  []publisher
	subscribers []*subscriber
	recoveries  *recoveries
	saboteur    *saboteur
}

// runCheck returns what was broken; an error when it could not run.
func runCheck(ctx context.Context, s settings, out io.Writer) (found []verify.Violation, err error) {
	k := &check{settings: s, journal: harness.NewJournal(out), record: newRecorder(), counts: &counts{}}
	k.journal.Printf("building the server and starting Postgres and %d nodes; logs in %s", s.nodes, s.logs)
	k.cluster, err = startCluster(ctx, s, out)
	defer func() { err = errors.Join(err, k.cluster.remove()) }()
	if err != nil {
		return nil, err
	}
	k.prepare()
	k.journal.Printf("%d publishers and %d subscribers on %d topics, %d messages a second, for %v",
		len(k.publishers), len(k.subscribers), s.topics, s.rate, s.duration)
	if err := k.work(ctx); err != nil {
		return nil, err
	}
	return k.compare(ctx)
}

// prepare makes publishers and subscribers, but starts nothing.
func (k *check) prepare() {
	topics := k.topicNames()
	for number := range k.settings.publishers {
		k.publishers = append(k.publishers, k.newPublisher(number, topics))
	}
	for number, followed := range spread(topics, k.settings.subscribers) {
		k.subscribers = append(k.subscribers, newSubscriber(number, k.cluster, followed, k.counts))
	}
	k.recoveries = &recoveries{
		cluster: k.cluster, subscribers: k.subscribers, record: k.record,
		kinds: []kind{byClient, bySQL, byCommand}, journal: k.journal,
	}
	k.saboteur = &saboteur{cluster: k.cluster, subscribers: k.subscribers, journal: k.journal}
}

// newPublisher makes one in 25 publish by command, two in 5 by SQL, the others
// as clients.
func (k *check) newPublisher(number int, topics []string) publisher {
	every := time.Duration(k.settings.publishers) * time.Second / time.Duration(k.rate)
	switch {
	case number%25 == 0:
		return &commandPublisher{
			name: fmt.Sprintf("command%d", number), program: k.cluster.program, url: k.cluster.applicationURL,
			topics: topics, record: k.record, counts: k.counts,
		}
	case number%5 < 2:
		return &sqlPublisher{
			name: fmt.Sprintf("sql%d", number), url: k.cluster.applicationURL,
			topics: topics, every: every, record: k.record, counts: k.counts,
		}
	}
	p := &clientPublisher{name: fmt.Sprintf("client%d", number), cluster: k.cluster, every: every, record: k.record, counts: k.counts}
	for len(p.topics) < min(clientTopics, len(topics)) {
		if topic := pick(topics); !slices.Contains(p.topics, topic) {
			p.topics = append(p.topics, topic)
		}
	}
	return p
}

// spread gives each subscriber two topics or more, so that each topic has at
// least one subscriber and the first has a tenth of them all.
func spread(topics []string, subscribers int) [][]string {
	followed := make([][]string, subscribers)
	follow := func(subscriber int, topic string) {
		if !slices.Contains(followed[subscriber], topic) {
			followed[subscriber] = append(followed[subscriber], topic)
		}
	}
	for i, topic := range topics {
		follow(i%subscribers, topic)
	}
	for i := range followed {
		follow(i, topics[i%len(topics)])
		follow(i, topics[(i*31+17)%len(topics)])
		if i%10 == 0 {
			follow(i, topics[0])
		}
	}
	return followed
}

// work publishes, subscribes and breaks things, and waits until everything has
// arrived, or until it should have.
func (k *check) work(ctx context.Context) error {
	subscribing, stopSubscribers := context.WithCancel(ctx)
	defer stopSubscribers()
	stop, stopped := context.WithTimeout(ctx, k.duration)
	defer stopped()
	publishing, stopPublishers := context.WithCancel(ctx)
	defer stopPublishers()
	k.saboteur.watch = func(name string, mended time.Time) { k.recoveries.watch(subscribing, name, mended) }

	var subscribers, publishers sync.WaitGroup
	for _, s := range k.subscribers {
		subscribers.Go(func() { s.run(subscribing) })
	}
	for _, p := range k.publishers {
		publishers.Go(func() { p.run(publishing, stop) })
	}
	reporting := make(chan struct{})
	go func() {
		defer close(reporting)
		k.report(stop)
	}()
	err := k.saboteur.run(ctx, stop, k.faultEvery)
	stopped() // also when the saboteur failed
	<-reporting

	if err == nil && ctx.Err() == nil {
		k.journal.Printf("the last fault is mended; waiting until everything has arrived, %v at most", k.settle)
		err = k.settled(ctx, &publishers, stopPublishers)
	}
	stopPublishers()
	publishers.Wait()
	stopSubscribers()
	subscribers.Wait()
	k.recoveries.working.Wait()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// settled returns when publishers have finished and subscribers have everything,
// or at the deadline; what is missing then, compare finds.
func (k *check) settled(ctx context.Context, publishers *sync.WaitGroup, giveUp func()) error {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, k.settle)
	defer cancel()
	defer context.AfterFunc(ctx, giveUp)()
	publishers.Wait()
	for {
		heads, waiting, err := k.cluster.database.heads(ctx)
		if err == nil && waiting == 0 && !slices.ContainsFunc(k.subscribers, func(s *subscriber) bool { return s.behind(heads) }) {
			k.journal.Printf("everything had arrived after %v", time.Since(began).Round(time.Millisecond))
			harness.Pause(ctx, quiet)
			return nil
		}
		if !harness.Pause(ctx, watchEvery) {
			k.journal.Printf("not everything has arrived: %d transactions' messages wait in the outbox, %v", waiting, err)
			return nil
		}
	}
}

// report prints how far it is, ten seconds at a time.
func (k *check) report(ctx context.Context) {
	for harness.Pause(ctx, 10*time.Second) {
		k.journal.Printf("%d messages acknowledged, %d delivered",
			k.record.amount("", verify.Committed), k.counts.delivered.Load())
	}
}

// compare checks the records against each other.
func (k *check) compare(ctx context.Context) ([]verify.Violation, error) {
	counted := k.cluster.scrape(ctx)
	// First: what a node still does while it stops belongs to the run.
	defects, err := k.cluster.stopNodes()
	if err != nil {
		return nil, err
	}
	k.journal.Printf("the nodes have ended; comparing")
	run := verify.Run{Publishes: k.record.publishes}
	if err := k.cluster.database.read(ctx, &run); err != nil {
		return nil, fmt.Errorf("read what is stored: %w", err)
	}
	for _, s := range k.subscribers {
		for _, stream := range s.streams {
			run.Streams = append(run.Streams, stream.record)
		}
	}
	found := verify.Check(run)
	for _, complaint := range append(k.record.complaints, defects...) {
		found = append(found, verify.Violation{Kind: verify.KindComplaint, Detail: complaint})
	}
	found = append(found, verify.CheckWork(k.amounts())...)
	k.summary(run, counted, found)
	return found, nil
}
