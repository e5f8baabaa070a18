//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/trunkline/trunkline/bench/load"
)

// payloadSize is the size of messages' payloads.
const payloadSize = 128

// gap is the pause between broadcasts where the server is not to be saturated.
const gap = 20 * time.Millisecond

// inFlight is how many broadcasts are under way where it is.
const inFlight = 4

// A crowd is a set of clients with a driver of broadcasts.
type crowd struct {
	load  *load.Load
	conns []*load.Conn
	*load.Broadcasts
}

// newCrowd drives connections; a raw publisher sends what members get.
func newCrowd(l *load.Load, conns []*load.Conn, event string, size int) *crowd {
	c := &crowd{l, conns, load.NewBroadcasts(l, event, size)}
	l.Handle = c.Handle
	return c
}

// deliveries fills a phase's row with what the driver counted since its Reset.
func (c *crowd) deliveries(r *row) {
	r.unit, r.count, r.expected = "deliveries", c.Received, c.Expected
	r.times(c.Latency)
}

// withFloor runs f beside a floor with so many clients of its broadcasts.
func withFloor(ctx context.Context, count int, f func(*floorProcess, *crowd) error) error {
	process, err := startFloor(ctx)
	if err != nil {
		return err
	}
	l, err := load.New()
	if err != nil {
		return errors.Join(err, process.end())
	}
	conns, err := process.open(l, process.broadcast, count, "e:floor")
	if err == nil {
		err = f(process, newCrowd(l, conns, "m", payloadSize))
	}
	l.Shut()
	return errors.Join(err, process.end())
}

// runFanOut measures broadcasts to one large topic, one after the other and
// saturated.
func runFanOut(ctx context.Context, w *world) (r result, err error) {
	count := w.scale(5000, 50)
	rounds := w.scale(3, 1)
	single := load.RunOptions{Count: w.scale(40, 5), Pause: gap, Publishers: 1}
	saturated := load.RunOptions{Duration: w.span(4 * time.Second)}
	queued := load.RunOptions{Duration: w.span(4 * time.Second), Publishers: 1, InFlight: inFlight}
	err = w.withCluster(ctx, 1, func(nodes []*node) error {
		return withFloor(ctx, count, func(process *floorProcess, bare *crowd) error {
			l, err := load.New()
			if err != nil {
				return err
			}
			defer l.Shut()
			conns, err := nodes[0].open(l, count, theTopic("e:all"))
			if err != nil {
				return err
			}
			ours := newCrowd(l, conns, "b", payloadSize)
			ours.Add(conns[:inFlight], conns)
			bare.Add(bare.conns[:1], bare.conns)

			// What the server allocates by itself, and to answer this tool, is not the
			// broadcasts'.
			quiet, err := w.measure(ctx, "quiet", nodes, func() error { return l.Idle(w.span(3 * time.Second)) })
			if err != nil {
				return err
			}
			floor, one, full, queue := &phases{crowd: bare}, &phases{crowd: ours}, &phases{crowd: ours}, &phases{crowd: ours}
			for range rounds {
				if err := floor.add(func() (row, error) {
					return measureFloor("bare write per delivery", process, func() error { return bare.Run(single) })
				}); err != nil {
					return err
				}
				if err := one.add(func() (row, error) {
					return w.measure(ctx, "one at a time", nodes, func() error { return ours.Run(single) })
				}); err != nil {
					return err
				}
				if err := full.add(func() (row, error) {
					return w.measure(ctx, fmt.Sprint(inFlight, " publishers"), nodes, func() error { return ours.Run(saturated) })
				}); err != nil {
					return err
				}
				if err := queue.add(func() (row, error) {
					return w.measure(ctx, fmt.Sprint(inFlight, " in flight of one publisher"), nodes, func() error { return ours.Run(queued) })
				}); err != nil {
					return err
				}
			}
			for _, r := range []*row{&one.row, &full.row, &queue.row} {
				r.note = r.perWrite()
			}
			r.rows = []row{floor.row, one.row, full.row, queue.row}
			floorText := cpuText(&floor.row)
			allocated := max(float64(one.row.mallocs)-float64(quiet.mallocs)/quiet.seconds*one.row.seconds, 0)
			r.verdicts = []verdict{
				{what: fmt.Sprintf("fan-out to %d, one at a time: CPU per delivery against a bare write", count), value: one.row.cpu() / floor.row.cpu(), limit: 1.25, measured: cpuText(&one.row), floor: floorText},
				{what: "the same: allocations per delivery", value: allocated / float64(one.row.count), limit: 0.05, unit: "allocations", measured: short(allocated/float64(one.row.count)*float64(count)) + " per broadcast"},
				{what: fmt.Sprintf("fan-out to %d, %d in flight of as many publishers: CPU per delivery against a bare write", count, inFlight), value: full.row.cpu() / floor.row.cpu(), limit: 0.3, measured: cpuText(&full.row) + ", " + short(full.row.rate()) + "/s", floor: floorText},
				{what: fmt.Sprintf("the same, %d in flight of one publisher", inFlight), value: queue.row.cpu() / floor.row.cpu(), limit: 0.3, measured: cpuText(&queue.row) + ", " + short(queue.row.rate()) + "/s", floor: floorText},
			}
			return errors.Join(floor.row.complete(), one.row.complete(), full.row.complete(), queue.row.complete())
		})
	})
	return r, err
}

func cpuText(r *row) string { return short(r.cpu()) + " CPU s per million" }

// phases sums the rounds of one kind of phase.
type phases struct {
	crowd *crowd
	row   row
	all   *load.Broadcasts
}

// add measures one more round.
func (p *phases) add(measure func() (row, error)) error {
	p.crowd.Reset()
	r, err := measure()
	if err != nil {
		return err
	}
	p.crowd.deliveries(&r)
	if p.all == nil {
		p.row, p.all = r, &load.Broadcasts{Latency: p.crowd.Latency, Whole: p.crowd.Whole}
		return nil
	}
	p.row.add(r)
	p.all.Latency.Merge(p.crowd.Latency)
	p.all.Whole.Merge(p.crowd.Whole)
	p.row.times(p.all.Latency)
	return nil
}
