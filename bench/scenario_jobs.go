//go:build linux

package main

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/trunkline/trunkline/bench/load"
	"github.com/trunkline/trunkline/bench/stats"
)

const (
	// jobWorkers is how many jobs the node that works them runs at once.
	jobWorkers = 50
	// jobClients push at a rate; jobPushers as fast as they are answered.
	jobClients, jobPushers = 10, 200
)

// runJobs measures pushes on a node that runs no jobs, each answered by a job
// that does nothing, on another node.
func runJobs(ctx context.Context, w *world) (r result, err error) {
	servers := [][]string{{"--jobs", "0"}, {"--jobs", strconv.Itoa(jobWorkers)}}
	err = w.withServers(ctx, servers, func(nodes []*node) error {
		bare, err := startBareJobs(ctx, w.database)
		if err != nil {
			return err
		}
		return errors.Join(func() error {
			if err := jobLatency(ctx, w, nodes, bare, &r); err != nil {
				return err
			}
			return jobThroughput(ctx, w, nodes, &r)
		}(), bare.stop())
	})
	return r, err
}

// pushers open connections whose pushes jobs answer, in any order.
func pushers(l *load.Load, n *node, count int) (*load.Requests, error) {
	conns, err := n.open(l, count, func(i int) string { return "j:" + strconv.Itoa(i) })
	if err != nil {
		return nil, err
	}
	requests := load.NewRequests(l, conns, payloadSize, func(*load.Conn, uint64) string { return "job" })
	requests.AnyOrder = true
	l.Handle = requests.Handle
	return requests, nil
}

func jobLatency(ctx context.Context, w *world, nodes []*node, bare *bareJobs, r *result) error {
	l, err := load.New()
	if err != nil {
		return err
	}
	defer l.Shut()
	requests, err := pushers(l, nodes[0], jobClients)
	if err != nil {
		return err
	}
	run := load.RunOptions{Count: w.scale(150, 10), Every: clusterRate, InFlight: 1000}
	if err := errors.Join(requests.Run(load.RunOptions{Count: 20, Every: clusterRate, InFlight: 1000}), bare.pace(ctx, 20, clusterRate)); err != nil {
		return err // a warm-up
	}
	bare.reset()
	requests.Reset()
	var ours row
	for range w.scale(4, 1) {
		if err := bare.pace(ctx, run.Count, clusterRate); err != nil {
			return err
		}
		one, err := w.measure(ctx, "push to answer, 100 a second", nodes, func() error { return requests.Run(run) })
		if err != nil {
			return err
		}
		ours.add(one)
		ours.label = one.label
	}
	answers(&ours, requests)
	ours.times(requests.Latency)
	floor, trips := bare.rows()
	r.rows = append(r.rows, trips, floor, ours)
	least := floor.p50 + trips.p50
	r.verdicts = append(r.verdicts, verdict{
		what: "push answered by a job on another node, 100 a second: p50 against River's insert to start and a database round trip", value: ours.p50.Seconds() / least.Seconds(), limit: 3,
		measured: "p50 " + ms(ours.p50) + ", p99 " + ms(ours.p99), floor: "p50 " + ms(least) + ", p99 of insert to start " + ms(floor.p99),
	})
	return errors.Join(ours.complete(), floor.complete())
}

func jobThroughput(ctx context.Context, w *world, nodes []*node, r *result) error {
	l, err := load.New()
	if err != nil {
		return err
	}
	defer l.Shut()
	requests, err := pushers(l, nodes[0], w.scale(jobPushers, jobClients))
	if err != nil {
		return err
	}
	full, err := w.measure(ctx, "saturated", nodes, func() error {
		return requests.Run(load.RunOptions{Duration: w.span(5 * time.Second)})
	})
	if err != nil {
		return err
	}
	answers(&full, requests)
	full.times(requests.Latency)
	r.rows = append(r.rows, full)
	return full.complete()
}

// floorRow is of a floor that was measured at a rate.
func floorRow(label, unit string, h *stats.Histogram, expected int, every time.Duration) row {
	r := row{label: label, unit: unit, count: h.Count(), expected: uint64(expected), seconds: float64(expected) * every.Seconds()}
	r.times(h)
	return r
}
