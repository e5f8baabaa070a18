package harness

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

const (
	// readyTimeout is how long a node may take until it is ready, migrations
	// included.
	readyTimeout = time.Minute
	// stopTimeout is how long a node may take to end after SIGTERM.
	stopTimeout = 40 * time.Second
)

// ErrEnded is a node that had ended though nobody had killed it.
var ErrEnded = errors.New("ended by itself")

// A Node is a server that may be started again after it was stopped or killed,
// then on another port. Its methods may be called from any goroutine; one start,
// stop or kill at a time.
type Node struct {
	// Name of the node in errors.
	Name string
	// Log is the file that gets the output of all its starts.
	Log string
	// Command runs the server at an address, host:port.
	Command func(address string) *exec.Cmd

	mu      sync.Mutex
	running *Process // nil after a stop or kill
	address string
}

// Start starts the process and returns when it is ready.
func (n *Node) Start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	for {
		address, err := FreeAddress()
		if err != nil {
			return err
		}
		p, err := n.launch(address)
		if err != nil {
			return err
		}
		n.mu.Lock()
		n.running, n.address = p, address
		n.mu.Unlock()
		err = AwaitReady(ctx, p, address)
		if err == nil {
			return nil
		}
		p.Kill()
		if output, _ := os.ReadFile(n.Log); ctx.Err() != nil || !AddressTaken(string(output)) {
			return fmt.Errorf("%s: %w; see %s", n.Name, err, n.Log)
		}
	}
}

func (n *Node) launch(address string) (*Process, error) {
	log, err := os.OpenFile(n.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close() // the process has its own
	cmd := n.Command(address)
	cmd.Stdout, cmd.Stderr = log, log
	return Start(cmd)
}

// Address is the node's host:port, also while it is down.
func (n *Node) Address() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.address
}

// CPU is the processor time that the process has used since its start: 0 while
// there is none, and where the system does not tell.
func (n *Node) CPU() time.Duration {
	n.mu.Lock()
	p := n.running
	n.mu.Unlock()
	if p == nil {
		return 0
	}
	return cpuTime(p.PID())
}

// take returns the process, which counts as ended from now on.
func (n *Node) take() *Process {
	n.mu.Lock()
	defer n.mu.Unlock()
	p := n.running
	n.running = nil
	return p
}

// Kill ends the process as kill -9 does, if there is one.
func (n *Node) Kill() {
	if p := n.take(); p != nil {
		p.Kill()
	}
}

// Stop ends the process in order, if there is one.
func (n *Node) Stop() error {
	p := n.take()
	if p == nil {
		return nil
	}
	if !p.Running() {
		return fmt.Errorf("%s: %w: %w", n.Name, ErrEnded, p.Err())
	}
	_ = p.Terminate() // an error means that it has ended, which Wait tells
	if err := p.Wait(stopTimeout); err != nil {
		return fmt.Errorf("%s after SIGTERM: %w", n.Name, err)
	}
	return nil
}

// Defects are lines of its log that no run may have.
func (n *Node) Defects() ([]string, error) {
	output, err := os.ReadFile(n.Log)
	if err != nil {
		return nil, err
	}
	var found []string
	for line := range strings.Lines(string(output)) {
		for _, sign := range []string{"WARNING: DATA RACE", "panic:", "fatal error:"} {
			if strings.Contains(line, sign) {
				found = append(found, fmt.Sprintf("%s logged %q: see %s", n.Name, strings.TrimSpace(line), filepath.Base(n.Log)))
			}
		}
	}
	return found, nil
}
