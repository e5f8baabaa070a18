//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sys/unix"
)

// The table stands between these lines of the document.
const (
	tableBegin = "<!-- Written by make bench: -->"
	tableEnd   = "<!-- until here. -->"
)

// A machine is where and when a run was.
type machine struct {
	processor, memory, kernel, postgres, commit, load string
	date                                              time.Time
}

func thisMachine(ctx context.Context, w *world) (m machine, err error) {
	m.date = time.Now()
	processors, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return m, err
	}
	for line := range strings.Lines(string(processors)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			m.processor = strings.TrimSpace(value)
			break
		}
	}
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return m, err
	}
	m.memory = fmt.Sprintf("%d GiB", uint64(info.Totalram)*uint64(info.Unit)>>30)
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return m, err
	}
	m.kernel = unix.ByteSliceToString(name.Release[:])
	if m.load, err = loadAverage(); err != nil {
		return m, err
	}
	if m.commit, err = commit(ctx); err != nil {
		return m, err
	}
	conn, err := pgx.Connect(ctx, w.postgres.URL())
	if err != nil {
		return m, err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }() // it was only read from
	return m, conn.QueryRow(ctx, "show server_version").Scan(&m.postgres)
}

// loadAverage is that of the last minute.
func loadAverage() (string, error) {
	averages, err := os.ReadFile("/proc/loadavg")
	first, _, _ := strings.Cut(string(averages), " ")
	return first, err
}

// commit is the revision that runs, and whether the code differs from it.
func commit(ctx context.Context) (string, error) {
	revision, err := exec.CommandContext(ctx, "git", "rev-parse", "--short", "HEAD").Output()
	if err != nil {
		return "", fmt.Errorf("git rev-parse: %w", err)
	}
	changes, err := exec.CommandContext(ctx, "git", "status", "--porcelain", "--", "*.go", "*.sql", "go.mod").Output()
	if err != nil {
		return "", fmt.Errorf("git status: %w", err)
	}
	text := strings.TrimSpace(string(revision))
	if len(changes) > 0 {
		text += " with changes"
	}
	return text, nil
}

// writeTable puts the results into the document.
func writeTable(path string, m machine, results []result) error {
	document, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	average, err := loadAverage()
	if err != nil {
		return err
	}
	m.load += " at the start and " + average + " at the end"
	text, err := replaceTable(string(document), markdown(m, results))
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return os.WriteFile(path, []byte(text), 0o644)
}

// replaceTable replaces what is between the two lines.
func replaceTable(document, table string) (string, error) {
	before, rest, begins := strings.Cut(document, tableBegin)
	_, after, ends := strings.Cut(rest, tableEnd)
	if !begins || !ends {
		return "", fmt.Errorf("the lines %q and %q are not there", tableBegin, tableEnd)
	}
	return before + tableBegin + "\n\n" + table + "\n" + tableEnd + after, nil
}

func markdown(m machine, results []result) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Measured on %s, commit %s: %s, %d processors, %s, Linux %s, %s, Postgres %s; load average %s.\n\n",
		m.date.Format("2 January 2006"), m.commit, m.processor, runtime.NumCPU(), m.memory, m.kernel, runtime.Version(), m.postgres, m.load)
	b.WriteString("| figure | target | measured | | reached |\n|---|---|---|---|---|\n")
	for i := range results {
		for j := range results[i].verdicts {
			v := &results[i].verdicts[j]
			reached := "yes"
			if !v.pass() {
				reached = "**no**"
			}
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", v.what, v.target(), v.amount(v.value), v.details("", ""), reached)
		}
	}
	b.WriteString("\nWhat the scenarios measured, with the CPU of all servers, or of the floor's process:\n\n")
	b.WriteString("| scenario | phase | came / expected | a second | p50 | p99 | max | CPU s per million | Postgres CPU s | KiB each |\n|---|---|---|---|---|---|---|---|---|---|\n")
	for i := range results {
		for j := range results[i].rows {
			fmt.Fprintf(&b, "| %s | %s |\n", results[i].scenario, strings.Join(results[i].rows[j].cells(), " | "))
		}
	}
	return b.String()
}
