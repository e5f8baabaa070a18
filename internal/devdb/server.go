package devdb

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// StopMode is how Postgres stops, in Postgres's terms.
type StopMode int

const (
	// Fast disconnects the clients and shuts down in order.
	Fast StopMode = iota
	// Immediate stops without a checkpoint, as in a crash: the next start recovers.
	Immediate
)

const (
	pollEvery    = 10 * time.Millisecond
	readyTimeout = 2 * time.Minute // recovery of a large database takes its time
	maxLogSize   = 8 << 20
)

// stopStep is a signal and how long Postgres gets to follow it.
type stopStep struct {
	signal syscall.Signal
	wait   time.Duration
}

// stopSteps ends with SIGKILL, so that a stop is bounded.
func stopSteps(mode StopMode) []stopStep {
	steps := []stopStep{
		{syscall.SIGINT, 10 * time.Second},
		{syscall.SIGQUIT, 5 * time.Second},
		{syscall.SIGKILL, 5 * time.Second},
	}
	if mode == Immediate {
		return steps[1:]
	}
	return steps
}

// server is one run of the postmaster.
type server struct {
	*child
	log *serverLog
}

// launch starts Postgres and returns when it accepts connections.
func (db *DB) launch(ctx context.Context) (*server, error) {
	log, err := openServerLog(db.home.log())
	if err != nil {
		return nil, err
	}
	defer log.f.Close() // the child has its own copy
	cmd := db.acct.command(filepath.Join(db.bin.dir, "postgres"), db.serverArgs()...)
	cmd.Dir = db.home.data()
	cmd.Stdout, cmd.Stderr = log.f, log.f
	c, err := startChild(cmd)
	if err != nil {
		return nil, err
	}
	s := &server{child: c, log: log}
	if err := s.waitReady(ctx, db.home.data()); err != nil {
		return nil, errors.Join(err, s.stop(context.WithoutCancel(ctx), Immediate))
	}
	return s, nil
}

func (db *DB) serverArgs() []string {
	settings := map[string]string{
		"unix_socket_directories": db.socketDir,
		"unix_socket_permissions": "0700",
		"listen_addresses":        "",
		"port":                    strconv.Itoa(db.port),
	}
	if db.opts.Port != 0 {
		settings["listen_addresses"] = "127.0.0.1"
	}
	maps.Copy(settings, db.opts.Settings)
	args := []string{"-D", db.home.data()}
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		args = append(args, "-c", name+"="+settings[name])
	}
	return args
}

// waitReady waits for Postgres to say ready in its pid file, as pg_ctl does.
func (s *server) waitReady(ctx context.Context, data string) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		if got, err := readPostmasterPID(data); err != nil {
			return err
		} else if got.pid == s.pid && got.ready {
			return nil
		}
		select {
		case <-s.exited:
			return fmt.Errorf("devdb: Postgres ended while starting (%w):\n%s", s.howEnded(), s.log.tail())
		case <-ctx.Done():
			return fmt.Errorf("devdb: Postgres is not ready yet: %w\n%s", ctx.Err(), s.log.tail())
		case <-tick.C:
		}
	}
}

// howEnded is how an exited Postgres ended. It is never nil: it ends with status
// 0 when somebody else asks it to.
func (s *server) howEnded() error {
	if s.err == nil {
		return errors.New("exit status 0")
	}
	return s.err
}

// stop ends Postgres. When ctx ends, it no longer waits for the fast shutdown but
// takes the immediate one. Only a process that survives SIGKILL is an error.
func (s *server) stop(ctx context.Context, mode StopMode) error {
	for _, step := range stopSteps(mode) {
		var hurry <-chan struct{}
		if step.signal == syscall.SIGINT {
			hurry = ctx.Done()
		}
		// An error means that it has ended, which exited tells.
		_ = signalProcess(s.pid, step.signal)
		patience := time.NewTimer(step.wait)
		select {
		case <-s.exited:
		case <-patience.C:
		case <-hurry:
		}
		patience.Stop()
		select {
		case <-s.exited:
			return nil
		default:
		}
	}
	return fmt.Errorf("devdb: Postgres (process %d) does not end", s.pid)
}

// serverLog is postgres.log from where one run of Postgres began.
type serverLog struct {
	f    *os.File
	path string
	from int64
}

func openServerLog(path string) (*serverLog, error) {
	f, err := openNoFollow(path, os.O_WRONLY|os.O_APPEND)
	if err != nil {
		return nil, fmt.Errorf("devdb: %w", err)
	}
	info, err := f.Stat()
	if err == nil && info.Size() > maxLogSize {
		err = f.Truncate(0)
	}
	if err == nil {
		info, err = f.Stat()
	}
	if err != nil {
		return nil, fmt.Errorf("devdb: %w", errors.Join(err, f.Close()))
	}
	return &serverLog{f: f, path: path, from: info.Size()}, nil
}

// tail returns the last lines of this run for an error message.
func (l *serverLog) tail() string {
	f, err := os.Open(l.path)
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	raw, err := io.ReadAll(io.NewSectionReader(f, l.from, 64<<10))
	if err != nil {
		return err.Error()
	}
	lines := bytes.Split(bytes.TrimSpace(raw), []byte("\n"))
	lines = lines[max(0, len(lines)-12):]
	return strings.TrimSpace(string(bytes.Join(lines, []byte("\n")))) + "\n(" + l.path + ")"
}
