//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/trunkline/trunkline/bench/load"
)

// missed is how many messages each client of a resume storm has missed.
const missed = 100

// runResume measures clients that come back all at once and get what they have
// missed.
func runResume(ctx context.Context, w *world) (r result, err error) {
	for _, c := range []struct {
		label   string
		topics  int
		restart bool // of the server, so that its memory is empty
	}{
		{"1 topic", 1, false},
		{"500 topics", w.scale(500, 10), false},
		{"500 topics, server restarted", w.scale(500, 10), true},
	} {
		if err := w.withCluster(ctx, 1, func(nodes []*node) error {
			return resume(ctx, w, nodes[0], c.label, c.topics, c.restart, &r)
		}); err != nil {
			return r, err
		}
	}
	return r, nil
}

func resume(ctx context.Context, w *world, n *node, label string, topics int, restart bool, r *result) error {
	clients := w.scale(2000, 20)
	l, err := load.New()
	if err != nil {
		return err
	}
	defer l.Shut()
	topic := func(i int) string { return fmt.Sprint("d:", i%topics) }
	epochs := make([][]byte, clients)
	l.Handle = func(c *load.Conn, e load.Envelope) {
		if _, rest, ok := bytes.Cut(e.Payload, []byte(`"epoch":"`)); ok {
			epoch, _, _ := bytes.Cut(rest, []byte(`"`))
			epochs[c.ID] = bytes.Clone(epoch)
		}
	}
	conns, err := n.open(l, clients, topic)
	if err != nil {
		return err
	}
	l.Reset(conns)
	if err := n.awaitSockets(ctx, 0); err != nil {
		return err
	}
	// Each caller takes the topics in turn.
	const callers = 20
	if _, err := n.publish(ctx, publishing{callers: callers, topics: topics, each: topics * missed / callers}); err != nil {
		return err
	}
	if restart {
		if err := n.Stop(); err != nil {
			return err
		}
		if err := n.begin(ctx); err != nil {
			return err
		}
	}
	queries, err := n.historyQueries(ctx)
	if err != nil {
		return err
	}
	follower := load.NewFollower(l)
	l.Handle = follower.Handle
	want := clients * missed
	one, err := w.measure(ctx, label, []*node{n}, func() error {
		_, _, err := l.Open(load.OpenOptions{
			Count: clients, Path: n.path(),
			Client: func(i int) load.Client {
				return load.Client{Address: n.at(), Topic: topic(i), Params: fmt.Appendf(nil, `{"last_seen_id":0,"epoch":"%s"}`, epochs[i])}
			},
		})
		return errors.Join(err, l.Until(20*time.Second, "missed messages", func() (int, int) { return int(follower.Received), want }))
	})
	if err != nil {
		return err
	}
	if err := l.Idle(w.span(time.Second)); err != nil { // nothing comes twice
		return err
	}
	after, err := n.historyQueries(ctx)
	if err != nil {
		return err
	}
	one.unit, one.count, one.expected = "messages", follower.Received, uint64(want)
	one.note = fmt.Sprintf("%.0f history queries", after-queries)
	r.rows = append(r.rows, one)
	r.verdicts = append(r.verdicts, verdict{
		what: fmt.Sprintf("resume of %d clients by %d messages, %s", clients, missed, label), value: one.seconds, limit: 0.7, unit: "s",
		measured: one.note,
	}, verdict{
		what: "history queries of that resume, " + label, value: after - queries, limit: queriesLimit(topics), unit: "queries",
	})
	return one.complete()
}

// queriesLimit is 20 for a topic that all come back to, and 3 a topic for many.
func queriesLimit(topics int) float64 {
	if topics == 1 {
		return 20
	}
	return 3 * float64(topics)
}

// historyQueries is how many statements have read messages or topics.
func (n *node) historyQueries(ctx context.Context) (sum float64, err error) {
	for _, kind := range []string{"after", "before", "topics"} {
		one, err := n.metric(ctx, fmt.Sprintf(`trunkline_history_queries_total{kind="%s"}`, kind))
		if err != nil {
			return 0, err
		}
		sum += one
	}
	return sum, nil
}
