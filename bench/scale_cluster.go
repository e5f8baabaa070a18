//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/trunkline/trunkline/bench/load"
)

// scaleNodes measures what nodes cost each other: idle, and by broadcasts that
// cross, with one member on each.
func scaleNodes(ctx context.Context, w *world, size int) (costs []cost, err error) {
	err = w.withCluster(ctx, size, func(nodes []*node) error {
		members := make([]int, size)
		for i := range members {
			members[i] = 1
		}
		c, err := across(nodes, "e:nodes", members...)
		if err != nil {
			return err
		}
		defer c.load.Shut()
		if err := c.Run(load.RunOptions{Count: 10, Every: clusterRate, InFlight: 1000}); err != nil { // a warm-up
			return err
		}
		before, err := notifications(ctx, nodes)
		if err != nil {
			return err
		}
		idle, err := w.measure(ctx, "idle", nodes, func() error { return c.load.Idle(w.span(10 * time.Second)) })
		if err != nil {
			return err
		}
		after, err := notifications(ctx, nodes)
		if err != nil {
			return err
		}
		run := &phases{crowd: c}
		if err := run.add(func() (row, error) {
			return w.measure(ctx, "100 a second", nodes, func() error {
				return c.Run(load.RunOptions{Count: w.scale(400, 5), Every: clusterRate, InFlight: 1000})
			})
		}); err != nil {
			return err
		}
		single := float64(c.Sent)
		slow := run.row
		full := &phases{crowd: c}
		if err := full.add(func() (row, error) {
			return w.measure(ctx, "saturated", nodes, func() error {
				return c.Run(load.RunOptions{InFlight: 128, Burst: 32, Duration: w.span(3 * time.Second)})
			})
		}); err != nil {
			return err
		}
		used, err := connections(ctx, w.database)
		if err != nil {
			return err
		}
		packed := float64(c.Sent)
		costs = []cost{
			{"idle, notifications a second", (after - before) / idle.seconds},
			{"idle, CPU ms a second of all nodes", idle.serverCPU.Seconds() * 1000 / idle.seconds},
			{"idle, CPU ms a second of Postgres", idle.dataCPU.Seconds() * 1000 / idle.seconds},
			{"a broadcast, 100 a second, CPU µs of all nodes", (slow.serverCPU.Seconds() - idle.serverCPU.Seconds()/idle.seconds*slow.seconds) * 1e6 / single},
			{"the same, CPU µs of Postgres", (slow.dataCPU.Seconds() - idle.dataCPU.Seconds()/idle.seconds*slow.seconds) * 1e6 / single},
			{"the same, p50 ms", slow.p50.Seconds() * 1000},
			{"broadcasts a second, saturated", packed / full.row.seconds},
			{"the same, CPU µs each of all nodes", full.row.serverCPU.Seconds() * 1e6 / packed},
			{"the same, CPU µs each of Postgres", full.row.dataCPU.Seconds() * 1e6 / packed},
			{"connections to Postgres", used},
		}
		return errors.Join(slow.complete(), full.row.complete())
	})
	return costs, err
}

// notifications is how many the nodes have sent.
func notifications(ctx context.Context, nodes []*node) (sum float64, err error) {
	for _, n := range nodes {
		sent, err := n.metric(ctx, "trunkline_bus_sent_payloads_total")
		if err != nil {
			return 0, err
		}
		sum += sent
	}
	return sum, nil
}

// connections is how many the servers have open.
func connections(ctx context.Context, database string) (count float64, err error) {
	conn, err := pgx.Connect(ctx, database)
	if err != nil {
		return 0, err
	}
	err = conn.QueryRow(ctx, "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()").Scan(&count)
	return count, errors.Join(err, conn.Close(ctx))
}

// scaleDurableTopics publishes to many topics.
func scaleDurableTopics(ctx context.Context, w *world, size int) (costs []cost, err error) {
	err = w.withCluster(ctx, 1, func(nodes []*node) error {
		n := nodes[0]
		run := publishing{callers: publishers, topics: size, duration: w.span(3 * time.Second)}
		// It makes all topics.
		if _, err := n.publish(ctx, publishing{callers: 20, topics: size, each: (size + 19) / 20}); err != nil {
			return err
		}
		if _, err := n.publish(ctx, run); err != nil {
			return err
		}
		var done published
		r, err := w.measure(ctx, "publish", nodes, func() (err error) {
			done, err = n.publish(ctx, run)
			return err
		})
		count := float64(done.Messages)
		costs = []cost{
			{"messages a second, 512 publishers", count / done.Seconds},
			{"a message, CPU µs of the node", r.serverCPU.Seconds() * 1e6 / count},
			{"a message, CPU µs of Postgres", r.dataCPU.Seconds() * 1e6 / count},
		}
		return err
	})
	return costs, err
}

// scaleHistory has a topic with many messages, whose newest ones clients read
// from the database, and which is published to.
func scaleHistory(ctx context.Context, w *world, size int) (costs []cost, err error) {
	clients, read := w.scale(1000, 10), w.scale(missed, 5)
	err = w.withCluster(ctx, 1, func(nodes []*node) error {
		n := nodes[0]
		if _, err := n.publish(ctx, publishing{callers: 200, topics: 1, each: size / 200}); err != nil {
			return err
		}
		stored, head, err := stored(ctx, w.database)
		if err != nil {
			return err
		}
		if head != size {
			return fmt.Errorf("%d messages are stored, expected %d", head, size)
		}
		if err := errors.Join(n.Stop(), n.begin(ctx)); err != nil { // its memory is empty then
			return err
		}
		l, err := load.New()
		if err != nil {
			return err
		}
		defer l.Shut()
		follower := load.NewFollower(l)
		l.Handle = func(c *load.Conn, e load.Envelope) {
			if follower.Last(c, c.Topic) == 0 {
				follower.Seen(c, c.Topic, uint64(head-read))
			}
			follower.Handle(c, e)
		}
		resumed, err := w.measure(ctx, "resume", nodes, func() error {
			_, _, err := l.Open(load.OpenOptions{
				Count: clients, Path: n.path(),
				Client: func(int) load.Client {
					return load.Client{Address: n.at(), Topic: "d:0", Params: fmt.Appendf(nil, `{"last_seen_id":%d}`, head-read)}
				},
			})
			return errors.Join(err, l.Until(20*time.Second, "missed messages", func() (int, int) { return int(follower.Received), clients * read }))
		})
		if err != nil {
			return err
		}
		l.Reset(l.Conns())
		run := publishing{callers: publishers, topics: 1, duration: w.span(2 * time.Second)}
		var done published
		publish, err := w.measure(ctx, "publish", nodes, func() (err error) {
			done, err = n.publish(ctx, run)
			return err
		})
		count := float64(done.Messages)
		costs = []cost{
			{"on disk, MiB", stored / mib},
			{fmt.Sprintf("%d clients read the newest %d after a restart, CPU ms of the node", clients, read), resumed.serverCPU.Seconds() * 1000},
			{"the same, CPU ms of Postgres", resumed.dataCPU.Seconds() * 1000},
			{"the same, s", resumed.seconds},
			{"publishing a message, CPU µs of the node", publish.serverCPU.Seconds() * 1e6 / count},
			{"the same, CPU µs of Postgres", publish.dataCPU.Seconds() * 1e6 / count},
		}
		return err
	})
	return costs, err
}

// stored is the size of all messages, indexes included, and of the topic d:0 its
// head.
func stored(ctx context.Context, database string) (bytes float64, head int, err error) {
	conn, err := pgx.Connect(ctx, database)
	if err != nil {
		return 0, 0, err
	}
	err = conn.QueryRow(ctx, `select (select sum(pg_total_relation_size(relid)) from pg_partition_tree('trunkline.messages'))::float8,
		head from trunkline.topics where name = 'd:0'`).Scan(&bytes, &head)
	return bytes, head, errors.Join(err, conn.Close(ctx))
}

// scalePresence has members join one topic, all of whom are told of all.
func scalePresence(ctx context.Context, w *world, size int) (costs []cost, err error) {
	err = w.withCluster(ctx, nodesOfCluster, func(nodes []*node) error {
		r, lists, converged, err := joinPresence(ctx, w, nodes, size)
		if err != nil {
			return err
		}
		var between float64
		for _, n := range nodes {
			sent, err := n.metric(ctx, "trunkline_presence_sent_bytes_total")
			if err != nil {
				return err
			}
			between += sent
		}
		costs = []cost{
			{"all join, CPU s of all nodes", r.serverCPU.Seconds()},
			{"the same in Postgres, CPU s", r.dataCPU.Seconds()},
			{"between nodes, KiB sent", between / 1024},
			{"to clients, MiB", float64(lists.bytes) / mib},
			{"to clients, frames", float64(lists.states + lists.diffs)},
			{"until all know all, s", r.seconds},
			{"the same from the last join on, s", converged.Seconds()},
		}
		return nil
	})
	return costs, err
}
