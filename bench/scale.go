//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/trunkline/trunkline/test/harness"
)

// sizesOfDimension is at how many sizes each dimension is measured.
const sizesOfDimension = 3

// A dimension is something that may grow. Each size has servers and a database
// of its own.
type dimension struct {
	name, unit   string
	sizes, smoke [sizesOfDimension]int
	run          func(ctx context.Context, w *world, size int) ([]cost, error)
}

// A cost is what one size takes.
type cost struct {
	what  string // with its unit
	value float64
}

var dimensions = []dimension{
	{"connections", "idle connections, each in a topic of its own", [3]int{4750, 9500, 19_000}, [3]int{10, 20, 40}, scaleConnections},
	{"topics", "topics with one of 500 connections each", [3]int{1000, 6000, 36_000}, [3]int{10, 20, 40}, scaleTopics},
	{"durable-topics", "topics that are published to in turn", [3]int{100, 1000, 10_000}, [3]int{5, 10, 20}, scaleDurableTopics},
	{"members", "members of the topic", [3]int{500, 2500, 12_500}, [3]int{10, 20, 40}, scaleMembers},
	{"nodes", "nodes", [3]int{2, 4, 8}, [3]int{1, 2, 3}, scaleNodes},
	{"history", "messages stored in a topic", [3]int{8000, 80_000, 800_000}, [3]int{200, 400, 800}, scaleHistory},
	{"presence", "members present in one topic, on 3 nodes", [3]int{500, 1500, 4500}, [3]int{10, 20, 40}, scalePresence},
	{"presence-rooms", "presences in topics of 10, all on one of 2 nodes", [3]int{3000, 12_000, 45_000}, [3]int{20, 40, 80}, scalePresenceRooms},
}

type scaleCommand struct {
	Dimensions []string `arg:"" optional:"" help:"Which to measure; default: all."`
	Smoke      bool     `help:"Tiny sizes: only whether everything arrives."`
}

// Run measures what grows, and prints a table of each dimension.
func (c *scaleCommand) Run(ctx context.Context) error {
	for _, name := range c.Dimensions {
		if !slices.ContainsFunc(dimensions, func(d dimension) bool { return d.name == name }) {
			var known []string
			for _, d := range dimensions {
				known = append(known, d.name)
			}
			return fmt.Errorf("no dimension %q: there are %s", name, strings.Join(known, ", "))
		}
	}
	w, end, err := newWorld(ctx, os.Stdout)
	if err != nil {
		return err
	}
	w.smoke = c.Smoke
	if err := harness.Build(ctx, w.program, "bench/server", false); err != nil {
		return errors.Join(err, end())
	}
	for _, d := range dimensions {
		if len(c.Dimensions) > 0 && !slices.Contains(c.Dimensions, d.name) {
			continue
		}
		if err := w.grow(ctx, d); err != nil {
			return errors.Join(fmt.Errorf("%s: %w; the servers' logs are in %s", d.name, err, w.directory), w.postgres.Remove())
		}
	}
	return end()
}

// grow measures one dimension.
func (w *world) grow(ctx context.Context, d dimension) error {
	began := time.Now()
	w.scenario = "scale-" + d.name
	sizes := d.sizes
	if w.smoke {
		sizes = d.smoke
	}
	var costs [][]cost
	for _, size := range sizes {
		found, err := d.run(ctx, w, size)
		if err != nil {
			return fmt.Errorf("%d %s: %w", size, d.unit, err)
		}
		costs = append(costs, found)
	}
	if w.smoke {
		fmt.Fprintf(w.out, "ok  scale, %s: %v\n", d.name, sizes)
		return nil
	}
	growthTable(w.out, d.unit, sizes, costs)
	fmt.Fprintf(w.out, "\n%s took %.0f s\n", d.name, time.Since(began).Seconds())
	return nil
}

// growthTable is in Markdown.
func growthTable(out io.Writer, unit string, sizes [sizesOfDimension]int, costs [][]cost) {
	fmt.Fprintf(out, "\n| %s |", unit)
	for _, size := range sizes {
		fmt.Fprintf(out, " %s |", short(float64(size)))
	}
	fmt.Fprintf(out, " exponent |\n|---|%s---|\n", strings.Repeat("---|", sizesOfDimension))
	for i := range costs[0] {
		var x, y []float64
		fmt.Fprintf(out, "| %s |", costs[0][i].what)
		for j, size := range sizes {
			x, y = append(x, float64(size)), append(y, costs[j][i].value)
			fmt.Fprintf(out, " %s |", short(costs[j][i].value))
		}
		exponent := "–"
		if e := growth(x, y); !math.IsNaN(e) {
			exponent = fmt.Sprintf("%.2f", e)
		}
		fmt.Fprintf(out, " %s |\n", exponent)
	}
}

// growth is the exponent of y as a power of x: the slope of the straight line
// through the logarithms. It is no number where a value is 0 or less.
func growth(x, y []float64) float64 {
	var mx, my float64
	for i := range x {
		mx += math.Log(x[i]) / float64(len(x))
		my += math.Log(y[i]) / float64(len(x))
	}
	var above, below float64
	for i := range x {
		dx := math.Log(x[i]) - mx
		above += dx * (math.Log(y[i]) - my)
		below += dx * dx
	}
	if e := above / below; !math.IsInf(e, 0) {
		return e
	}
	return math.NaN()
}
