//go:build linux

package main

import (
	"strings"
	"testing"
	"time"
)

func TestReplaceTable(t *testing.T) {
	t.Parallel()
	document := "a\n" + tableBegin + "\nold\n" + tableEnd + "\nz\n"
	got, err := replaceTable(document, "new\n")
	if err != nil || strings.Contains(got, "old") || !strings.HasPrefix(got, "a\n") || !strings.HasSuffix(got, "\nz\n") || !strings.Contains(got, "new") {
		t.Errorf("%q, %v", got, err)
	}
	again, err := replaceTable(got, "new\n")
	if err != nil || again != got {
		t.Errorf("a second time: %q, %v", again, err)
	}
	if _, err := replaceTable("a", "new"); err == nil {
		t.Error("no lines to write between")
	}
}

func TestVerdict(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		v      verdict
		target string
		pass   bool
	}{
		{verdict{value: 1.2, limit: 1.25}, "at most 1.25", true},
		{verdict{value: 1.3, limit: 1.25}, "at most 1.25", false},
		{verdict{value: 160_000, limit: 150_000, least: true, unit: "a second"}, "at least 150,000 a second", true},
		{verdict{value: 1, limit: 1_024_027, least: true}, "at least 1,024,027", false},
		{verdict{value: 0.2, limit: 0.4, least: true}, "at least 0.40", false},
	} {
		if got := c.v.target(); got != c.target || c.v.pass() != c.pass {
			t.Errorf("%+v: %q, %v", c.v, got, c.v.pass())
		}
	}
}

// What is missing is an error, and sums keep what they need for it.
func TestRows(t *testing.T) {
	t.Parallel()
	r := row{label: "x", unit: "deliveries", count: 10, expected: 10, seconds: 1, serverCPU: time.Second}
	if err := r.complete(); err != nil {
		t.Error(err)
	}
	r.add(row{count: 9, expected: 10, seconds: 1, serverCPU: time.Second})
	if err := r.complete(); err == nil || !strings.Contains(err.Error(), "19 of 20 deliveries") {
		t.Errorf("%v", err)
	}
	if r.rate() != 9.5 {
		t.Errorf("%v a second", r.rate())
	}
}

func TestComparison(t *testing.T) {
	t.Parallel()
	of := func(seconds float64) result {
		return result{scenario: "s", rows: []row{{label: "p", count: 10, seconds: seconds}, {label: "q", kib: seconds}}}
	}
	var c comparison
	c.addBase(of(1))
	c.addThis(of(2))
	c.addBase(of(1))
	c.addThis(of(2))
	var out strings.Builder
	if err := c.print(&out); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 3 || strings.Join(strings.Fields(lines[1]), " ") != "s p a second 10 10 5 5 0.50" ||
		strings.Join(strings.Fields(lines[2]), " ") != "s q KiB each 1 1 2 2 2.00" {
		t.Errorf("%q", lines)
	}
}

// One odd reading of three does not count, and what a footprint is of adds up.
func TestFootprint(t *testing.T) {
	t.Parallel()
	several := []footprint{{anonymous: 30 * mib}, {anonymous: 45 * mib}, {anonymous: 31 * mib}}
	if got := typical(several); got.anonymous != 31*mib || several[1].anonymous != 45*mib {
		t.Errorf("%v of %v", got, several)
	}
	f := footprint{resident: 50 * mib, anonymous: 30 * mib, heap: 8 * mib, holes: 7 * mib, idle: mib, stacks: 2 * mib}
	if got := f.parts(); !strings.HasSuffix(got, "the runtime's own 12.0") {
		t.Error(got)
	}
	if got := f.String(); got != "30.0 MiB, 50.0 with the program's pages" {
		t.Error(got)
	}
}
