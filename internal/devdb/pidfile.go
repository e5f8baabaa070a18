package devdb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// postmasterPID is what Postgres writes to postmaster.pid: line 1 the process,
// line 8 the status (miscadmin.h, LOCK_FILE_LINE_*).
type postmasterPID struct {
	pid   int
	ready bool
}

func pidPath(data string) string { return filepath.Join(data, "postmaster.pid") }

// readPostmasterPID returns the zero value when there is no such file.
func readPostmasterPID(data string) (postmasterPID, error) {
	raw, err := os.ReadFile(pidPath(data))
	if errors.Is(err, fs.ErrNotExist) {
		return postmasterPID{}, nil
	}
	if err != nil {
		return postmasterPID{}, fmt.Errorf("devdb: %w", err)
	}
	lines := strings.Split(string(raw), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(lines[0]))
	if err != nil || pid <= 0 {
		return postmasterPID{}, nil // half written
	}
	return postmasterPID{pid: pid, ready: len(lines) > 7 && strings.TrimSpace(lines[7]) == "ready"}, nil
}

// servesData reports whether the process is a postgres that was started on this
// data directory, as our servers are: postgres -D data ...
func servesData(ctx context.Context, pid int, data string) bool {
	line := strings.Join(commandLine(ctx, pid), " ")
	program, rest, _ := strings.Cut(line, " -D ")
	return filepath.Base(program) == "postgres" && (rest == data || strings.HasPrefix(rest, data+" "))
}

// clearOldServer makes way for a new server. The caller holds the lock, so a
// postgres that runs on the data is an orphan: it is stopped. A pid file that
// names any other live process is stale, and Postgres would refuse to start: it
// is removed. (Postgres itself still refuses, by its shared memory, while
// processes of the old server live on.)
func (db *DB) clearOldServer(ctx context.Context) error {
	data := db.home.data()
	old, err := readPostmasterPID(data)
	if err != nil || old.pid == 0 || !alive(old.pid) {
		return err // Postgres deals with the file of a dead process
	}
	if !servesData(ctx, old.pid, data) {
		db.opts.Logger.Info("removing a stale postmaster.pid", "pid", old.pid)
		if err := os.Remove(pidPath(data)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("devdb: %w", err)
		}
		return nil
	}
	db.opts.Logger.Info("stopping a Postgres whose owner is gone", "pid", old.pid)
	for _, step := range stopSteps(Fast) {
		if err := signalProcess(old.pid, step.signal); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("devdb: stop the Postgres of process %d, whose owner is gone: %w", old.pid, err)
		}
		if db.waitGone(ctx, old.pid, step.wait) {
			return nil
		}
	}
	return fmt.Errorf("devdb: the Postgres of process %d, whose owner is gone, does not stop", old.pid)
}

// waitGone waits until the process no longer serves the data. It does not ask
// whether the process exists: an orphan may stay a zombie in a container.
func (db *DB) waitGone(ctx context.Context, pid int, limit time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for servesData(ctx, pid, db.home.data()) {
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
	}
	return true
}
