//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/trunkline/trunkline/bench/load"
	"github.com/trunkline/trunkline/test/harness"
)

// A scenario is one kind of load.
type scenario struct {
	name string
	run  func(context.Context, *world) (result, error)
}

var scenarios = []scenario{
	{"idle", runIdle},
	{"join", runJoin},
	{"fan-out", runFanOut},
	{"rooms", runRooms},
	{"stalled", runStalled},
	{"echo", runEcho},
	{"cluster", runCluster},
	{"durable", runDurable},
	{"resume", runResume},
	{"presence", runPresence},
	{"jobs", runJobs},
	{"cycles", runCycles},
}

func names() []string {
	var all []string
	for _, s := range scenarios {
		all = append(all, s.name)
	}
	return all
}

// chosen are the scenarios of these names; none are all.
func chosen(wanted []string) ([]scenario, error) {
	if len(wanted) == 0 {
		return scenarios, nil
	}
	var found []scenario
	for _, name := range wanted {
		i := slices.IndexFunc(scenarios, func(s scenario) bool { return s.name == name })
		if i < 0 {
			return nil, fmt.Errorf("no scenario %q: there are %s", name, strings.Join(names(), ", "))
		}
		found = append(found, scenarios[i])
	}
	return found, nil
}

type runCommand struct {
	Scenarios []string `arg:"" optional:"" help:"Which to run; default: all."`
	Smoke     bool     `help:"Tiny sizes: only whether everything arrives."`
	Profiles  string   `help:"Directory for profiles of the servers, with their tops as text."`
	Table     string   `help:"Markdown file whose table of figures is rewritten."`
}

// Run runs the scenarios and prints what they found.
func (c *runCommand) Run(ctx context.Context) error {
	list, err := chosen(c.Scenarios)
	if err != nil {
		return err
	}
	if c.Table != "" && (c.Smoke || len(c.Scenarios) > 0) {
		return errors.New("--table needs a whole run, of true sizes")
	}
	if c.Profiles != "" {
		if err := os.MkdirAll(c.Profiles, 0o755); err != nil {
			return err
		}
	}
	began := time.Now()
	w, end, err := newWorld(ctx, os.Stdout)
	if err != nil {
		return err
	}
	w.smoke, w.profiles = c.Smoke, c.Profiles
	if err = harness.Build(ctx, w.program, "bench/server", false); err != nil {
		return errors.Join(err, end())
	}
	m, err := thisMachine(ctx, w)
	if err != nil {
		return errors.Join(err, end())
	}
	var results []result
	for _, s := range list {
		r, runErr := w.do(ctx, s)
		if runErr != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w; the servers' logs are in %s", s.name, runErr, w.directory))
			if ctx.Err() != nil {
				break
			}
			continue
		}
		results = append(results, r)
	}
	if err != nil {
		return errors.Join(err, w.postgres.Remove())
	}
	fmt.Fprintf(os.Stdout, "\n%d scenarios in %.0f s\n", len(results), time.Since(began).Seconds())
	if c.Table != "" {
		err = writeTable(c.Table, m, results)
	}
	return errors.Join(err, end())
}

// newWorld starts a Postgres. end removes it, and the directory of a good run.
func newWorld(ctx context.Context, out io.Writer) (w *world, end func() error, err error) {
	directory, err := os.MkdirTemp("", "trunkline-bench-")
	if err != nil {
		return nil, nil, err
	}
	w = &world{directory: directory, program: filepath.Join(directory, "server"), out: out}
	if w.postgres, err = harness.StartPostgres(ctx, "bench", io.Discard); err != nil {
		return nil, nil, errors.Join(err, os.RemoveAll(directory))
	}
	return w, func() error { return errors.Join(w.postgres.Remove(), os.RemoveAll(directory)) }, nil
}

// do runs one scenario and prints what it found.
func (w *world) do(ctx context.Context, s scenario) (result, error) {
	began := time.Now()
	w.scenario = s.name
	r, err := s.run(ctx, w)
	if err != nil {
		return r, err
	}
	r.scenario = s.name
	if w.smoke {
		for _, row := range r.rows {
			fmt.Fprintf(w.out, "ok  %s, %s: %d %s\n", s.name, row.label, row.count, row.unit)
		}
		return r, nil
	}
	if err := r.print(w.out); err != nil {
		return r, err
	}
	fmt.Fprintf(w.out, "%s took %.0f s\n", s.name, time.Since(began).Seconds())
	return r, nil
}

// withCluster runs f on servers of a database of their own.
func (w *world) withCluster(ctx context.Context, count int, f func([]*node) error) error {
	return w.withServers(ctx, make([][]string, count), f)
}

// withClients is withCluster for one server, with a load of its clients.
func (w *world) withClients(ctx context.Context, f func([]*node, *load.Load) error) error {
	return w.withCluster(ctx, 1, func(nodes []*node) error {
		l, err := load.New()
		if err != nil {
			return err
		}
		defer l.Shut()
		return f(nodes, l)
	})
}

// withServers is withCluster for servers with arguments of their own each.
func (w *world) withServers(ctx context.Context, arguments [][]string, f func([]*node) error) error {
	nodes, stop, err := w.cluster(ctx, arguments)
	if err != nil {
		return err
	}
	err = f(nodes)
	if err != nil && ctx.Err() == nil {
		err = errors.Join(err, w.ended(nodes))
	}
	return errors.Join(err, stop())
}

// ended names the servers that are not there any more.
func (w *world) ended(nodes []*node) error {
	var errs []error
	for _, n := range nodes {
		if _, err := os.Stat(fmt.Sprintf("/proc/%d", n.pid)); err != nil {
			errs = append(errs, fmt.Errorf("%s has ended", n.Name))
		}
	}
	return errors.Join(errs...)
}
