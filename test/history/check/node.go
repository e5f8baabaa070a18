package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// readyTimeout is how long a node may take until it is ready, migrations
// included.
const readyTimeout = time.Minute

// secret is what tokens are signed with.
var secret = strings.Repeat("0123456789abcdef", 4)

// A node is a server with its own link to Postgres. It may be started again
// after a kill, then on another port.
type node struct {
	name     string
	program  string
	database string // its DATABASE_URL
	log      string // the file that gets its output
	link     *link

	mu      sync.Mutex
	running *process // nil after a kill
	address string   // host:port
}

// start starts the process and returns when it is ready.
func (n *node) start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	for {
		address, err := freeAddress()
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
		err = awaitReady(ctx, p, address)
		if err == nil {
			return nil
		}
		p.kill()
		if output, _ := os.ReadFile(n.log); ctx.Err() != nil || !bytes.Contains(output, []byte("address already in use")) {
			return fmt.Errorf("%s: %w; see %s", n.name, err, n.log)
		}
	}
}

func (n *node) launch(address string) (*process, error) {
	log, err := os.OpenFile(n.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close() // the process has its own
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(n.program, "serve")
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"),
		"PORT=" + port, "BIND=127.0.0.1", "SECRET_KEY_BASE=" + secret, "NODE_NAME=" + n.name,
		"DATABASE_URL=" + n.database, "ALLOW_ROOMS=room:*",
		"QUEUE_BYTES=16384", // small, so that paused clients fall behind it
	}
	return startProcess(cmd)
}

// awaitReady waits until /readyz says so.
func awaitReady(ctx context.Context, p *process, address string) error {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 5 * time.Second}
	answer := errors.New("no answer")
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/readyz", nil)
		if err != nil {
			return err
		}
		response, err := client.Do(request)
		if err == nil {
			response.Body.Close()
			err = fmt.Errorf("/readyz answers %s", response.Status)
			if response.StatusCode == http.StatusOK {
				return nil
			}
		}
		if ctx.Err() == nil {
			answer = err
		}
		select {
		case <-p.exited:
			return fmt.Errorf("ended while starting: %w", p.err)
		case <-ctx.Done():
			return fmt.Errorf("not ready: %w", answer)
		case <-tick.C:
		}
	}
}

// freeAddress is free now.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// kill ends the process as kill -9 does.
func (n *node) kill() {
	n.mu.Lock()
	p := n.running
	n.running = nil
	n.mu.Unlock()
	if p != nil {
		p.kill()
	}
}

// stop ends the process in order. It is an error when it was not running any
// more though nobody had killed it.
func (n *node) stop() error {
	n.mu.Lock()
	p := n.running
	n.running = nil
	n.mu.Unlock()
	if p == nil {
		return nil
	}
	select {
	case <-p.exited:
		return fmt.Errorf("%s ended by itself: %w", n.name, p.err)
	default:
	}
	if err := p.stop(); err != nil {
		return fmt.Errorf("%s: %w", n.name, err)
	}
	return nil
}

// where is the node's address, also while it is down.
func (n *node) where() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.address
}

// defects are lines of its log that no run may have.
func (n *node) defects() ([]string, error) {
	output, err := os.ReadFile(n.log)
	if err != nil {
		return nil, err
	}
	var found []string
	for line := range strings.Lines(string(output)) {
		for _, sign := range []string{"WARNING: DATA RACE", "panic:", "fatal error:"} {
			if strings.Contains(line, sign) {
				found = append(found, fmt.Sprintf("%s logged %q: see %s", n.name, strings.TrimSpace(line), filepath.Base(n.log)))
			}
		}
	}
	return found, nil
}
