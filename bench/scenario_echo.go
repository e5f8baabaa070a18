//go:build linux

package main

import (
	"context"
	"errors"
	"time"

	"github.com/trunkline/trunkline/bench/load"
)

// runEcho measures pushes that are answered, at half of the most that the
// server answers, and a bare TCP echo at the same rate.
func runEcho(ctx context.Context, w *world) (r result, err error) {
	count := w.scale(200, 10)
	event := func(*load.Conn, uint64) string { return "echo" }
	err = w.withCluster(ctx, 1, func(nodes []*node) error {
		process, err := startFloor(ctx)
		if err != nil {
			return err
		}
		return errors.Join(func() error {
			l, err := load.New()
			if err != nil {
				return err
			}
			defer l.Shut()
			conns, err := nodes[0].open(l, count, theTopic("e:echo"))
			if err != nil {
				return err
			}
			bareLoad, err := load.New()
			if err != nil {
				return err
			}
			defer bareLoad.Shut()
			bareConns, err := process.open(bareLoad, process.echo, count, "e:echo")
			if err != nil {
				return err
			}
			ours, bare := load.NewRequests(l, conns, payloadSize, event), load.NewRequests(bareLoad, bareConns, payloadSize, event)
			l.Handle, bareLoad.Handle = ours.Handle, bare.Handle

			full, err := w.measure(ctx, "saturated", nodes, func() error { return ours.Run(load.RunOptions{Duration: w.span(2 * time.Second)}) })
			if err != nil {
				return err
			}
			answers(&full, ours)
			full.times(ours.Latency)
			half := load.RunOptions{
				Every: time.Duration(float64(time.Second) / (full.rate() / 2)), InFlight: 1000, Duration: w.span(3 * time.Second),
			}
			ours.Reset()
			var push, echo row
			for range w.scale(2, 1) {
				one, err := measureFloor("bare TCP echo at that rate", process, func() error { return bare.Run(half) })
				if err != nil {
					return err
				}
				echo.add(one)
				echo.label = one.label
				if one, err = w.measure(ctx, "half of that", nodes, func() error { return ours.Run(half) }); err != nil {
					return err
				}
				push.add(one)
				push.label = one.label
			}
			answers(&push, ours)
			answers(&echo, bare)
			push.times(ours.Latency)
			echo.times(bare.Latency)
			r.rows = []row{full, push, echo}
			r.verdicts = []verdict{{
				what: "echo at half load: p99 against a bare TCP echo", value: push.p99.Seconds() / echo.p99.Seconds(), limit: 3,
				measured: ms(push.p99) + ", p50 " + ms(push.p50), floor: ms(echo.p99) + ", p50 " + ms(echo.p50),
			}}
			return errors.Join(full.complete(), push.complete(), echo.complete())
		}(), process.end())
	})
	return r, err
}

// answers fills a row with what the driver counted since its Reset.
func answers(r *row, d *load.Requests) {
	r.unit, r.count, r.expected = "answers", d.Received, d.Sent
}
