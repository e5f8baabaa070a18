//go:build linux

package main

import (
	"context"
	"fmt"
	"time"

	"github.com/trunkline/trunkline/bench/load"
	"github.com/trunkline/trunkline/bench/stats"
)

// runJoin measures clients that come all at once: upgrade, token, join, reply.
func runJoin(ctx context.Context, w *world) (r result, err error) {
	count := w.scale(5000, 40)
	err = w.withClients(ctx, func(nodes []*node, l *load.Load) error {
		n := nodes[0]
		times := new(stats.Histogram)
		var sum row
		for round := range 3 {
			var conns []*load.Conn
			phase := func() error {
				var took *stats.Histogram
				conns, took, err = l.Open(load.OpenOptions{
					Count: count, Path: n.path(),
					Client: func(i int) load.Client { return load.Client{Address: n.at(), Topic: fmt.Sprint("e:join-", i)} },
				})
				if round > 0 {
					times.Merge(took)
				}
				return err
			}
			phaseRow, err := w.measure(ctx, "joins", nodes, phase)
			if err != nil {
				return err
			}
			if round > 0 { // the first one warms up
				phaseRow.count, phaseRow.expected = uint64(len(conns)), uint64(count)
				sum.add(phaseRow)
			}
			l.Reset(conns)
			if err := n.awaitSockets(ctx, 0); err != nil {
				return err
			}
		}
		sum.label, sum.unit = "joins", "joins"
		sum.times(times)
		r.rows = []row{sum}
		r.verdicts = []verdict{{what: "join: upgrade, token, join, reply", value: sum.cpu(), limit: 150, unit: "µs of server CPU"}}
		return sum.complete()
	})
	return r, err
}

// awaitSockets waits until the server has so many connections.
func (n *node) awaitSockets(ctx context.Context, want float64) error {
	for end := time.Now().Add(20 * time.Second); ; {
		got, err := n.metric(ctx, "trunkline_sockets")
		if err != nil || got == want {
			return err
		}
		if time.Now().After(end) {
			return fmt.Errorf("%s still has %v sockets, expected %v", n.Name, got, want)
		}
		time.Sleep(5 * time.Millisecond)
	}
}
