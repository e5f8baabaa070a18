//go:build linux

package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/trunkline/trunkline/bench/stats"
)

// A row is what one phase of a scenario measured.
type row struct {
	label              string
	count              uint64 // deliveries, answers, joins or messages that came
	expected           uint64
	unit               string // of count
	seconds            float64
	p50, p99, max      time.Duration
	serverCPU, dataCPU time.Duration // of the servers, of Postgres
	mallocs            uint64        // of the servers
	writes             uint64        // calls of the servers that wrote to WebSockets
	kib                float64       // resident per connection
	note               string
}

// rate is per second.
func (r *row) rate() float64 { return float64(r.count) / r.seconds }

// cpu is the servers' seconds per million.
func (r *row) cpu() float64 { return r.serverCPU.Seconds() / float64(r.count) * 1e6 }

// perWrite says how many frames went out in a call.
func (r *row) perWrite() string { return short(float64(r.count)/float64(r.writes)) + " frames a write" }

// times takes the quantiles of a histogram.
func (r *row) times(h *stats.Histogram) {
	r.p50, r.p99, r.max = h.Quantile(0.5), h.Quantile(0.99), h.Max()
}

// add sums two phases of the same kind; of the quantiles the caller takes care.
func (r *row) add(other row) {
	r.count += other.count
	r.expected += other.expected
	r.seconds += other.seconds
	r.serverCPU += other.serverCPU
	r.dataCPU += other.dataCPU
	r.mallocs += other.mallocs
	r.writes += other.writes
}

// complete fails when something is missing.
func (r *row) complete() error {
	if r.count != r.expected {
		return fmt.Errorf("%s: %d of %d %s came", r.label, r.count, r.expected, r.unit)
	}
	return nil
}

// measure runs a phase and counts what the servers and Postgres use meanwhile.
func (w *world) measure(ctx context.Context, label string, nodes []*node, phase func() error) (r row, err error) {
	r.label = label
	before, err := w.usage(ctx, nodes)
	if err != nil {
		return r, err
	}
	profile, err := w.profile(ctx, label, nodes)
	if err != nil {
		return r, err
	}
	began := time.Now()
	if err := phase(); err != nil {
		return r, fmt.Errorf("%s: %w", label, err)
	}
	r.seconds = time.Since(began).Seconds()
	if err := profile(); err != nil {
		return r, err
	}
	after, err := w.usage(ctx, nodes)
	r.serverCPU, r.dataCPU = after.servers-before.servers, after.postgres-before.postgres
	r.mallocs, r.writes = after.mallocs-before.mallocs, after.writes-before.writes
	return r, err
}

type usage struct {
	servers, postgres time.Duration
	mallocs, writes   uint64
}

func (w *world) usage(ctx context.Context, nodes []*node) (u usage, err error) {
	for _, n := range nodes {
		cpu, err := stats.CPU(n.pid)
		if err != nil {
			return u, err
		}
		figures, err := n.runtime(ctx)
		if err != nil {
			return u, err
		}
		u.servers += cpu
		u.mallocs += figures.Mallocs
		writes, err := n.metric(ctx, "trunkline_websocket_write_calls_total")
		if err != nil {
			return u, err
		}
		u.writes += uint64(writes)
	}
	u.postgres, err = stats.TreeCPU(w.postgres.PID())
	return u, err
}

// measureFloor is measure for the floor's process.
func measureFloor(label string, f *floorProcess, phase func() error) (r row, err error) {
	r.label = label
	before, err := stats.CPU(f.pid)
	if err != nil {
		return r, err
	}
	began := time.Now()
	if err := phase(); err != nil {
		return r, fmt.Errorf("%s: %w", label, err)
	}
	r.seconds = time.Since(began).Seconds()
	after, err := stats.CPU(f.pid)
	r.serverCPU = after - before
	return r, err
}

// profile starts a CPU profile of the first node. end writes its top as text.
func (w *world) profile(ctx context.Context, label string, nodes []*node) (end func() error, err error) {
	if w.profiles == "" || len(nodes) == 0 {
		return func() error { return nil }, nil
	}
	n := nodes[0]
	name := filepath.Join(w.profiles, strings.NewReplacer(" ", "-", ",", "", ":", "").Replace(w.scenario+"-"+label))
	// The profile is as old as the last collection, which may be long ago. Only
	// that of the heap has the parameter; it counts what was freed, too.
	collected := url.Values{"gc": {"1"}}
	before, err := n.fetch(ctx, http.MethodGet, "/debug/pprof/heap", collected)
	if err == nil {
		err = os.WriteFile(name+"-before.pprof", before, 0o644)
	}
	if err != nil {
		return nil, err
	}
	if _, err := n.fetch(ctx, http.MethodPost, "/profile/start", nil); err != nil {
		return nil, err
	}
	return func() error {
		for kind, request := range map[string][2]string{
			"cpu": {http.MethodPost, "/profile/stop"}, "allocations": {http.MethodGet, "/debug/pprof/heap"},
		} {
			content, err := n.fetch(ctx, request[0], request[1], collected)
			if err != nil {
				return err
			}
			file := name + "-" + kind
			if err := os.WriteFile(file+".pprof", content, 0o644); err != nil {
				return err
			}
			arguments := []string{"tool", "pprof", "-top", "-nodecount=40"}
			if kind == "allocations" {
				arguments = append(arguments, "-sample_index=alloc_objects", "-base", name+"-before.pprof")
			}
			top, err := exec.CommandContext(ctx, "go", append(arguments, w.program, file+".pprof")...).Output()
			if err != nil {
				return fmt.Errorf("go tool pprof: %w", err)
			}
			if err := os.WriteFile(file+".txt", top, 0o644); err != nil {
				return err
			}
		}
		return nil
	}, nil
}
