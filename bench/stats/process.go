package stats

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of times in /proc, USER_HZ, on every Linux of Go's.
const tick = 10 * time.Millisecond

// CPU is the user and system time of a process, its waited-for children
// included.
func CPU(pid int) (time.Duration, error) {
	s, err := readStat(pid)
	return s.own + s.reaped, err
}

// TreeCPU is CPU of a process and of all its living children: a postmaster and
// its backends, whether they live or have ended.
func TreeCPU(pid int) (time.Duration, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return 0, err
	}
	total, err := CPU(pid)
	if err != nil {
		return 0, err
	}
	for _, e := range entries {
		child, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		s, err := readStat(child)
		if errors.Is(err, fs.ErrNotExist) || err == nil && s.parent != pid {
			continue
		}
		if err != nil {
			return 0, err
		}
		total += s.own + s.reaped
	}
	return total, nil
}

type stat struct {
	parent      int
	own, reaped time.Duration
}

func readStat(pid int) (stat, error) {
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		if bytes.Contains([]byte(err.Error()), []byte("no such process")) {
			err = fs.ErrNotExist // it ended while it was read
		}
		return stat{}, err
	}
	return parseStat(string(line))
}

// parseStat reads the fields 4 and 14 to 17 of proc(5)'s stat. The name, field
// 2, may hold anything, parentheses and spaces too.
func parseStat(line string) (stat, error) {
	end := strings.LastIndexByte(line, ')')
	fields := strings.Fields(line[end+1:])
	if end < 0 || len(fields) < 15 {
		return stat{}, fmt.Errorf("/proc stat %q has %d fields after the name", line, len(fields))
	}
	var n [5]int64
	for i, at := range []int{1, 11, 12, 13, 14} {
		var err error
		if n[i], err = strconv.ParseInt(fields[at], 10, 64); err != nil {
			return stat{}, fmt.Errorf("/proc stat: %w", err)
		}
	}
	return stat{parent: int(n[0]), own: time.Duration(n[1]+n[2]) * tick, reaped: time.Duration(n[3]+n[4]) * tick}, nil
}

// RSS is the resident memory of a process in bytes.
func RSS(pid int) (int64, error) { return memoryOf(pid, "status", "VmRSS") }

// Anonymous is what of the resident memory no file backs, in bytes. The rest is
// pages of the program and its libraries: they come as they are first used, and
// the kernel takes them back when it needs the room.
func Anonymous(pid int) (int64, error) { return memoryOf(pid, "smaps_rollup", "Anonymous") }

func memoryOf(pid int, file, field string) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, file))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if kilobytes, ok := strings.CutPrefix(line, field+":"); ok {
			n, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(kilobytes), " kB"), 10, 64)
			return n << 10, err
		}
	}
	return 0, fmt.Errorf("process %d has no %s in its %s", pid, field, file)
}

// Descriptors is how many files a process has open.
func Descriptors(pid int) (int, error) {
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	return len(entries), err
}
