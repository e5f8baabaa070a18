//go:build linux

package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// A verdict is one figure against its target.
type verdict struct {
	what, measured, floor string
	value, limit          float64 // of the ratio, or of the figure itself
	least                 bool    // limit is a lower bound
	unit                  string  // of value and limit; "" is a ratio
}

func (v *verdict) pass() bool {
	if v.least {
		return v.value >= v.limit
	}
	return v.value <= v.limit
}

func (v *verdict) target() string {
	bound := "at most "
	if v.least {
		bound = "at least "
	}
	return bound + v.amount(v.limit)
}

func (v *verdict) amount(x float64) string {
	return strings.TrimSpace(short(x) + " " + v.unit)
}

// details are what was measured, and the floor, between two texts.
func (v *verdict) details(open, end string) string {
	var parts []string
	if v.measured != "" {
		parts = append(parts, v.measured)
	}
	if v.floor != "" {
		parts = append(parts, "floor "+v.floor)
	}
	if len(parts) == 0 {
		return ""
	}
	return open + strings.Join(parts, "; ") + end
}

// short prints three significant digits.
func short(x float64) string {
	switch {
	case x >= 1e6:
		return fmt.Sprintf("%d,%03d,%03d", int(x)/1_000_000, int(x)/1000%1000, int(x)%1000)
	case x >= 1e5:
		return fmt.Sprintf("%d,%03d", int(x)/1000, int(x)%1000)
	case x >= 100 || x == float64(int(x)):
		return fmt.Sprintf("%.0f", x)
	case x >= 10:
		return fmt.Sprintf("%.1f", x)
	}
	return fmt.Sprintf("%.2f", x)
}

// ms prints a duration in milliseconds.
func ms(d time.Duration) string { return short(d.Seconds()*1000) + " ms" }

// A result is what a scenario found.
type result struct {
	scenario string
	rows     []row
	verdicts []verdict
}

// print writes the result for a person.
func (r *result) print(out io.Writer) error {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "\n%s\tcame/expected\ta second\tp50\tp99\tmax\tCPU s/million\tPostgres CPU s\tKiB each\t\n", r.scenario)
	for i := range r.rows {
		fmt.Fprintln(t, strings.Join(r.rows[i].cells(), "\t"))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for i := range r.verdicts {
		v := &r.verdicts[i]
		word := "ok  "
		if !v.pass() {
			word = "MISS"
		}
		fmt.Fprintf(out, "%s  %s: %s, %s%s\n", word, v.what, v.amount(v.value), v.target(), v.details(" (", ")"))
	}
	return nil
}

// cells are the row's columns.
func (r *row) cells() []string {
	cells := make([]string, 9)
	cells[0] = r.label
	if r.note != "" {
		cells[0] += " (" + r.note + ")"
	}
	if r.count > 0 {
		cells[1] = fmt.Sprintf("%d/%d %s", r.count, r.expected, r.unit)
		cells[2] = short(r.rate())
	}
	if r.serverCPU > 0 && r.count > 0 {
		cells[6] = short(r.cpu())
	}
	if r.dataCPU > 0 {
		cells[7] = short(r.dataCPU.Seconds())
	}
	if r.max > 0 {
		cells[3], cells[4], cells[5] = ms(r.p50), ms(r.p99), ms(r.max)
	}
	if r.kib > 0 {
		cells[8] = short(r.kib)
	}
	return cells
}
