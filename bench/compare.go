//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/trunkline/trunkline/test/harness"
)

type compareCommand struct {
	Base      string   `required:"" help:"Revision to compare with."`
	Pairs     int      `default:"2" help:"How many times each of the two runs, in turns."`
	Smoke     bool     `help:"Tiny sizes."`
	Scenarios []string `arg:"" optional:"" help:"Which to run; default: all."`
}

// Run measures both, one after the other, and prints ratios.
func (c *compareCommand) Run(ctx context.Context) error {
	list, err := chosen(c.Scenarios)
	if err != nil {
		return err
	}
	w, end, err := newWorld(ctx, os.Stdout)
	if err != nil {
		return err
	}
	w.smoke = c.Smoke
	this, base := w.program, w.program+"-base"
	err = errors.Join(harness.Build(ctx, this, "bench/server", false), buildRevision(ctx, c.Base, base))
	if err != nil {
		return errors.Join(err, end())
	}
	var found comparison
	for pair := range c.Pairs {
		for _, s := range list {
			for _, side := range []struct {
				name, program string
				to            func(result)
			}{{c.Base, base, found.addBase}, {"this", this, found.addThis}} {
				fmt.Fprintf(w.out, "\npair %d, %s:\n", pair+1, side.name)
				w.program = side.program
				r, err := w.do(ctx, s)
				if err != nil {
					return errors.Join(fmt.Errorf("%s of %s: %w; the servers' logs are in %s", s.name, side.name, err, w.directory), w.postgres.Remove())
				}
				side.to(r)
			}
		}
	}
	return errors.Join(found.print(w.out), end())
}

// buildRevision builds today's bench/server with the packages of a revision.
func buildRevision(ctx context.Context, revision, program string) (err error) {
	directory, err := os.MkdirTemp("", "trunkline-base-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(directory)) }()
	tree := filepath.Join(directory, "tree")
	run := func(in, name string, arguments ...string) error {
		cmd := exec.CommandContext(ctx, name, arguments...)
		cmd.Dir = in
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(arguments, " "), err, out)
		}
		return nil
	}
	if err := run("", "git", "worktree", "add", "--detach", tree, revision); err != nil {
		return err
	}
	server := filepath.Join(tree, "bench", "server")
	if err = os.RemoveAll(server); err == nil {
		err = os.CopyFS(server, os.DirFS("bench/server"))
	}
	if err == nil {
		err = run(tree, "go", "build", "-o", program, "./bench/server")
	}
	return errors.Join(err, run("", "git", "worktree", "remove", "--force", tree))
}

// A comparison holds the figures of both sides, by scenario, phase and kind.
type comparison struct {
	order      []string
	base, this map[string][]float64
}

func (c *comparison) addBase(r result) { c.add(&c.base, r) }
func (c *comparison) addThis(r result) { c.add(&c.this, r) }

func (c *comparison) add(to *map[string][]float64, r result) {
	if *to == nil {
		*to = map[string][]float64{}
	}
	for i := range r.rows {
		row := &r.rows[i]
		for _, figure := range row.figures() {
			name := r.scenario + "\t" + row.label + "\t" + figure.name
			if len(c.base[name])+len(c.this[name]) == 0 {
				c.order = append(c.order, name)
			}
			(*to)[name] = append((*to)[name], figure.value)
		}
	}
}

// A figure is one of a row's.
type figure struct {
	name  string
	value float64
}

func (r *row) figures() []figure {
	if r.count == 0 {
		return []figure{{"KiB each", r.kib}}
	}
	return []figure{
		{"a second", r.rate()},
		{"CPU s/million", r.cpu()},
		{"Postgres CPU s/million", r.dataCPU.Seconds() / float64(r.count) * 1e6},
		{"p50 ms", r.p50.Seconds() * 1000},
		{"p99 ms", r.p99.Seconds() * 1000},
	}
}

// print writes each figure of both sides and the ratio of their means.
func (c *comparison) print(out io.Writer) error {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "\nscenario\tphase\tfigure\tbase\tthis\tthis/base")
	for _, name := range c.order {
		base, this := c.base[name], c.this[name]
		if mean(base) == 0 || mean(this) == 0 { // not measured
			continue
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%.2f\n", name, list(base), list(this), mean(this)/mean(base))
	}
	return t.Flush()
}

func list(values []float64) string {
	var parts []string
	for _, v := range values {
		parts = append(parts, short(v))
	}
	return strings.Join(parts, " ")
}

// mean is 0 of nothing.
func mean(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return sum / float64(len(values))
}
