//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/trunkline/trunkline/bench/load"
)

// roundsOfBroadcast is how many broadcasts one size of a topic takes.
const roundsOfBroadcast = 100

// settled is the server's memory after garbage collections: a pool's content
// outlives one.
func (n *node) settled(ctx context.Context) (memory, error) {
	for range 3 {
		if err := n.collect(ctx); err != nil {
			return memory{}, err
		}
	}
	return n.memory(ctx)
}

const mib = 1 << 20

// scaleConnections measures what idle connections take, and what they cost a
// topic of ten that is not theirs.
func scaleConnections(ctx context.Context, w *world, size int) (costs []cost, err error) {
	err = w.withClients(ctx, func(nodes []*node, l *load.Load) error {
		n := nodes[0]
		before, err := n.settled(ctx)
		if err != nil {
			return err
		}
		joins, err := w.measure(ctx, "joins", nodes, func() error {
			_, err := n.open(l, size, func(i int) string { return fmt.Sprint("e:idle-", i) })
			return err
		})
		if err != nil {
			return err
		}
		full, err := n.memory(ctx)
		if err != nil {
			return err
		}
		after, err := n.settled(ctx)
		if err != nil {
			return err
		}
		room, err := w.broadcasts(ctx, nodes, 10, 2000)
		costs = []cost{
			{"resident, MiB", (full.resident - before.resident) / mib},
			{"the same after a garbage collection, MiB", (after.resident - before.resident) / mib},
			{"joining all, CPU s", joins.serverCPU.Seconds()},
			{"a broadcast to 10 others beside them, CPU µs", room},
		}
		return err
	})
	return costs, err
}

// broadcasts is the servers' CPU of one broadcast to so many members of the
// first node, one at a time, in microseconds.
func (w *world) broadcasts(ctx context.Context, nodes []*node, members, count int) (float64, error) {
	l, err := load.New()
	if err != nil {
		return 0, err
	}
	defer l.Shut()
	conns, err := nodes[0].open(l, members, theTopic("e:all"))
	if err != nil {
		return 0, err
	}
	c := newCrowd(l, conns, "b", payloadSize)
	c.Add(conns[:1], conns)
	if err := c.Run(load.RunOptions{Count: 5}); err != nil { // a warm-up
		return 0, err
	}
	c.Reset()
	r, err := w.measure(ctx, "broadcasts", nodes, func() error { return c.Run(load.RunOptions{Count: w.scale(count, 5)}) })
	if err != nil {
		return 0, err
	}
	c.deliveries(&r)
	return r.serverCPU.Seconds() * 1e6 / float64(c.Sent), r.complete()
}

// scaleMembers measures broadcasts to all members, one after the other.
func scaleMembers(ctx context.Context, w *world, size int) (costs []cost, err error) {
	err = w.withCluster(ctx, 1, func(nodes []*node) error {
		each, err := w.broadcasts(ctx, nodes, size, roundsOfBroadcast)
		costs = []cost{
			{"a broadcast, CPU ms", each / 1000},
			{"the same for each delivery, CPU µs", each / float64(size)},
		}
		return err
	})
	return costs, err
}

// scaleTopics has few connections join many topics.
func scaleTopics(ctx context.Context, w *world, size int) (costs []cost, err error) {
	clients := min(500, size)
	err = w.withClients(ctx, func(nodes []*node, l *load.Load) error {
		n := nodes[0]
		before, err := n.settled(ctx)
		if err != nil {
			return err
		}
		joins, err := w.measure(ctx, "joins", nodes, func() error {
			return n.joinMany(l, clients, size/clients, func(c, t int) (string, []byte) { return fmt.Sprintf("e:topic-%d-%d", c, t), nil })
		})
		if err != nil {
			return err
		}
		after, err := n.settled(ctx)
		if err != nil {
			return err
		}
		room, err := w.broadcasts(ctx, nodes, 10, 1000)
		costs = []cost{
			{"heap, MiB", (after.heap - before.heap) / mib},
			{"goroutines", after.goroutines - before.goroutines},
			{"joining all, CPU s", joins.serverCPU.Seconds()},
			{"a broadcast to a topic of 10 beside them, CPU µs", room},
		}
		return err
	})
	return costs, err
}

// joinMany opens connections that join several topics each.
func (n *node) joinMany(l *load.Load, clients, each int, topic func(client, i int) (name string, params []byte)) error {
	conns, _, err := l.Open(load.OpenOptions{
		Count: clients, Path: n.path(),
		Client: func(i int) load.Client {
			name, params := topic(i, 0)
			return load.Client{Address: n.at(), Topic: name, Params: params}
		},
	})
	if err != nil {
		return err
	}
	for i := 1; i < each; i++ {
		for _, c := range conns {
			name, params := topic(c.ID, i)
			l.Join(c, name, params)
		}
		if err := l.Until(30*time.Second, "joined connections", func() (done, total int) {
			for _, c := range conns {
				if c.Joined() {
					done++
				}
			}
			return done, clients
		}); err != nil {
			return err
		}
	}
	return nil
}

// scalePresenceRooms measures what presences of one node cost another, which has
// no clients.
func scalePresenceRooms(ctx context.Context, w *world, size int) (costs []cost, err error) {
	const room = 10
	clients := min(500, size/2)
	err = w.withCluster(ctx, 2, func(nodes []*node) error {
		near, far := nodes[0], nodes[1]
		l, err := load.New()
		if err != nil {
			return err
		}
		defer l.Shut()
		var bytes int
		l.Handle = func(_ *load.Conn, e load.Envelope) { bytes += len(e.Payload) }
		before, err := far.settled(ctx)
		if err != nil {
			return err
		}
		r, err := w.measure(ctx, "joins", nodes, func() error {
			err := near.joinMany(l, clients, size/clients, func(c, t int) (string, []byte) {
				return fmt.Sprintf("p:room-%d-%d", c/room, t), fmt.Appendf(nil, `{"key":"%0*d"}`, keyDigits, c)
			})
			return errors.Join(err, far.awaitPresences(ctx, l, float64(size/clients*clients)))
		})
		if err != nil {
			return err
		}
		after, err := far.settled(ctx)
		if err != nil {
			return err
		}
		sent, err := near.metric(ctx, "trunkline_presence_sent_bytes_total")
		if err != nil {
			return err
		}
		idle, err := w.measure(ctx, "idle", nodes, func() error { return l.Idle(w.span(4 * time.Second)) })
		costs = []cost{
			{"heap of the node without clients, MiB", (after.heap - before.heap) / mib},
			{"joining and tracking all, CPU s of both nodes", r.serverCPU.Seconds()},
			{"the same in Postgres (bus, view), CPU s", r.dataCPU.Seconds()},
			{"to the other node, MiB", sent / mib},
			{"to the clients, MiB", float64(bytes) / mib},
			{"afterwards, CPU ms a second of both nodes", idle.serverCPU.Seconds() * 1000 / idle.seconds},
		}
		return err
	})
	return costs, err
}

// awaitPresences waits until the node knows so many.
func (n *node) awaitPresences(ctx context.Context, l *load.Load, want float64) error {
	for end := time.Now().Add(30 * time.Second); ; {
		got, err := n.metric(ctx, "trunkline_presence_entries")
		if err != nil || got == want {
			return err
		}
		if time.Now().After(end) {
			return fmt.Errorf("%s knows %v presences, expected %v", n.Name, got, want)
		}
		if err := l.Idle(20 * time.Millisecond); err != nil {
			return err
		}
	}
}
