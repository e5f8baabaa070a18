//go:build linux

package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/trunkline/trunkline/bench/load"
	"github.com/trunkline/trunkline/bench/stats"
)

// runCycles connects and disconnects many clients, half of them without a word,
// and measures what the server keeps.
func runCycles(ctx context.Context, w *world) (r result, err error) {
	count, cycles := w.scale(10_000, 40), w.scale(10, 2)
	err = w.withCluster(ctx, 1, func(nodes []*node) error {
		n := nodes[0]
		fresh, err := n.holdings(ctx, w)
		if err != nil {
			return err
		}
		if err := w.goroutines(ctx, n, "start"); err != nil {
			return err
		}
		var first holdings
		for cycle := range cycles {
			one, err := w.measure(ctx, fmt.Sprintf("cycle %d", cycle+1), nodes, func() error { return n.comeAndGo(ctx, count) })
			if err != nil {
				return err
			}
			one.unit, one.count, one.expected = "connections", uint64(count), uint64(count)
			if cycle == 0 {
				if first, err = n.holdings(ctx, w); err != nil {
					return err
				}
			}
			if cycle == 0 || cycle == cycles-1 {
				r.rows = append(r.rows, one)
			}
		}
		last, err := n.holdings(ctx, w)
		if err != nil {
			return err
		}
		if err := w.goroutines(ctx, n, "end"); err != nil {
			return err
		}
		if last.goroutines > first.goroutines*2 || last.descriptors > first.descriptors*2 {
			return fmt.Errorf("%.0f goroutines and %.0f descriptors are left, %.0f and %.0f after the first cycle",
				last.goroutines, last.descriptors, first.goroutines, first.descriptors)
		}
		after := fmt.Sprintf("%d cycles of %d: ", cycles, count)
		r.verdicts = []verdict{
			{
				what: after + "goroutines against the start", value: last.goroutines / fresh.goroutines, limit: 1.05,
				measured: fmt.Sprintf("%.0f, beside %d workers that wait for the next message", last.goroutines, last.workers), floor: short(fresh.goroutines),
			},
			{
				what: after + "descriptors against the start", value: last.descriptors / fresh.descriptors, limit: 1.05,
				measured: short(last.descriptors), floor: short(fresh.descriptors),
			},
			{
				what: after + "resident memory against that after the first", value: last.resident / first.resident, limit: 1.05,
				measured: last.memory(), floor: first.memory() + ", at the start " + fresh.memory(),
			},
		}
		return nil
	})
	return r, err
}

// goroutines writes what the server's goroutines do, where profiles are wanted.
func (w *world) goroutines(ctx context.Context, n *node, when string) error {
	if w.profiles == "" {
		return nil
	}
	text, err := n.fetch(ctx, http.MethodGet, "/debug/pprof/goroutine", url.Values{"debug": {"1"}})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(w.profiles, "cycles-goroutines-"+when+".txt"), text, 0o644)
}

// comeAndGo connects and disconnects clients.
func (n *node) comeAndGo(ctx context.Context, count int) error {
	l, err := load.New()
	if err != nil {
		return err
	}
	defer l.Shut()
	conns, err := n.open(l, count, func(i int) string { return fmt.Sprint("e:", i) })
	if err != nil {
		return err
	}
	if err := l.Close(conns[:count/2], time.Minute); err != nil {
		return err
	}
	l.Reset(conns[count/2:])
	return n.awaitSockets(ctx, 0)
}

// holdings are what a server has after a garbage collection. Idle workers of
// connections, of which it keeps a fixed number at most, count by themselves.
type holdings struct {
	goroutines, descriptors, resident, heap float64
	workers                                 int
}

// memory prints what is resident, and what of it is live heap.
func (h *holdings) memory() string {
	return fmt.Sprintf("%.1f MiB with a heap of %.1f", h.resident/(1<<20), h.heap/(1<<20))
}

// workerMark is in the stack of a worker of connections.
const workerMark = "sock.(*Pool).worker+"

// holdings waits a while, as some parts start late and some end late, and takes
// the fewest goroutines of several looks: some come and go.
func (n *node) holdings(ctx context.Context, w *world) (h holdings, err error) {
	time.Sleep(w.span(6 * time.Second))
	for look := range w.scale(12, 2) {
		time.Sleep(w.span(250 * time.Millisecond))
		goroutines, workers, err := n.countGoroutines(ctx)
		if err != nil {
			return h, err
		}
		if look == 0 || goroutines < h.goroutines {
			h.goroutines, h.workers = goroutines, workers
		}
	}
	if err := n.collect(ctx); err != nil {
		return h, err
	}
	resident, err := stats.RSS(n.pid)
	if err != nil {
		return h, err
	}
	files, err := stats.Descriptors(n.pid)
	if err != nil {
		return h, err
	}
	figures, err := n.runtime(ctx)
	h.resident, h.descriptors, h.heap = float64(resident), float64(files), float64(figures.Heap)
	return h, err
}

// countGoroutines reads the server's goroutine profile: groups of equal stacks,
// each with its count first.
func (n *node) countGoroutines(ctx context.Context) (others float64, workers int, err error) {
	text, err := n.fetch(ctx, http.MethodGet, "/debug/pprof/goroutine", url.Values{"debug": {"1"}})
	if err != nil {
		return 0, 0, err
	}
	for stack := range strings.SplitSeq(string(text), "\n\n") {
		var count int
		if at := strings.Index(stack, " @ "); at >= 0 {
			start := strings.LastIndexByte(stack[:at], '\n') + 1
			if count, err = strconv.Atoi(stack[start:at]); err != nil {
				return 0, 0, fmt.Errorf("goroutine profile: %w", err)
			}
		}
		if strings.Contains(stack, workerMark) {
			workers += count
		} else {
			others += float64(count)
		}
	}
	return others, workers, nil
}
