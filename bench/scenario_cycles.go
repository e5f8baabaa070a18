//go:build linux

package main

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/trunkline/trunkline/bench/load"
	"github.com/trunkline/trunkline/bench/stats"
)

// runCycles connects and disconnects many clients, half of them without a word,
// and measures what the server keeps: against the start, and whether it still
// grows when much has come and gone already.
func runCycles(ctx context.Context, w *world) (r result, err error) {
	count, cycles := w.scale(10_000, 40), w.scale(10, 2)
	err = w.withCluster(ctx, 1, func(nodes []*node) error {
		n := nodes[0]
		start, err := n.holdings(ctx, w)
		if err != nil {
			return err
		}
		if err := w.profilesOf(ctx, n, "start"); err != nil {
			return err
		}
		fresh, err := n.footprint(ctx, w)
		if err != nil {
			return err
		}
		r.rows = append(r.rows, row{label: "at the start", note: fresh.parts()})
		var first holdings
		var kept []footprint
		for cycle := 1; cycle <= cycles; cycle++ {
			label := fmt.Sprintf("cycle %d", cycle)
			one, err := w.measure(ctx, label, nodes, func() error { return n.comeAndGo(ctx, count) })
			if err != nil {
				return err
			}
			if cycle == 1 {
				if first, err = n.holdings(ctx, w); err != nil {
					return err
				}
			}
			f, err := n.footprint(ctx, w)
			if err != nil {
				return err
			}
			kept = append(kept, f)
			if cycle != 1 && cycle != cycles/2 && cycle != cycles {
				continue
			}
			if err := w.profilesOf(ctx, n, fmt.Sprint(cycle)); err != nil {
				return err
			}
			one.unit, one.count, one.expected = "connections", uint64(count), uint64(count)
			stays := row{label: "what stays after " + label, kib: (f.anonymous - fresh.anonymous) / 1024 / float64(count), note: f.parts()}
			r.rows = append(r.rows, one, stays)
		}
		last, err := n.holdings(ctx, w)
		if err != nil {
			return err
		}
		if last.goroutines > first.goroutines*2 || last.descriptors > first.descriptors*2 {
			return fmt.Errorf("%.0f goroutines and %.0f descriptors are left, %.0f and %.0f after the first cycle",
				last.goroutines, last.descriptors, first.goroutines, first.descriptors)
		}
		middle, end := typical(kept[max(cycles/2-2, 0):cycles/2+1]), typical(kept[max(cycles-3, 0):])
		after := fmt.Sprintf("%d cycles of %d: ", cycles, count)
		r.verdicts = []verdict{
			{
				what: after + "goroutines against the start", value: last.goroutines / start.goroutines, limit: 1.05,
				measured: fmt.Sprintf("%.0f, beside %d workers that wait for the next message", last.goroutines, last.workers), floor: short(start.goroutines),
			},
			{
				what: after + "descriptors against the start", value: last.descriptors / start.descriptors, limit: 1.05,
				measured: short(last.descriptors), floor: short(start.descriptors),
			},
			{
				what: after + "anonymous memory against the start", value: end.anonymous / fresh.anonymous, limit: 1.05,
				measured: fmt.Sprintf("%s, %s KiB more for each that was connected at once", &end, short((end.anonymous-fresh.anonymous)/1024/float64(count))),
				floor:    fresh.String(),
			},
			{
				what:  after + "anonymous memory against that after half of them (medians of three)",
				value: end.anonymous / middle.anonymous, limit: 1.05,
				measured: end.String(), floor: fmt.Sprintf("%s, after the first %s", &middle, &kept[0]),
			},
		}
		return nil
	})
	return r, err
}

// profilesOf writes what the server's goroutines do and what its heap holds,
// where profiles are wanted.
func (w *world) profilesOf(ctx context.Context, n *node, when string) error {
	if w.profiles == "" {
		return nil
	}
	for file, profile := range map[string]struct{ name, debug string }{
		"cycles-goroutines-" + when + ".txt": {"goroutine", "1"},
		"cycles-heap-" + when + ".pprof":     {"heap", "0"},
	} {
		content, err := n.fetch(ctx, http.MethodGet, "/debug/pprof/"+profile.name, url.Values{"debug": {profile.debug}})
		if err == nil {
			err = os.WriteFile(filepath.Join(w.profiles, file), content, 0o644)
		}
		if err != nil {
			return err
		}
	}
	return nil
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

// footprint is a server's memory after garbage collections, in bytes.
type footprint struct {
	// Resident memory is the anonymous and pages of the program, which come as
	// they are first used and are no growth.
	resident, anonymous       float64
	heap, holes, idle, stacks float64 // of the anonymous; the rest is the runtime's own
}

// String has what is anonymous, and what is resident at all.
func (f *footprint) String() string {
	return fmt.Sprintf("%.1f MiB, %.1f with the program's pages", f.anonymous/mib, f.resident/mib)
}

// parts prints what the anonymous memory is. Holes are free places between
// objects; idle memory has not been given back yet.
func (f *footprint) parts() string {
	rest := f.anonymous - f.heap - f.holes - f.idle - f.stacks
	return fmt.Sprintf("MiB: heap %.1f, holes in it %.1f, idle %.1f, stacks %.1f, the runtime's own %.1f",
		f.heap/mib, f.holes/mib, f.idle/mib, f.stacks/mib, rest/mib)
}

// typical is the median by anonymous memory.
func typical(several []footprint) footprint {
	sorted := slices.SortedFunc(slices.Values(several), func(a, b footprint) int { return cmp.Compare(a.anonymous, b.anonymous) })
	return sorted[len(sorted)/2]
}

// footprint collects garbage thrice: a pool's content outlives one collection.
func (n *node) footprint(ctx context.Context, w *world) (f footprint, err error) {
	time.Sleep(w.span(time.Second)) // what the clients left behind ends
	for range 3 {
		if err := n.collect(ctx); err != nil {
			return f, err
		}
	}
	resident, err := stats.RSS(n.pid)
	if err != nil {
		return f, err
	}
	anonymous, err := stats.Anonymous(n.pid)
	if err != nil {
		return f, err
	}
	figures, err := n.runtime(ctx)
	return footprint{
		resident: float64(resident), anonymous: float64(anonymous),
		heap: float64(figures.Heap), holes: float64(figures.Spans - figures.Heap),
		idle: float64(figures.Idle), stacks: float64(figures.Stacks),
	}, err
}

// holdings are what else a server has. Idle workers of connections, of which it
// keeps a fixed number at most, count by themselves.
type holdings struct {
	goroutines, descriptors float64
	workers                 int
}

// workerMark is in the stack of a worker of connections or channels.
const workerMark = "internal/worker.(*Pool["

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
	files, err := stats.Descriptors(n.pid)
	h.descriptors = float64(files)
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
