//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/trunkline/trunkline/bench/load"
)

// runStalled measures what readers that have stopped do to the others.
func runStalled(ctx context.Context, w *world) (r result, err error) {
	const oneIn, size = 20, 2048
	count := w.scale(5000, 40)
	run := load.RunOptions{Count: w.scale(80, 5), Pause: gap}
	err = w.withClients(ctx, func(nodes []*node, l *load.Load) error {
		n := nodes[0]
		readers, err := n.open(l, count-count/oneIn, theTopic("e:all"))
		if err != nil {
			return err
		}
		lazy, _, err := l.Open(load.OpenOptions{
			Count: count / oneIn, Path: n.path(), ReceiveBuffer: 4096,
			Client: func(int) load.Client { return load.Client{Address: n.at(), Topic: "e:all"} },
		})
		if err != nil {
			return err
		}
		ours := newCrowd(l, readers, "b", size)
		ours.Add(readers[:1], append(readers, lazy...))
		if err := ours.Run(load.RunOptions{Count: 5, Pause: gap}); err != nil {
			return err
		}
		without, with := &phases{crowd: ours}, &phases{crowd: ours}
		phase := func(label string) func() (row, error) {
			return func() (row, error) {
				return w.measure(ctx, label, nodes, func() error { return ours.Run(run) })
			}
		}
		if err := without.add(phase("all read")); err != nil {
			return err
		}
		for _, c := range lazy {
			ours.Stall(c)
		}
		if err := with.add(phase("some have stopped")); err != nil {
			return err
		}
		with.row.label = fmt.Sprintf("1 in %d does not read", oneIn)
		without.row.times(without.all.Whole)
		with.row.times(with.all.Whole)
		r.rows = []row{without.row, with.row}
		r.verdicts = []verdict{{
			what:  fmt.Sprintf("one stalled reader in %d: worst broadcast against none", oneIn),
			value: with.row.max.Seconds() / without.row.max.Seconds(), limit: 1.3,
			measured: ms(with.row.max) + ", p50 " + ms(with.row.p50), floor: ms(without.row.max) + ", p50 " + ms(without.row.p50),
		}}
		return errors.Join(without.row.complete(), with.row.complete())
	})
	return r, err
}
