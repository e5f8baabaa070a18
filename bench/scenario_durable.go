//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/trunkline/trunkline/bench/load"
	"github.com/trunkline/trunkline/bench/stats"
)

// publishers is how many wait for their messages to be stored at any time.
const publishers = 512

// runDurable measures publishing on durable topics: from Go, from clients and
// from SQL.
func runDurable(ctx context.Context, w *world) (r result, err error) {
	err = w.withCluster(ctx, 1, func(nodes []*node) error {
		bare, err := makeBareTable(ctx, w.database)
		if err != nil {
			return err
		}
		return errors.Join(func() error {
			if err := durableGo(ctx, w, nodes, bare, &r); err != nil {
				return err
			}
			if err := durableLatency(ctx, w, nodes, bare, &r); err != nil {
				return err
			}
			for _, topics := range []int{1, w.scale(1000, 20)} {
				if err := durableClients(ctx, w, nodes, topics, &r); err != nil {
					return err
				}
			}
			return durableSQL(ctx, w, nodes, bare.conn, &r)
		}(), bare.conn.Close(context.WithoutCancel(ctx)))
	})
	if err != nil {
		return r, err
	}
	// A node that is not alone tells the others of what it stores.
	err = w.withCluster(ctx, 2, func(nodes []*node) error {
		bare, err := makeBareTable(ctx, w.database)
		if err != nil {
			return err
		}
		return errors.Join(durableGo(ctx, w, nodes, bare, &r), bare.conn.Close(context.WithoutCancel(ctx)))
	})
	return r, err
}

// published is what the server's own publishers did.
type published struct {
	Messages  uint64
	Seconds   float64
	Latencies []time.Duration
}

// publishing is a load inside the server.
type publishing struct {
	callers, topics, each int
	every, duration       time.Duration
}

// publish has the server publish through its Go API.
func (n *node) publish(ctx context.Context, p publishing) (done published, err error) {
	err = n.ask(ctx, http.MethodPost, "/publish", url.Values{
		"callers": {strconv.Itoa(p.callers)}, "topics": {strconv.Itoa(p.topics)}, "each": {strconv.Itoa(p.each)},
		"every": {p.every.String()}, "duration": {p.duration.String()}, "size": {strconv.Itoa(payloadSize)},
	}, &done)
	return done, err
}

// durableGo compares the Go API of the first node with bare inserts.
func durableGo(ctx context.Context, w *world, nodes []*node, bare *bareTable, r *result) error {
	for _, topics := range []int{1, w.scale(1000, 20)} {
		if err := durableTurns(ctx, w, nodes, bare, topics, r); err != nil {
			return err
		}
	}
	return nil
}

// durableTurns does so in turns. The targets are those of a node that is alone.
func durableTurns(ctx context.Context, w *world, nodes []*node, bare *bareTable, topics int, r *result) error {
	label := fmt.Sprintf("Go, topics: %d", topics)
	if len(nodes) > 1 {
		label += fmt.Sprintf(", nodes: %d", len(nodes))
	}
	span := w.span(800 * time.Millisecond)
	if _, err := nodes[0].publish(ctx, publishing{callers: publishers, topics: topics, duration: span}); err != nil {
		return err // a warm-up: it makes the topics
	}
	if _, err := bare.conn.Exec(ctx, "analyze trunkline.topics"); err != nil {
		return err
	}
	stored, err := heads(ctx, bare.conn)
	if err != nil {
		return err
	}
	var ours, floor row
	var plainRows uint64
	times := new(stats.Histogram)
	var ratios []float64
	for range w.scale(6, 1) {
		plain, err := w.measure(ctx, "bare multi-row insert beside it", nil, func() error {
			rows, err := bare.publish(ctx, publishers, span)
			plainRows = rows
			return err
		})
		if err != nil {
			return err
		}
		plain.count, plain.expected = plainRows, plainRows
		floor.add(plain)
		var done published
		one, err := w.measure(ctx, label, nodes, func() error {
			done, err = nodes[0].publish(ctx, publishing{callers: publishers, topics: topics, duration: span})
			return err
		})
		if err != nil {
			return err
		}
		one.count, one.seconds = done.Messages, done.Seconds
		ratios = append(ratios, one.rate()/plain.rate())
		for _, d := range done.Latencies {
			times.Add(d)
		}
		ours.add(one)
	}
	now, err := heads(ctx, bare.conn)
	if err != nil {
		return err
	}
	ours.label, ours.unit, ours.expected = label, "messages", now-stored
	floor.label, floor.unit = "bare multi-row insert beside it", "rows"
	ours.times(times)
	if len(nodes) > 1 {
		ours.note = fmt.Sprintf("%.2f of the bare inserts", median(ratios))
	}
	r.rows = append(r.rows, floor, ours)
	if len(nodes) > 1 {
		return ours.complete()
	}
	limit := 0.3
	if topics == 1 {
		limit = 0.6
	}
	r.verdicts = append(r.verdicts, verdict{
		what: fmt.Sprintf("durable publish from Go, topics: %d, a second against bare multi-row inserts (median of the turns)", topics), value: median(ratios), limit: limit, least: true,
		measured: short(ours.rate()) + "/s", floor: short(floor.rate()) + "/s",
	})
	return ours.complete()
}

// heads is how many messages are stored in all.
func heads(ctx context.Context, conn *pgx.Conn) (sum uint64, err error) {
	err = conn.QueryRow(ctx, "select coalesce(sum(head), 0)::bigint from trunkline.topics").Scan(&sum)
	return sum, err
}

// durableLatency compares one publisher with commits of single rows.
func durableLatency(ctx context.Context, w *world, nodes []*node, bare *bareTable, r *result) error {
	l, err := load.New()
	if err != nil {
		return err
	}
	defer l.Shut()
	conns, err := nodes[0].open(l, 1, theTopic("to:0"))
	if err != nil {
		return err
	}
	client := load.NewRequests(l, conns, payloadSize, func(*load.Conn, uint64) string { return "d:0" })
	l.Handle = client.Handle
	var ours, push, floor row
	ours.label, push.label, floor.label = "Go, 100 a second", "client, 100 a second", "commit of a single row, 100 a second"
	single, fromGo := new(stats.Histogram), new(stats.Histogram)
	each := w.scale(150, 10)
	for range w.scale(3, 1) {
		if err := bare.latency(ctx, single, each, clusterRate); err != nil {
			return err
		}
		var done published
		one, err := w.measure(ctx, ours.label, nodes, func() (err error) {
			done, err = nodes[0].publish(ctx, publishing{callers: 1, topics: 1, each: each, every: clusterRate})
			return err
		})
		if err != nil {
			return err
		}
		one.count, one.expected = done.Messages, uint64(each)
		ours.add(one)
		for _, d := range done.Latencies {
			fromGo.Add(d)
		}
		if one, err = w.measure(ctx, push.label, nodes, func() error {
			return client.Run(load.RunOptions{Count: each, Every: clusterRate, InFlight: 1000})
		}); err != nil {
			return err
		}
		push.add(one)
	}
	answers(&push, client)
	ours.unit = "messages"
	ours.times(fromGo)
	push.times(client.Latency)
	floor.count, floor.expected, floor.unit = single.Count(), single.Count(), "rows"
	floor.seconds = float64(floor.count) * clusterRate.Seconds()
	floor.times(single)
	r.rows = append(r.rows, floor, ours, push)
	r.verdicts = append(r.verdicts, verdict{
		what: "durable publish at 100 a second: p50 against a single-row commit", value: ours.p50.Seconds() / floor.p50.Seconds(), limit: 2.5,
		measured: "Go " + ms(ours.p50) + ", a client's push " + ms(push.p50), floor: ms(floor.p50),
	})
	return errors.Join(ours.complete(), push.complete())
}

// durableClients measures pushes that publish, with subscribers that must get
// every message.
func durableClients(ctx context.Context, w *world, nodes []*node, topics int, r *result) error {
	const topicsOfSubscriber = 100
	n := nodes[0]
	l, err := load.New()
	if err != nil {
		return err
	}
	defer l.Shut()
	follower := load.NewFollower(l)
	topic := func(i int) string { return fmt.Sprint("d:", i) }
	subscribers, err := n.open(l, (topics+topicsOfSubscriber-1)/topicsOfSubscriber, func(i int) string { return topic(i * topicsOfSubscriber) })
	if err != nil {
		return err
	}
	for i, c := range subscribers {
		for t := i*topicsOfSubscriber + 1; t < min((i+1)*topicsOfSubscriber, topics); t++ {
			l.Join(c, topic(t), nil)
		}
	}
	if err := l.Until(20*time.Second, "subscribers", func() (done, total int) {
		for _, c := range subscribers {
			if c.Joined() {
				done++
			}
		}
		return done, len(subscribers)
	}); err != nil {
		return err
	}
	conn, err := pgx.Connect(ctx, w.database)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }() // it was only read from
	rows, err := conn.Query(ctx, "select name, head from trunkline.topics")
	if err != nil {
		return err
	}
	var name string
	var head uint64
	if _, err := pgx.ForEachRow(rows, []any{&name, &head}, func() error {
		for _, c := range subscribers {
			follower.Seen(c, name, head)
		}
		return nil
	}); err != nil {
		return err
	}
	conns, err := n.open(l, publishers, theTopic("to:0"))
	if err != nil {
		return err
	}
	names := make([]string, topics)
	for i := range names {
		names[i] = topic(i)
	}
	pushes := load.NewRequests(l, conns, payloadSize, func(c *load.Conn, n uint64) string { return names[(c.ID*7919+int(n))%topics] })
	l.Handle = func(c *load.Conn, e load.Envelope) {
		if string(e.Event) == "phx_reply" {
			pushes.Handle(c, e)
		} else {
			follower.Handle(c, e)
		}
	}
	one, err := w.measure(ctx, fmt.Sprintf("clients, topics: %d", topics), nodes, func() error {
		if err := pushes.Run(load.RunOptions{Duration: w.span(3 * time.Second)}); err != nil {
			return err
		}
		return l.Until(20*time.Second, "deliveries", func() (int, int) { return int(follower.Received), int(pushes.Received) })
	})
	if err != nil {
		return err
	}
	one.unit, one.count, one.expected = "messages, each delivered", follower.Received, pushes.Sent
	one.times(pushes.Latency)
	r.rows = append(r.rows, one)
	return one.complete()
}

// durableSQL compares an application's transactions with and without publish.
func durableSQL(ctx context.Context, w *world, nodes []*node, watcher *pgx.Conn, r *result) error {
	const connections = 16
	each, topics := w.scale(150, 5), w.scale(1000, 20)
	if _, err := watcher.Exec(ctx, "create table app (id bigint generated always as identity primary key, body text)"); err != nil {
		return err
	}
	conns := make([]*pgx.Conn, connections)
	for i := range conns {
		var err error
		if conns[i], err = pgx.Connect(ctx, w.database); err != nil {
			return err
		}
		defer func() { _ = conns[i].Close(context.WithoutCancel(ctx)) }() // nothing is pending
	}
	before, err := heads(ctx, watcher)
	if err != nil {
		return err
	}
	turn := func(publish bool) (row, error) {
		label := "SQL transactions"
		if publish {
			label = "SQL transactions that publish"
		}
		errs := make([]error, connections)
		one, err := w.measure(ctx, label, nodes, func() error {
			var working sync.WaitGroup
			for c, conn := range conns {
				working.Go(func() {
					for i := 0; i < each && errs[c] == nil; i++ {
						errs[c] = transaction(ctx, conn, publish, fmt.Sprint("d:", (c*each+i*7919)%topics))
					}
				})
			}
			working.Wait()
			return errors.Join(errs...)
		})
		one.unit, one.count, one.expected = "transactions", uint64(connections*each), uint64(connections*each)
		return one, err
	}
	var plain, publishing row
	var ratios []float64
	for range w.scale(6, 1) {
		one, err := turn(false)
		if err != nil {
			return err
		}
		plain.add(one)
		two, err := turn(true)
		if err != nil {
			return err
		}
		publishing.add(two)
		ratios = append(ratios, two.rate()/one.rate())
		plain.label, plain.unit, publishing.label, publishing.unit = one.label, one.unit, two.label, two.unit
	}
	// What was published must get its ids, all of it and no more.
	want := before + publishing.count
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		now, err := heads(ctx, watcher)
		if err != nil {
			return err
		}
		if now == want {
			break
		}
		if now > want || time.Now().After(end) {
			return fmt.Errorf("%d messages are stored, expected %d", now, want)
		}
	}
	r.rows = append(r.rows, plain, publishing)
	r.verdicts = append(r.verdicts, verdict{
		what: "application's transactions a second with publish() against without (median of the turns)", value: median(ratios), limit: 0.4, least: true,
		measured: short(publishing.rate()) + "/s", floor: short(plain.rate()) + "/s",
	})
	return nil
}

func transaction(ctx context.Context, conn *pgx.Conn, publish bool, topic string) error {
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "insert into app (body) values ('hello')"); err != nil || !publish {
			return err
		}
		_, err := tx.Exec(ctx, "select trunkline.publish($1, 'm', $2::text::jsonb)", topic, string(load.NumberedPayload(payloadSize)))
		return err
	})
}
