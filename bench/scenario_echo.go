//go:build linux

package main

import (
	"cmp"
	"context"
	"errors"
	"slices"
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
				Every: time.Duration(float64(time.Second) / (full.rate() / 2)), InFlight: 1000, Duration: w.span(time.Second),
			}
			push, echo := &rounds{requests: ours}, &rounds{requests: bare}
			for range w.scale(5, 1) {
				if err := echo.add(func() (row, error) {
					return measureFloor("bare TCP echo at that rate", process, func() error { return bare.Run(half) })
				}); err != nil {
					return err
				}
				if err := push.add(func() (row, error) {
					return w.measure(ctx, "half of that", nodes, func() error { return ours.Run(half) })
				}); err != nil {
					return err
				}
			}
			answered, echoed := push.median(), echo.median()
			r.rows = []row{full, answered, echoed}
			r.verdicts = []verdict{{
				what: "echo at half load: p99 (median of 5 rounds) against a bare TCP echo", value: answered.p99.Seconds() / echoed.p99.Seconds(), limit: 3,
				measured: ms(answered.p99) + ", p50 " + ms(answered.p50), floor: ms(echoed.p99) + ", p50 " + ms(echoed.p50),
			}}
			return errors.Join(full.complete(), answered.complete(), echoed.complete())
		}(), process.end())
	})
	return r, err
}

// answers fills a row with what the driver counted since its Reset.
func answers(r *row, d *load.Requests) {
	r.unit, r.count, r.expected = "answers", d.Received, d.Sent
}

// rounds sums rounds of requests. Its quantiles are medians of those of the
// rounds, so that a moment in which the machine does something else does not
// count.
type rounds struct {
	requests       *load.Requests
	row            row
	p50, p99, most []time.Duration
}

// add measures one more round.
func (s *rounds) add(measure func() (row, error)) error {
	s.requests.Reset()
	one, err := measure()
	if err != nil {
		return err
	}
	answers(&one, s.requests)
	one.times(s.requests.Latency)
	s.p50, s.p99, s.most = append(s.p50, one.p50), append(s.p99, one.p99), append(s.most, one.max)
	s.row.add(one)
	s.row.label, s.row.unit = one.label, one.unit
	return nil
}

func (s *rounds) median() row {
	r := s.row
	r.p50, r.p99, r.max = median(s.p50), median(s.p99), slices.Max(s.most)
	return r
}

func median[T cmp.Ordered](of []T) T {
	sorted := slices.Sorted(slices.Values(of))
	return sorted[len(sorted)/2]
}
