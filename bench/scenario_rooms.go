//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/trunkline/trunkline/bench/load"
)

// runRooms measures many small topics at once, each with one broadcast under
// way, between two runs of the floor with as many connections: all three at once
// would need more descriptors than a process may have.
func runRooms(ctx context.Context, w *world) (r result, err error) {
	rooms := w.scale(1000, 10)
	const members = 10
	single := load.RunOptions{Count: w.scale(20, 5), Pause: gap}
	floor := &phases{}
	bareRun := func() error {
		return withFloor(ctx, rooms*members, func(process *floorProcess, bare *crowd) error {
			bare.Add(bare.conns[:1], bare.conns)
			floor.crowd = bare
			return floor.add(func() (row, error) {
				return measureFloor("bare write per delivery", process, func() error { return bare.Run(single) })
			})
		})
	}
	if err := bareRun(); err != nil {
		return r, err
	}
	full := &phases{}
	err = w.withCluster(ctx, 1, func(nodes []*node) error {
		l, err := load.New()
		if err != nil {
			return err
		}
		defer l.Shut()
		conns, err := nodes[0].open(l, rooms*members, func(i int) string { return fmt.Sprint("e:room-", i%rooms) })
		if err != nil {
			return err
		}
		full.crowd = newCrowd(l, conns, "b", payloadSize)
		groups := make([][]*load.Conn, rooms)
		for _, c := range conns {
			groups[c.ID%rooms] = append(groups[c.ID%rooms], c)
		}
		for _, group := range groups {
			full.crowd.Add(group[:1], group)
		}
		run := load.RunOptions{Duration: w.span(6 * time.Second)}
		return full.add(func() (row, error) {
			return w.measure(ctx, "saturated", nodes, func() error { return full.crowd.Run(run) })
		})
	})
	if err != nil {
		return r, err
	}
	if err := bareRun(); err != nil {
		return r, err
	}
	r.rows = []row{floor.row, full.row}
	r.verdicts = []verdict{{
		what:  fmt.Sprintf("%d rooms of %d, saturated: CPU per delivery against a bare write", rooms, members),
		value: full.row.cpu() / floor.row.cpu(), limit: 1.3,
		measured: cpuText(&full.row) + ", " + short(full.row.rate()) + "/s", floor: cpuText(&floor.row),
	}}
	return r, errors.Join(floor.row.complete(), full.row.complete())
}
