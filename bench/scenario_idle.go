//go:build linux

package main

import (
	"context"
	"fmt"
	"time"

	"github.com/trunkline/trunkline/bench/load"
	"github.com/trunkline/trunkline/bench/stats"
)

// runIdle measures the memory of connections that have joined a channel each
// and are silent, at three counts.
func runIdle(ctx context.Context, w *world) (r result, err error) {
	// A process may open 20,000 files here.
	steps := []int{w.scale(5000, 20), w.scale(10_000, 40), w.scale(19_000, 60)}
	err = w.withClients(ctx, func(nodes []*node, l *load.Load) error {
		n := nodes[0]
		if err := n.collect(ctx); err != nil {
			return err
		}
		before, err := n.memory(ctx)
		if err != nil {
			return err
		}
		var each []float64
		var last memory
		for _, count := range steps {
			have := len(l.Conns())
			if _, err := n.open(l, count-have, func(i int) string { return fmt.Sprint("e:idle-", have+i) }); err != nil {
				return err
			}
			if err := l.Idle(w.span(2 * time.Second)); err != nil {
				return err
			}
			if last, err = n.memory(ctx); err != nil {
				return err
			}
			kib := (last.resident - before.resident) / 1024 / float64(count)
			each = append(each, kib)
			r.rows = append(r.rows, row{label: fmt.Sprintf("%d connections", count), kib: kib})
		}
		count := float64(steps[len(steps)-1])
		goroutines := (last.goroutines - before.goroutines) / count
		if err := n.collect(ctx); err != nil {
			return err
		}
		after, err := n.memory(ctx)
		if err != nil {
			return err
		}
		r.rows = append(r.rows, row{
			label: "the same after a garbage collection", kib: (after.resident - before.resident) / 1024 / count,
			note: fmt.Sprintf("heap %s KiB, stacks %s KiB", short((after.heap-before.heap)/1024/count), short((after.stacks-before.stacks)/1024/count)),
		})
		r.verdicts = []verdict{
			{what: "resident memory per idle joined connection", value: each[len(each)-1], limit: 11, unit: "KiB", measured: fmt.Sprintf("%d connections", steps[len(steps)-1])},
			{what: "goroutines per idle connection", value: goroutines, limit: 1.01, unit: "goroutines"},
			{what: "memory of a connection at 19,000 against 5,000", value: each[len(each)-1] / each[0], limit: 1.1},
		}
		return nil
	})
	return r, err
}

// memory is what a server has.
type memory struct{ resident, heap, stacks, goroutines float64 }

func (n *node) memory(ctx context.Context) (m memory, err error) {
	rss, err := stats.RSS(n.pid)
	if err != nil {
		return m, err
	}
	figures, err := n.runtime(ctx)
	return memory{float64(rss), float64(figures.Heap), float64(figures.Stacks), float64(figures.Goroutines)}, err
}
