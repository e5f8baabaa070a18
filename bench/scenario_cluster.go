//go:build linux

package main

import (
	"context"
	"errors"
	"time"

	"github.com/trunkline/trunkline/bench/load"
)

// nodesOfCluster is how many servers form the clusters.
const nodesOfCluster = 3

// clusterRate is the time between two broadcasts where latency is measured.
const clusterRate = 10 * time.Millisecond

// runCluster measures broadcasts that cross from one node to the others.
func runCluster(ctx context.Context, w *world) (r result, err error) {
	err = w.withCluster(ctx, nodesOfCluster, func(nodes []*node) error {
		bare, err := startBareBus(ctx, w.postgres.URL(), nodesOfCluster)
		if err != nil {
			return err
		}
		return errors.Join(func() error {
			if err := clusterLatency(ctx, w, nodes, bare, &r); err != nil {
				return err
			}
			return clusterThroughput(ctx, w, nodes, bare, &r)
		}(), bare.end())
	})
	return r, err
}

// across has one publisher on the first node, and as many members on each node as
// said.
func across(nodes []*node, topic string, members ...int) (*crowd, error) {
	l, err := load.New()
	if err != nil {
		return nil, err
	}
	publishers, err := nodes[0].open(l, 1, theTopic("to:others"))
	if err != nil {
		return nil, err
	}
	var far []*load.Conn
	for i, count := range members {
		conns, err := nodes[i].open(l, count, theTopic(topic))
		if err != nil {
			return nil, err
		}
		far = append(far, conns...)
	}
	c := newCrowd(l, far, topic, payloadSize)
	c.Add(publishers, far)
	return c, nil
}

func clusterLatency(ctx context.Context, w *world, nodes []*node, bare *bareBus, r *result) error {
	ours, err := across(nodes, "e:latency", 0, 10, 10)
	if err != nil {
		return err
	}
	defer ours.load.Shut()
	near, err := across(nodes, "e:near", 20)
	if err != nil {
		return err
	}
	defer near.load.Shut()
	run := load.RunOptions{Count: w.scale(300, 10), Every: clusterRate, InFlight: 1000}
	if err := errors.Join(bare.latency(ctx, 10, clusterRate), ours.Run(load.RunOptions{Count: 10, Every: clusterRate, InFlight: 1000})); err != nil {
		return err // a warm-up
	}
	all, local := &phases{crowd: ours}, &phases{crowd: near}
	bare.reset()
	var floor row
	for range w.scale(2, 1) {
		one, err := w.measure(ctx, "bare NOTIFY, 100 a second", nil, func() error { return bare.latency(ctx, run.Count, clusterRate) })
		if err != nil {
			return err
		}
		floor.add(one)
		floor.label = one.label
		if err := all.add(func() (row, error) {
			return w.measure(ctx, "across nodes, 100 a second", nodes, func() error { return ours.Run(run) })
		}); err != nil {
			return err
		}
		if err := local.add(func() (row, error) {
			return w.measure(ctx, "within one node, 100 a second", nodes, func() error { return near.Run(run) })
		}); err != nil {
			return err
		}
	}
	floor.count, floor.expected, floor.unit = bare.times.Count(), bare.times.Count(), "notifications"
	floor.times(bare.times)
	r.rows = append(r.rows, floor, local.row, all.row)
	r.verdicts = append(r.verdicts, verdict{
		what: "cross-node broadcast, p50 beyond that of bare NOTIFY", value: (all.row.p50 - floor.p50).Seconds() * 1000, limit: 0.5, unit: "ms",
		measured: "p50 " + ms(all.row.p50) + ", p99 " + ms(all.row.p99), floor: "p50 " + ms(floor.p50) + ", p99 " + ms(floor.p99),
	})
	return errors.Join(all.row.complete(), local.row.complete())
}

func clusterThroughput(ctx context.Context, w *world, nodes []*node, bare *bareBus, r *result) error {
	single, err := across(nodes, "e:bus", 0, 1, 1)
	if err != nil {
		return err
	}
	defer single.load.Shut()
	ten, err := across(nodes, "e:ten", 0, 10)
	if err != nil {
		return err
	}
	defer ten.load.Shut()
	const burst = 32
	bus := &phases{crowd: single}
	var ratios []float64
	var floor row
	floor.label, floor.unit = "packed bare NOTIFY to 3 listeners", "messages"
	for range w.scale(5, 1) {
		var messages int
		one, err := w.measure(ctx, floor.label, nil, func() (err error) {
			messages, err = bare.packed(ctx, w.span(time.Second))
			return err
		})
		if err != nil {
			return err
		}
		one.count, one.expected = uint64(messages), uint64(messages)
		floor.add(one)
		if err := bus.add(func() (row, error) {
			turn, err := w.measure(ctx, "one subscriber a node", nodes, func() error {
				return single.Run(load.RunOptions{InFlight: 128, Burst: burst, Duration: w.span(2 * time.Second)})
			})
			ratios = append(ratios, float64(single.Sent)/turn.seconds/one.rate())
			return turn, err
		}); err != nil {
			return err
		}
	}
	peers := &phases{crowd: ten}
	if err := peers.add(func() (row, error) {
		return w.measure(ctx, "ten subscribers on another node", nodes, func() error {
			return ten.Run(load.RunOptions{InFlight: 512, Duration: w.span(4 * time.Second)})
		})
	}); err != nil {
		return err
	}
	messages := bus.row.rate() / 2 // each is delivered twice
	r.rows = append(r.rows, floor, bus.row, peers.row)
	r.verdicts = append(r.verdicts, verdict{
		what: "cross-node broadcasts a second against packed bare NOTIFY to 3 listeners (median of the turns)", value: median(ratios), limit: 0.4, least: true,
		measured: short(messages) + "/s", floor: short(floor.rate()) + "/s",
	}, verdict{
		what: "deliveries to ten subscribers on another node", value: peers.row.rate(), limit: 150_000, least: true, unit: "a second",
	})
	return errors.Join(bus.row.complete(), peers.row.complete())
}
