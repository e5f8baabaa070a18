package golden

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	buildTimeout = 5 * time.Minute
	readyTimeout = 30 * time.Second
	exitTimeout  = 20 * time.Second
)

// buildConformance builds the conformance application as the test itself is
// built.
func buildConformance(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "conformance")
	args := []string{"build", "-o", binary}
	if raceEnabled {
		args = append(args, "-race")
	}
	ctx, cancel := context.WithTimeout(t.Context(), buildTimeout)
	defer cancel()
	build := exec.CommandContext(ctx, "go", append(args, "../../examples/conformance")...)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the conformance application: %v\n%s", err, out)
	}
	return binary
}

// node is a conformance application in a process of its own.
type node struct {
	url    string
	cmd    *exec.Cmd
	asked  sync.Once // a second SIGTERM would cut a graceful stop short
	output *output
	exited chan struct{} // closed once the process has ended, with err set
	err    error
}

// startNode starts a node on database and waits until it is ready. At the end
// of the test the node is told to stop and must do so without an error.
func startNode(t *testing.T, binary, database string) *node {
	t.Helper()
	address := freeAddress(t)
	n := &node{url: "http://" + address, output: &output{}, exited: make(chan struct{})}
	n.cmd = exec.Command(binary, "-listen", address)
	n.cmd.Env = append(os.Environ(), "DATABASE_URL="+database)
	n.cmd.Stdout, n.cmd.Stderr = n.output, n.output
	if err := n.cmd.Start(); err != nil {
		t.Fatalf("start node: %v", err)
	}
	go func() {
		n.err = n.cmd.Wait()
		close(n.exited)
	}()
	t.Cleanup(func() { n.stop(t) })
	if err := n.awaitReady(t.Context()); err != nil {
		t.Fatalf("node: %v\n%s", err, n.output)
	}
	return n
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}

func (n *node) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for {
		err := n.probe(ctx, &client)
		if err == nil {
			return nil
		}
		select {
		case <-n.exited:
			return fmt.Errorf("ended before it was ready: %w", n.err)
		case <-ctx.Done():
			return fmt.Errorf("not ready after %s: %w", readyTimeout, err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (n *node) probe(ctx context.Context, client *http.Client) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, n.url+"/readyz", nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("/readyz: %d %s", response.StatusCode, body)
	}
	return err
}

// terminate asks the node to stop. Only the first call does anything.
func (n *node) terminate() (err error) {
	n.asked.Do(func() { err = n.cmd.Process.Signal(syscall.SIGTERM) })
	return err
}

func (n *node) stop(t *testing.T) {
	_ = n.terminate() // it may have ended already
	select {
	case <-n.exited:
	case <-time.After(exitTimeout):
		_ = n.cmd.Process.Kill()
		<-n.exited
		t.Errorf("node %s did not stop within %s of SIGTERM", n.url, exitTimeout)
	}
	if n.err != nil {
		t.Errorf("node %s: %v", n.url, n.err)
	}
	if strings.Contains(n.output.String(), "DATA RACE") {
		t.Errorf("node %s has a data race", n.url)
	}
	if t.Failed() {
		t.Logf("output of node %s:\n%s", n.url, n.output)
	}
}

// output keeps the first part of what a process writes.
type output struct {
	mu   sync.Mutex
	text strings.Builder
}

const outputLimit = 256 << 10 // bytes

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if room := outputLimit - o.text.Len(); room > 0 {
		o.text.Write(p[:min(len(p), room)])
	}
	return len(p), nil
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}
